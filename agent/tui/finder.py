"""Fuzzy `@file` and `@file::symbol`: what is typed after the sign, found in the index."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.app import App

__all__ = ["choices", "find", "mention", "mentioned"]

SHOWN = 6
MANY = 60_000
"""Names that are searched; more take longer than a key stroke."""
_TYPED = re.compile(r"(?:^|\s)@([^\s@]*)$")
_WHOLE = re.compile(r"(?:^|\s)@(\S+)")


def mention(before: str) -> str | None:
    """What is typed of a mention up to the cursor; None when the cursor is not in one."""
    found = _TYPED.search(before)
    return found.group(1) if found else None


def mentioned(text: str, files: Sequence[str]) -> tuple[str, ...]:
    """Files of the repository that a text mentions, in order."""
    known = set(files)
    names = (m.group(1).partition("::")[0].rstrip(".,;:)") for m in _WHOLE.finditer(text))
    return tuple(dict.fromkeys(name for name in names if name in known))


def choices(app: "App") -> tuple[str, ...]:
    """Every file, then every symbol as `file::symbol`. Brings the index up to date."""
    index = app.index()
    index.update()
    paths = index.paths()
    symbols = (f"{path}::{s.name}" for path in paths for s in index.symbols(path) if s.name)
    found = [*paths]
    for name in symbols:
        if len(found) >= MANY:
            break
        found.append(name)
    return tuple(found)


def find(typed: str, names: Sequence[str], limit: int = SHOWN) -> tuple[str, ...]:
    """The names that hold the typed characters in order, best first.

    Best: the last part begins so, then holds it whole, then in order; shorter names first.
    """
    wanted = typed.lower()
    if not wanted:
        return tuple(names[:limit])
    pattern = re.compile(".*?".join(map(re.escape, wanted)), re.IGNORECASE)
    ranked = []
    for name in names:
        if pattern.search(name) is None:
            continue
        low = name.lower()
        last = re.split(r"[/:]", low)[-1]
        if last.startswith(wanted):
            rank = 0
        elif wanted in last:
            rank = 1
        elif wanted in low:
            rank = 2
        else:
            rank = 3
        ranked.append((rank, len(name), name))
    return tuple(name for _, _, name in sorted(ranked)[:limit])
