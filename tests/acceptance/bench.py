"""A small repository whose bug the zero-token stage repairs in a few runs, and the CLI."""

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from agent.cli.main import main
from tests.agent.repos import git, snapshot

AREA = b"def area(w, h):\n    return w + h\n"
FIXED = AREA.replace(b"w + h", b"w * h")
TESTS = """\
from area import area


def test_two():
    assert area(2, 2) == 4


def test_area():
    assert area(3, 4) == 12
"""
ISSUE = "areas are wrong"
QUICK = {"POINTSMAN_ZERO_TOKEN_CANDIDATES": "2", "POINTSMAN_LOCAL_MODEL": "none"}
"""The right edit is the second of them; no local model is started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What people read, without line breaks and the frame of the closing table."""
        return " ".join(self.err.replace("│", " ").split())


def plot(
    root: Path, *, code: bytes = AREA, place: str = "", tests: str = TESTS, commit: bool = True
) -> Path:
    """A repository with one bug in `area`, its files in the directory `place`."""
    (root / place).mkdir(parents=True)
    (root / place / "area.py").write_bytes(code)
    if tests:
        (root / place / "test_area.py").write_text(tests)
    (root / "pytest.ini").write_text("[pytest]\n")
    git(root, "init", "--quiet")
    if commit:
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "-m", "area")
    return root


def agent(root: Path, *argv: str, stdin: bytes = b"") -> Told:
    """One command of the real CLI, in this process."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape")
    err = io.StringIO()
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main(["-C", str(root), *argv])
    finally:
        sys.stdin = before
    out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    return Told(code=code, out=out.buffer.getvalue().decode("utf-8", "replace"), err=err.getvalue())


def refused(root: Path, *argv: str, code: int, says: tuple[str, ...], remedy: str = "") -> Told:
    """Run a command that must change nothing, end with `code`, and say what is wrong and what next.

    `says` and `remedy` must all be in what people read; a remedy stands behind `try:` or `next:`.
    """
    before = tree(root)
    told = agent(root, *argv)
    assert told.code == code, told.err
    for part in says:
        assert part in told.words, told.err
    _, mark, following = told.words.replace("next: ", "try: ").rpartition("try: ")
    assert mark, told.err
    assert remedy in following or remedy in told.words.split("try: ", 1)[-1], told.err
    assert "Traceback" not in told.err
    assert tree(root) == before
    return told


def tree(root: Path) -> dict[str, bytes | str]:
    """Every byte below a directory, `.git` included, and where links point."""
    found: dict[str, bytes | str] = dict(snapshot(root))
    for above, directories, names in os.walk(root):
        for name in (*directories, *names):
            path = Path(above) / name
            if path.is_symlink():
                found[str(path.relative_to(root))] = str(path.readlink())
    return found


def repaired(root: Path, path: str, *, before: bytes, after: bytes, issue: str = ISSUE) -> Told:
    """Fix, check that one file changed by exactly the repair, and that undo restores every byte."""
    found = tree(root)
    told = agent(root, "fix", issue)
    assert told.code == 0, told.err
    assert "verified" in told.err
    assert tree(root) == {**found, path: after}
    assert found[path] == before
    undone = agent(root, "undo")
    assert undone.code == 0, undone.err
    assert tree(root) == found
    return told
