"""A large file read piece by piece has the record that it has when it is read as a whole."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.index.shop import write
from tools.index import open_index
from tools.index.extract import again, read
from tools.index.pieces import Pieces, Recent
from tools.index.pyscan import scan
from tools.index.reparse import LARGE

BODY = "".join(
    f"""class C{i}:
    LIMIT{i}: int = {i}

    def m{i}(self, x):
        return f{i}(x)

# about f{i}

@wrapped(
    1)
async def f{i}(x):
    import os
    return x

from m{i} import (a,

  b)
V{i} = '''
'''

"""
    for i in range(300)
)
HARD = BODY + "".join(
    f"""V{i} = '''

class Told{i}:
    pass
'''

@wrapped

def f{i}(x=(1,

def)):
    return "\\

class D"
"""
    for i in range(20)
)
"""What looks like the beginning of a piece, and is none."""
EDITS = (
    "def g(y):\n    pass\n", "'", "(", ")", "\n", "    ", '"""', "class D: x = 1\n", "# (\n",
    "\n\n", "\n\ndef late():\n    return 1\n", "\\\n\n", "@", "\n\n@mark\n", "\ufeff", "é = 2\n",
    "\t",
)  # fmt: skip


def edited(text: str, chance: random.Random, number: int) -> Iterator[str]:
    """Edits one upon the other, now and then all of them undone."""
    now = text
    for _ in range(number):
        at = chance.randrange(len(now))
        now = now[:at] + chance.choice(EDITS) + now[at + chance.choice([0, 0, 1, 30]) :]
        yield now
        if chance.random() < 0.5:
            now = text


def large_modules() -> list[Path]:
    library = Path(random.__file__).parent
    return sorted(p for p in library.glob("*.py") if p.stat().st_size >= LARGE)


@pytest.mark.parametrize("body", [BODY, HARD], ids=["plain", "hard"])
def test_after_any_edits_of_a_large_file(body: str) -> None:
    chance, recent = random.Random(5), Recent()
    assert len(body) > LARGE
    for text in edited(body, chance, 25):
        source = (text.encode(), "python")
        assert again([source], recent) == read([source])


@pytest.mark.parametrize("path", large_modules()[:12], ids=lambda p: p.name)
def test_after_edits_of_the_standard_library(path: Path) -> None:
    chance, recent = random.Random(path.name), Recent()
    for text in edited(path.read_text("utf-8"), chance, 6):
        source = (text.encode(), "python")
        assert again([source], recent) == read([source])


def test_large_and_small_files_of_many_languages_together() -> None:
    recent = Recent()
    script = b"export function f(x) {\n  return g(x);\n}\n\n" * 2000
    sources = [
        (BODY.encode(), "python"), (b"", "python"), (b"def one(): pass", "python"),
        (script, "javascript"), (BODY.encode() + b"Z = 1\n", "python"), (b"a: 1\n", "text"),
    ]  # fmt: skip
    assert again(sources, recent) == read(sources) == again(sources, recent)
    assert again([], recent) == []


def test_only_the_piece_that_was_edited_is_scanned_again() -> None:
    text = "".join(f"def f{i}(x):\n    return g{i}(x)\n\n\n" for i in range(2000))
    pieces, given = Pieces(), []

    def counted(sources: "Sequence[bytes]") -> "list[object]":
        given.append(sum(map(len, sources)))
        return list(scan(sources))

    first = pieces.scan(text.encode(), counted)  # type: ignore[arg-type]  # what scan gives
    changed = text.replace("g1000(x)", "h(x)").encode()
    second = pieces.scan(changed, counted)  # type: ignore[arg-type]
    assert given[0] == len(text)
    assert given[1] < 60
    assert second == scan([changed])[0] != first


def test_what_is_held_is_bounded() -> None:
    pieces = Pieces()
    for number in range(6):
        pieces.scan(f"def f{number}():\n    pass\n".encode() * 25_000, scan)
    assert sum(map(len, pieces._known)) <= 2 << 20


def test_a_large_file_is_followed_by_hints(tmp_path: Path) -> None:
    """The record that was held back is the one that a new process makes."""
    chance = random.Random(11)
    root = tmp_path / "repo"
    write(root, {"big.py": BODY, "small.py": "from big import f1\n"})
    index = open_index(root, tmp_path / "cache")
    index.update()
    for number, text in enumerate(edited(BODY, chance, 6)):
        write(root, {"big.py": text})
        assert index.update(paths=["big.py"]).changed == 1
        fresh = open_index(root, tmp_path / f"fresh{number}")
        fresh.update()
        assert index.symbols("big.py") == fresh.symbols("big.py")
        assert index.localize("m7 of C7 wrong") == fresh.localize("m7 of C7 wrong")
        assert index.map(None, 300) == fresh.map(None, 300)
    index.update()
    reopened = open_index(root, tmp_path / "cache")
    assert reopened.update().parsed == 0
    assert reopened.symbols("big.py") == index.symbols("big.py")
