"""Python read row by row gives what the tree gives, or leaves the source to the tree."""

import random
import sysconfig
from pathlib import Path

import pytest

from tools.index import grammar, pyscan
from tools.index.extract import Scanned, exact


def of_the_tree(source: bytes) -> Scanned:
    found, imports, _ = grammar.walk(source, "python")
    return sorted(found, key=lambda f: (f.start, -f.end)), sorted(imports)


def broken(source: bytes) -> bool:
    from tree_sitter import Language, Parser
    from tree_sitter_python import language

    return Parser(Language(language())).parse(source).root_node.has_error


def compared(sources: list[bytes]) -> tuple[int, int]:
    """How many were left to the tree, and in how many with syntax errors the tree saw other
    things; all others are equal."""
    left = erroneous = 0
    for source, scanned in zip(sources, pyscan.scan(sources), strict=True):
        if scanned is None:
            left += 1
        elif scanned != of_the_tree(source):
            assert broken(source), source.decode("utf-8", "replace")
            erroneous += 1
    return left, erroneous


def test_the_standard_library() -> None:
    root = Path(sysconfig.get_path("stdlib"))
    files = sorted(p for p in root.rglob("*.py") if "site-packages" not in p.parts)
    sources = [s for p in files[::4] if b"\0" not in (s := p.read_bytes())]
    assert len(sources) > 100
    left, erroneous = 0, 0
    for at in range(0, len(sources), 60):
        more = compared(sources[at : at + 60])
        left, erroneous = left + more[0], erroneous + more[1]
    assert left < len(sources) // 10
    assert erroneous < 4


STATEMENTS = [
    "import os", "import a.b as c, d  # c", "from a import (b,\n  c)", "x = 1", "y: int",
    "x = 1,", "pass", 'z: str = "a#" # c', "x += 1", "a, b = 1, 2", "x = y = 3",
    "x = [\ny=1,\n# c\n]", "x = \\\n  3", "foo(a=1,\n  b=2)", "x.y = 3", 'return "def "',
    "x = lambda a: (\n a)", "'doc'", '"a" \\\n  "b"', 'r"\\"" + \'a"\' "b#"', "def g(): pass",
    "match = 4", "case = 3", "def g(self): return {1: 2} # c", "class E: pass",
    'def h(a, k=lambda: 3) -> "a:b": ...', "print = 3", "é_2 = 1", "x == 3", "yield x",
    "import q # c", "x: int \\\n = 3", "class G(A): ...",
    '"""doc"""', '"""doc\ndef hidden(): pass\n  class no: x\n"""', "await y", 'assert x, "a"',
    "del x", "x[1] = 3",
]  # fmt: skip
HEADS = [
    "def f(x):", "async def g():", "class A:", 'class B(A, m="):"):', 'def h(a,\n  b=")"): # c',
    "if x:", "def m(x):  ", "for i in x:", "while x: # c", "with a as b:", "with a, \\\n  b:",
    "class D(  # c\n):", "def k(x=lambda: 3) -> dict[str, int]:",
]  # fmt: skip
ODDITIES = [
    "x = 1; y = 2", "if a: b = 1", "class C: x = 1", "\tx = 1", ")", "(", '"""open', '"open',
    "x = 1 \\", "else:", "@dec", "def \\", "class", "async", 'print "a"', "import", "from", "\\",
    "x = 1\r", "\x0c", "def f(: pass", 'x = """a\n"""; y = 2', "case a: b = 1", "match x:",
    "async with a:", "\ufeffx = 1",
]  # fmt: skip


def suite(chance: random.Random, odd: float, depth: int = 0) -> list[str]:
    lines = []
    for _ in range(chance.randrange(1, 5)):
        indent = " " * (4 * depth + (chance.random() < odd / 4))
        if chance.random() < 0.2:
            lines.append(chance.choice(["", "   ", *(" " * n + "# c" for n in (0, 2, 4, 8, 12))]))
        if chance.random() < odd:
            lines.append(indent + chance.choice(ODDITIES))
        elif chance.random() < 0.55 or depth > 4:
            lines.append(indent + chance.choice(STATEMENTS))
        else:
            head = chance.choice(HEADS)
            if head.startswith(("def", "class", "async def")):
                lines += [indent + "@d(1,\n 2)  # c"] * chance.choice([0, 0, 1, 2])
            lines.append(indent + head)
            if chance.random() < 0.2:
                lines.append(" " * chance.choice([0, 2, 4, 8]) + "# after")
            lines += suite(chance, odd, depth + 1)
    return lines


@pytest.mark.parametrize(("odd", "left_out"), [(0.0, 0), (0.05, 500)])
def test_generated_sources_together_and_apart(odd: float, left_out: int) -> None:
    chance = random.Random(3)
    end = ["", "\n", "\n\n  "]
    texts = ["\n".join(suite(chance, odd)) + chance.choice(end) for _ in range(800)]
    sources = [t.encode() for t in texts]
    left, erroneous = compared(sources)
    assert left <= left_out
    assert erroneous <= (40 if odd else 0)
    together = pyscan.scan(sources)
    assert [pyscan.scan([s])[0] for s in sources] == together


@pytest.mark.parametrize("odd", ODDITIES)
def test_odd_sources_are_left_to_the_tree_or_equal(odd: str) -> None:
    for text in (odd, f"import a\n{odd}\nx = 1\n", f"class A:\n    {odd}\n    x = 1\n"):
        compared([text.encode(), b"@a\ndef f():\n    x = 1\n", text.encode()])


@pytest.mark.parametrize(
    "text",
    ["x = 1; y = 2", "if a: b = 1", "\tx = 1", "x = (", "x = '''a", "class C: x = 1", "x = 1\r\n"],
)
def test_what_only_the_tree_can_tell(text: str) -> None:
    assert pyscan.scan([text.encode()]) == [None]
    assert exact([(text.encode(), "python")]) == [of_the_tree(text.encode())]


def test_nothing_at_all() -> None:
    assert pyscan.scan([]) == []
    assert pyscan.scan([b"", b"# c\n", b"\n\n  \n"]) == [([], [])] * 3


def test_a_plain_function_is_not_looked_into_and_one_with_another_is() -> None:
    plain = b"def f():\n    import a\n    if x: y = 1; z = 2\n"
    outer = b"def f():\n    def g():\n        pass\n    import a\n"
    first, second = pyscan.scan([plain, outer])
    assert first is not None
    assert second is not None
    assert [f.name for f in first[0]] == ["f"]
    assert first[1] == []
    assert [f.name for f in second[0]] == ["f", "g"]
    assert [i[2] for i in second[1]] == ["import a"]
