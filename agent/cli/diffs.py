"""A unified diff for a terminal: coloured, numbered, readable without colour."""

import re
from typing import TYPE_CHECKING

from agent.sanitize import clean

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["changed", "diff_text"]

_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_STYLES = (
    ("+++ ", "bold"),
    ("--- ", "bold"),
    ("diff ", "bold"),
    ("@@", "cyan"),
    ("+", "green"),
    ("-", "red"),
    ("\\", "dim"),
)


def diff_text(diff: str, *, limit: int | None = None) -> "Text":
    """The diff with one style per line. Signs stay: colour only repeats what they say."""
    from rich.text import Text

    rows = clean(diff.removesuffix("\n")).split("\n")
    text = Text(no_wrap=False, tab_size=4)
    for number, row in enumerate(rows if limit is None else rows[:limit]):
        text.append(("\n" if number else "") + row, _style(row))
    if limit is not None and len(rows) > limit:
        text.append(f"\n… {len(rows) - limit} more lines: agent diff", "dim")
    return text


def changed(diff: str) -> tuple[tuple[str, int, int], ...]:
    """(path, lines added, lines removed) per file of a unified diff, in order.

    Hunk headers say how many lines follow: a removed line `-- x` looks like a file header.
    """
    found: list[tuple[str, int, int]] = []
    old = new = 0
    for row in diff.split("\n"):
        if old > 0 or new > 0:
            sign = row[:1]
            old -= sign != "+" and sign != "\\"
            new -= sign != "-" and sign != "\\"
            path, plus, minus = found[-1]
            found[-1] = (path, plus + (sign == "+"), minus + (sign == "-"))
        elif row.startswith("--- "):
            found.append((_path(row), 0, 0))
        elif row.startswith("+++ ") and found and _path(row) != "/dev/null":
            found[-1] = (_path(row), 0, 0)
        elif found and (hunk := _HUNK.match(row)):
            old, new = (int(n) if n is not None else 1 for n in hunk.groups())
    return tuple(found)


def _path(header: str) -> str:
    name = header[4:].split("\t")[0].strip('"')
    return name if name == "/dev/null" else name.removeprefix("a/").removeprefix("b/")


def _style(row: str) -> str:
    return next((style for start, style in _STYLES if row.startswith(start)), "")
