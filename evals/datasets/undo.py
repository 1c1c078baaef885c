"""Real fixes without anybody's code: what a release changed, by number.

A fix is told by two releases of a package and the numbers of the changed places that belong to it.
The tree with the bug is the fixed release in which those places have the earlier release's lines.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.errors import ConfigError

__all__ = ["Block", "Release", "Undo", "blocks", "undo", "undone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The release before the fix; its source distribution has this sha256."""

    version: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """The places of one file that the fix changed, counted from 1; empty: all of them."""

    path: str
    places: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A changed place: lines `first` to `last` (half open, from 0) of the newer text."""

    number: int
    old: tuple[str, ...]
    new: tuple[str, ...]
    first: int
    last: int


def blocks(older: str, newer: str) -> tuple[Block, ...]:
    """Every run of lines in which two texts differ, in order; the same on every machine."""
    a, b = older.splitlines(keepends=True), newer.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    changed = [o for o in matcher.get_opcodes() if o[0] != "equal"]
    return tuple(
        Block(number=n, old=tuple(a[i1:i2]), new=tuple(b[j1:j2]), first=j1, last=j2)
        for n, (_, i1, i2, j1, j2) in enumerate(changed, 1)
    )


def undone(older: str, newer: str, places: Iterable[int]) -> str:
    """`newer` with the lines of `older` at these places. Raises ValueError for one there is not."""
    found = {b.number: b for b in blocks(older, newer)}
    wanted = sorted(set(places) or found)
    if missing := [n for n in wanted if n not in found]:
        raise ValueError(f"there is no changed place {missing[0]}: there are {len(found)}")
    lines = newer.splitlines(keepends=True)
    for number in reversed(wanted):
        block = found[number]
        lines[block.first : block.last] = block.old
    return "".join(lines)


def undo(changes: Iterable[Undo], root: Path, earlier: Path, *, where: str) -> None:
    """Put the earlier release's lines into `root`. Raises ConfigError naming the file."""
    for change in changes:
        path, old = root / change.path, earlier / change.path
        if not path.is_file() or not old.is_file():
            raise ConfigError(f"{where}: {change.path} is not in both releases")
        older, newer = (p.read_bytes().decode("utf-8") for p in (old, path))
        try:
            text = undone(older, newer, change.places)
        except ValueError as error:
            raise ConfigError(f"{where}: {change.path}: {error}") from error
        if text == newer:
            raise ConfigError(f"{where}: {change.path} is the same in both releases")
        path.write_bytes(text.encode("utf-8"))
