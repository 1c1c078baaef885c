"""Small bugs and their repairs, by name, all within reach of one edit."""

REACHED: dict[str, tuple[str, str]] = {
    "boundary": ("def f(a):\n    return a < 10\n", "def f(a):\n    return a <= 10\n"),
    "direction": ("def f(a):\n    return a < 10\n", "def f(a):\n    return a > 10\n"),
    "plus": ("def f(a, b):\n    return a - b\n", "def f(a, b):\n    return a + b\n"),
    "floor": ("def f(a):\n    return a / 2\n", "def f(a):\n    return a // 2\n"),
    "and": (
        "def f(a, b):\n    if a or b:\n        return 1\n",
        "def f(a, b):\n    if a and b:\n        return 1\n",
    ),
    "not": (
        "def f(a):\n    if a.ok():\n        return 1\n",
        "def f(a):\n    if not a.ok():\n        return 1\n",
    ),
    "drop not": (
        "def f(a):\n    if not a:\n        return 1\n",
        "def f(a):\n    if a:\n        return 1\n",
    ),
    "range": (
        "def f(n):\n    for i in range(n):\n        print(i)\n",
        "def f(n):\n    for i in range(1, n + 1):\n        print(i)\n",
    ),
    "index": ("def f(a):\n    return a[len(a)]\n", "def f(a):\n    return a[len(a) - 1]\n"),
    "step dropped": (
        "def f(a):\n    return a[1:len(a) - 1]\n",
        "def f(a):\n    return a[1:len(a)]\n",
    ),
    "constant": ("def f(a):\n    return a * 1\n", "def f(a):\n    return a * 2\n"),
    "negative": ("def f(a):\n    return a[0]\n", "def f(a):\n    return a[-1]\n"),
    "augmented": (
        "def f(a):\n    s = 0\n    for x in a:\n        s = x\n    return s\n",
        "def f(a):\n    s = 0\n    for x in a:\n        s += x\n    return s\n",
    ),
    "variable": ("def f(a, b):\n    return a[a]\n", "def f(a, b):\n    return a[b]\n"),
    "swap": ("def f(a, b):\n    return g(b, a)\n", "def f(a, b):\n    return g(a, b)\n"),
    "operands": ("def f(a, b):\n    return a - b\n", "def f(a, b):\n    return b - a\n"),
    "builtin": ("def f(a):\n    return min(a)\n", "def f(a):\n    return max(a)\n"),
    "method": ("def f(a, b):\n    a.append(b)\n", "def f(a, b):\n    a.extend(b)\n"),
    "self": (
        "class C:\n    def __init__(self):\n        self.n = 1\n"
        "    def f(self):\n        return n\n",
        "class C:\n    def __init__(self):\n        self.n = 1\n"
        "    def f(self):\n        return self.n\n",
    ),
    "await": (
        "async def g():\n    return 1\nasync def f():\n    return g()\n",
        "async def g():\n    return 1\nasync def f():\n    return await g()\n",
    ),
    "truth": ("def f():\n    return True\n", "def f():\n    return False\n"),
    "precedence": (
        "def f(a, b):\n    return a + b / 2\n",
        "def f(a, b):\n    return (a + b) / 2\n",
    ),
    "negated or": (
        "def f(a, b):\n    return not a or b\n",
        "def f(a, b):\n    return not (a or b)\n",
    ),
    "condition dropped": (
        "def f(a, b):\n    if a > 1 and b:\n        return 1\n",
        "def f(a, b):\n    if a > 1:\n        return 1\n",
    ),
    "condition added": (
        "def f(a, b):\n    while b > 1:\n        b = a.pop()\n",
        "def f(a, b):\n    while a and b > 1:\n        b = a.pop()\n",
    ),
    "wrapper dropped": ("def f(a):\n    return int(a / 3)\n", "def f(a):\n    return a / 3\n"),
    "wrapper added": ("def f(a):\n    return a + 1\n", "def f(a):\n    return int(a) + 1\n"),
    "strip": ("def f(a):\n    return a == 'x'\n", "def f(a):\n    return a.strip() == 'x'\n"),
    "string case": ("def f(a):\n    return a == 'X'\n", "def f(a):\n    return a == 'x'\n"),
    "f-string": ("def f(a):\n    return '{a}!'\n", "def f(a):\n    return f'{a}!'\n"),
    "indent out": (
        "def f(a):\n    s = 0\n    for x in a:\n        s += x\n        return s\n",
        "def f(a):\n    s = 0\n    for x in a:\n        s += x\n    return s\n",
    ),
    "indent in": (
        "def f(a):\n    s = 0\n    for x in a:\n        y = x\n    s += y\n    return s\n",
        "def f(a):\n    s = 0\n    for x in a:\n        y = x\n        s += y\n    return s\n",
    ),
    "reorder": (
        "def f(a):\n    b = a.pop()\n    a.sort()\n    return b\n",
        "def f(a):\n    a.sort()\n    b = a.pop()\n    return b\n",
    ),
    "delete": (
        "def f(a):\n    a.sort()\n    return a\n",
        "def f(a):\n    return a\n",
    ),
    "break": (
        "def f(a):\n    for x in a:\n        if x:\n            break\n        print(x)\n",
        "def f(a):\n    for x in a:\n        if x:\n            continue\n        print(x)\n",
    ),
    "return missing": ("def f(a):\n    g(a)\n", "def f(a):\n    return g(a)\n"),
    "guard": (
        "def f(a):\n    return a[0]\n",
        "def f(a):\n    if not a:\n        return None\n    return a[0]\n",
    ),
    "handler": (
        "def f(a):\n    try:\n        return a['k']\n    except KeyError:\n        return 1\n",
        "def f(a):\n    try:\n        return a['k']\n    except (KeyError, TypeError):\n"
        "        return 1\n",
    ),
    "mutable default": (
        "def f(x, acc=[]):\n    acc.append(x)\n    return acc\n",
        "def f(x, acc=None):\n    if acc is None:\n        acc = []\n"
        "    acc.append(x)\n    return acc\n",
    ),
    "is none": (
        "def f(a):\n    return 1 if a else 2\n",
        "def f(a):\n    return 1 if a is not None else 2\n",
    ),
    "get default": (
        "def f(d, k):\n    return d.get(k)\n",
        "def f(d, k):\n    return d.get(k, 0)\n",
    ),
    "subscript get": (
        "def f(d, k):\n    return d[k] + 1\n",
        "def f(d, k):\n    return d.get(k, 0) + 1\n",
    ),
    "reverse": (
        "def f(a):\n    return sorted(a)\n",
        "def f(a):\n    return sorted(a, reverse=True)\n",
    ),
    "nonlocal": (
        "def f():\n    n = 0\n    def g():\n        n += 1\n        return n\n    return g\n",
        "def f():\n    n = 0\n    def g():\n        nonlocal n\n        n += 1\n        return n\n"
        "    return g\n",
    ),
    "late binding": (
        "def f():\n    return [lambda: i for i in range(3)]\n",
        "def f():\n    return [lambda i=i: i for i in range(3)]\n",
    ),
    "yield from": (
        "def f(a):\n    for x in a:\n        yield f(x)\n",
        "def f(a):\n    for x in a:\n        yield from f(x)\n",
    ),
    "while": (
        "def f(a):\n    if a > 1:\n        a -= 1\n    return a\n",
        "def f(a):\n    while a > 1:\n        a -= 1\n    return a\n",
    ),
    "elif": (
        "def f(a):\n    if a > 1:\n        b = 1\n    elif a > 0:\n        b = 2\n    return b\n",
        "def f(a):\n    if a > 1:\n        b = 1\n    if a > 0:\n        b = 2\n    return b\n",
    ),
    "attribute": (
        "class C:\n    def __init__(self, a, b):\n        self.a = a\n        self.b = a\n",
        "class C:\n    def __init__(self, a, b):\n        self.a = a\n        self.b = b\n",
    ),
    "near name": ("def total(a):\n    return totl(a)\n", "def total(a):\n    return total(a)\n"),
    "isinstance": (
        "def f(a):\n    return isinstance(a, list)\n",
        "def f(a):\n    return isinstance(a, (list, tuple))\n",
    ),
    "copy": ("def f(a):\n    b = a\n    return b\n", "def f(a):\n    b = a.copy()\n    return b\n"),
    "update after": (
        "def f(a):\n    n = 0\n    while n < a:\n        print(n)\n",
        "def f(a):\n    n = 0\n    while n < a:\n        print(n)\n        n += 1\n",
    ),
    "argument dropped": ("def f(a):\n    return a.pop(0)\n", "def f(a):\n    return a.pop()\n"),
    "argument added": (
        "def g(a, b=1):\n    return a + b\n\ndef f(a, b):\n    return g(a)\n",
        "def g(a, b=1):\n    return a + b\n\ndef f(a, b):\n    return g(a, b=b)\n",
    ),
    "enumerate": (
        "def f(a):\n    return list(enumerate(a))\n",
        "def f(a):\n    return list(enumerate(a, 1))\n",
    ),
}
