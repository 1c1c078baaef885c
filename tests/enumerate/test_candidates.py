"""Candidates: what is reached, what is never produced, and in which order."""

import ast
import textwrap
import warnings
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.enumerate import OPERATORS, apply, candidates, normal_form
from tools.types import Candidate, Suspect


def suspects(lines: list[int], path: str = "m.py") -> tuple[Suspect, ...]:
    return tuple(
        Suspect(path=path, line=n, symbol=None, score=1.0 - i / 100) for i, n in enumerate(lines)
    )


def generate(source: str, lines: list[int], limit: int = 5000) -> list[Candidate]:
    return list(candidates(source.encode(), "m.py", suspects(lines), limit=limit))


def rank_of(buggy: str, fixed: str) -> tuple[int, Candidate] | None:
    """Position of the repair among the candidates of the one line that differs."""
    one, two = buggy.splitlines(), fixed.splitlines()
    pairs = zip(one, two, strict=False)
    line = next((i for i, (a, b) in enumerate(pairs, 1) if a != b), len(one))
    want = ast.dump(ast.parse(fixed))
    for rank, candidate in enumerate(generate(buggy, [line])):
        if ast.dump(ast.parse(apply(buggy.encode(), candidate))) == want:
            return rank, candidate
    return None


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


@pytest.mark.parametrize("name", REACHED)
def test_reaches_the_repair_of_a_small_bug(name: str) -> None:
    buggy, fixed = REACHED[name]
    assert rank_of(buggy, fixed) is not None


def test_common_repairs_come_early() -> None:
    for name in ("boundary", "plus", "not", "index", "builtin", "truth", "floor", "and"):
        found = rank_of(*REACHED[name])
        assert found is not None
        assert found[0] < 12, name
        assert found[1].tier == 0, name


def test_beyond_one_edit_is_not_reached() -> None:
    buggy = "def f(a, b):\n    return a - b * 3\n"
    assert rank_of(buggy, "def f(a, b):\n    return a + b * 7\n") is None


MODULE = textwrap.dedent(
    '''\
    """Shelf of boxes — with an é and an 漢 before the code."""
    LIMIT = 10


    class Shelf:
        """Boxes by name."""

        def __init__(self, boxes=None, limit: int = LIMIT):
            self.boxes = dict(boxes or {})
            self.limit = limit

        def add(self, name: str, size):
            label = "é漢" + name.strip(); total = self.total() + size
            if total > self.limit and not self.boxes:
                raise ValueError(f"no room for {label}")
            self.boxes[label] = size
            return label

        def total(self):
            count = 0
            for size in self.boxes.values():
                if size is None:
                    continue
                count += size
            return count

        async def load(self, reader):
            while True:
                line = await reader.readline()
                if not line:
                    break
                self.add(*line.split("=", 1))
    '''
)


@cache
def everything() -> tuple[Candidate, ...]:
    return tuple(generate(MODULE, [2, 9, 13, 15, 24, 29, 31], limit=1500))


def test_every_candidate_compiles_and_changes_only_its_lines() -> None:
    data = MODULE.encode()
    found = everything()
    lines = MODULE.splitlines(keepends=True)
    for candidate in found:
        patched = apply(data, candidate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(patched, "m.py", "exec", dont_inherit=True)
        head = "".join(lines[: candidate.line - 1]).encode()
        tail = "".join(lines[candidate.end_line :]).encode()
        assert patched.startswith(head)
        assert patched.endswith(tail)
        assert candidate.before == "".join(lines[candidate.line - 1 : candidate.end_line])
    assert len(found) > 500


def test_no_two_candidates_are_the_same_program() -> None:
    data = MODULE.encode()
    dumps = [ast.dump(ast.parse(apply(data, c))) for c in everything()]
    assert len(set(dumps)) == len(dumps)
    assert ast.dump(ast.parse(data)) not in dumps


def test_the_same_call_gives_the_same_list() -> None:
    assert generate(MODULE, [15, 24, 25]) == generate(MODULE, [15, 24, 25])


def test_order_is_by_tier_within_a_line_and_fair_between_lines() -> None:
    found = generate(MODULE, [15, 24, 25])
    tiers = [c.tier for c in found if c.line == 24]
    assert tiers == sorted(tiers)
    first = found[:12]
    assert {c.line for c in first} >= {15, 24}


def test_many_lines_do_not_keep_rare_edits_of_the_first_from_coming() -> None:
    source = "def f(a, b):\n" + "".join(f"    x{i} = a + b\n" for i in range(60)) + "    return b\n"
    found = generate(source, list(range(2, 62)))
    first_rare = next(i for i, c in enumerate(found) if c.line == 2 and c.tier == 1)
    last_cheap = max(i for i, c in enumerate(found) if c.line == 61 and c.tier == 0)
    assert first_rare < last_cheap


@pytest.mark.parametrize("eol", ["\r\n", "\r"])
def test_line_ends_are_kept(eol: str) -> None:
    data = MODULE.replace("\n", eol).encode()
    found = list(candidates(data, "m.py", suspects([15, 24, 25]), limit=250))
    assert len(found) == 250
    for candidate in found:
        patched = apply(data, candidate)
        rest = patched.replace(eol.encode(), b"")
        assert b"\n" not in rest
        assert b"\r" not in rest


def test_bom_and_declared_encoding_are_kept() -> None:
    bom = "\ufeffdef f(a):\n    return a < 1  # é\n".encode()
    one = next(iter(candidates(bom, "m.py", suspects([2]), limit=1)))
    assert apply(bom, one).startswith(b"\xef\xbb\xbfdef f")
    latin = "# -*- coding: latin-1 -*-\ndef f(a):\n    return 'é' + a\n".encode("latin-1")
    found = list(candidates(latin, "m.py", suspects([3]), limit=50))
    swap = next(c for c in found if "'é' - a" in c.after)
    assert "'é' - a".encode("latin-1") in apply(latin, swap)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        (b"def f(:\n", "m.py"),
        (b"\xff\xfe\x00", "m.py"),
        (b"", "m.py"),
        (b"fn main() {}", "m.rs"),
        (b"x = 1\x00\n", "m.py"),
        (b"# coding: nonsense\nx = 1\n", "m.py"),
    ],
)
def test_what_is_not_python_gives_nothing(source: bytes, path: str) -> None:
    assert list(candidates(source, path, suspects([1], path), limit=10)) == []


def test_limit_other_files_and_no_suspects() -> None:
    data = MODULE.encode()
    assert len(list(candidates(data, "m.py", suspects([24]), limit=7))) == 7
    assert list(candidates(data, "m.py", suspects([24]), limit=0)) == []
    assert list(candidates(data, "m.py", suspects([24], "other.py"), limit=7)) == []
    assert list(candidates(data, "m.py", (), limit=7)) == []
    assert list(candidates(data, "m.py", suspects([999]), limit=7)) == []


def test_a_module_constant_used_on_a_suspect_line_is_tried_too() -> None:
    source = "SIZE = 9\n\ndef f(a):\n    return a % SIZE\n"
    assert any(c.line == 1 and c.after == "SIZE = 10\n" for c in generate(source, [4]))


def test_a_changed_file_is_refused() -> None:
    one = generate(MODULE, [24])[0]
    with pytest.raises(ValueError, match="changed since"):
        apply(b"x = 1\n" * 40, one)


def test_operators_have_unique_names_and_a_line_of_documentation() -> None:
    names = [op.name for op in OPERATORS]
    assert len(set(names)) == len(names)
    assert len(names) >= 45
    assert all(len(op.about) > 15 and op.about.endswith(".") for op in OPERATORS)


def test_every_operator_yields_something_somewhere() -> None:
    used: set[str] = set()
    for buggy, _ in REACHED.values():
        used |= {c.operator for c in generate(buggy, list(range(1, 12)))}
    used |= {c.operator for c in everything()}
    assert {op.name for op in OPERATORS} - used == set()


def test_normal_form_joins_synonyms_only() -> None:
    assert normal_form(b"not a == b") == normal_form(b"a != b")
    assert normal_form(b"a > b") == normal_form(b"b < a")
    assert normal_form(b"a > b") != normal_form(b"a >= b")


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "0", "1", "'é'", "a.x", "f(a)", "a[1]", "None"]),
    lambda e: st.one_of(
        st.builds("({} {} {})".format, e, st.sampled_from(["+", "-", "<", "in", "and", "or"]), e),
        st.builds("not {}".format, e).map("({})".format),
        st.builds("f({}, {})".format, e, e),
        st.builds("{} if {} else {}".format, e, e, e).map("({})".format),
    ),
    max_leaves=6,
)


@settings(max_examples=10, deadline=None)
@given(EXPRESSIONS)
def test_law_whatever_the_expression_candidates_compile(expression: str) -> None:
    source = f"def f(a, b):\n    return {expression}\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for candidate in generate(source, [2], limit=300):
            compile(apply(source.encode(), candidate), "m.py", "exec", dont_inherit=True)
