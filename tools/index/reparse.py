"""Parsing a large file again after an edit: from the tree of the last time, a tenth of the time.

Only trees without errors are kept and used: how a grammar recovers from an error may depend on
what was parsed before, and a record must depend on the bytes alone.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Parser, Tree

__all__ = ["LARGE", "Trees"]

LARGE = 50_000
"""Bytes from which on a tree is worth keeping; smaller files are parsed in 4 ms."""
_KEPT = 2
"""Trees kept: each takes thirty times the memory of its file."""


class Trees:
    """The trees of the large files that were parsed last."""

    def __init__(self) -> None:
        self._last: deque[tuple[str, bytes, Tree]] = deque(maxlen=_KEPT)

    def parse(self, parser: "Parser", language: str, source: bytes) -> "Tree":
        """The tree of a source, by way of that of a like source if there is one."""
        tree = None
        for number, (known, before, old) in enumerate(self._last):
            first, last = _same_ends(before, source)
            if known == language and first + last > len(source) * 0.9:
                del self._last[number]
                tree = parser.parse(source, _edited(old, before, source, first, last))
                break
        if tree is None or tree.root_node.has_error:
            tree = parser.parse(source)
        if not tree.root_node.has_error:
            self._last.append((language, source, tree))
        return tree


def _same_ends(a: bytes, b: bytes) -> tuple[int, int]:
    """Bytes that two texts have in common at their beginning and, besides, at their end."""
    most = min(len(a), len(b))
    first = _longest(most, lambda n: a[:n] == b[:n])
    last = _longest(most - first, lambda n: a[len(a) - n :] == b[len(b) - n :])
    return first, last


def _longest(most: int, holds: "Callable[[int], bool]") -> int:
    low = 0
    while low < most:
        middle = (low + most + 1) // 2
        low, most = (middle, most) if holds(middle) else (low, middle - 1)
    return low


def _edited(tree: "Tree", before: bytes, after: bytes, first: int, last: int) -> "Tree":
    old_end, new_end = len(before) - last, len(after) - last
    tree.edit(
        start_byte=first, old_end_byte=old_end, new_end_byte=new_end,
        start_point=_point(before, first), old_end_point=_point(before, old_end),
        new_end_point=_point(after, new_end),
    )  # fmt: skip
    return tree


def _point(text: bytes, at: int) -> tuple[int, int]:
    """Row and column, in bytes and from 0."""
    return text.count(b"\n", 0, at), at - text.rfind(b"\n", 0, at) - 1
