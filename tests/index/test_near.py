"""A word that stands nowhere gives way to those nearest to it, and the answer says so."""

import random
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.index.shop import opened, write
from tools.index import open_index
from tools.index.near import _distances

CODE = {
    "web/clean.py": "def sanitise_html(text):\n    return text.strip()\n",
    "web/view.py": "from web.clean import sanitise_html\n\n\nclass Colour:\n    pass\n\n\n"
    "def render(page):\n    return sanitise_html(page)\n",
    "auth.py": "def authenticate(user):\n    return user.password\n\n\n"
    "def configuration():\n    return defaults\n",
    "tests/test_clean.py": "def test_strip():\n    assert True\n",
}


@pytest.mark.parametrize(
    ("asked", "found", "name"),
    [
        ("sanitizer", "sanitise", "sanitise_html"),
        ("color", "colour", "Colour"),
        ("authentification", "authenticate", "authenticate"),
        ("pasword", "password", "authenticate"),
        ("rednering", "render", "render"),
        ("config", "configuration", "configuration"),
        ("passwordless", "password", "authenticate"),
    ],
)
def test_a_word_that_stands_nowhere(tmp_path: Path, asked: str, found: str, name: str) -> None:
    index = opened(tmp_path, CODE)
    map_ = index.map(asked, 400)
    assert [(a, f.lower()) for a, f in map_.near] == [(asked, found)]
    assert name in map_.text
    for hits in (index.search(asked), index.localize(asked)):
        assert hits[0].symbol == name
        assert hits[0].reasons[0].lower() == f"near match: {found} for {asked}"


@pytest.mark.parametrize(
    "asked", ["sanitise", "html", "clean", "xyzzy", "cow", "segfaults", "c" * 60, "ß" * 20]
)
def test_words_that_stand_somewhere_or_near_to_nothing(tmp_path: Path, asked: str) -> None:
    index = opened(tmp_path, CODE)
    assert index.map(asked, 400).near == ()
    assert not any("near" in reason for h in index.search(asked) for reason in h.reasons)


def test_exact_words_come_first_and_long_questions_are_taken_as_they_are(tmp_path: Path) -> None:
    index = opened(tmp_path, CODE)
    (best, *_) = index.search("authenticate pasword")
    assert best.symbol == "authenticate"
    issue = "The sanitizer\n\nfails after rendering three large pages with many nested broken tags"
    assert index.map(issue, 400).near == ()
    assert index.map(None, 400).near == ()


def test_words_of_files_that_are_gone_are_near_to_nothing(tmp_path: Path) -> None:
    """Edits leave words of the past in the arrays; answers are those of a fresh index."""
    index = opened(tmp_path, CODE)
    index.update()
    write(index.root, {"web/clean.py": "def sanitiser_html(text):\n    return text\n"})
    (index.root / "web/view.py").unlink()
    index.update(paths=["web/clean.py", "web/view.py"])
    fresh = open_index(index.root, tmp_path / "fresh")
    for asked in ("sanitizer", "color", "sanitise", "sanitar", "renderer", "authentication"):
        assert index.map(asked, 400) == fresh.map(asked, 400)
        assert index.search(asked) == fresh.search(asked)
    assert index.map("sanitise", 400).near == (("sanitise", "sanitiser"),)


def test_another_process_says_the_same(tmp_path: Path) -> None:
    """From the arrays on disk, over a repository under git that is large enough for them."""
    body = "".join(f"def handle_{n}(request):\n    return response_{n}\n\n\n" for n in range(40))
    many = {f"part{n}/views.py": body for n in range(100)}
    index = opened(tmp_path, {**CODE, **many})
    subprocess.run(["git", "init", "-q"], cwd=index.root, check=True)
    index.update()
    again = open_index(index.root, tmp_path / "cache")
    again.update()
    assert list((tmp_path / "cache").glob("snapshot-*"))
    for asked in ("sanitizer", "reqest handel"):
        assert index.map(asked, 400).near
        assert again.map(asked, 400) == index.map(asked, 400)


def test_distances_are_those_of_the_table() -> None:
    chance = random.Random(3)
    words = ["".join(chance.choices("abc", k=chance.randrange(1, 9))) for _ in range(300)]
    data = np.frombuffer("\n".join([*words, ""]).encode(), np.uint8)
    ends = np.flatnonzero(data == 10)
    sizes = np.array([len(w) for w in words])
    for wanted in words[:40]:
        found = _distances(data, ends - sizes, sizes, wanted.encode())
        assert found.tolist() == [_by_table(w, wanted) for w in words]


def _by_table(a: str, b: str) -> int:
    """Optimal string alignment, cell by cell."""
    d = [[max(i, j) for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            change = d[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            d[i][j] = min(d[i - 1][j] + 1, d[i][j - 1] + 1, change)
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                d[i][j] = min(d[i][j], d[i - 2][j - 2] + 1)
    return d[-1][-1]
