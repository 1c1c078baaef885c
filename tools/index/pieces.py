"""Large files piece by piece: after an edit, only the pieces that it touched are read again.

A piece begins with a definition at the left margin below a blank line. What is found in it does
not depend on the rest: should the blank line stand inside a string, a bracket or behind a `\\`,
then the piece before it does not add up, and the file is scanned as a whole.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from tools.index.grammar import Found, Imported
from tools.index.reparse import Trees
from tools.index.tokens import Spans

__all__ = ["Pieces", "Recent"]

if TYPE_CHECKING:
    Scanned = tuple[list[Found], list[Imported]]

_CUT = re.compile(rb"\n\n(?=class |def |async def |@|export |function |func |pub |fn |impl )")
_HELD_BYTES = 2 << 20
"""Of pieces: two files as large as any that is indexed. With what was found in them, 8 MB."""


@dataclass(slots=True, eq=False)
class _Piece:
    text: bytes
    lines: int
    scanned: "Scanned | None" = None
    """None before it is scanned, and where a scan of the piece alone says nothing."""
    words: Spans | None = None


class Pieces:
    """The pieces of the large files that were read last, with what was found in each."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Piece] = {}
        self._bytes = 0
        self._last: tuple[bytes, list[_Piece]] = (b"", [])

    def scan(
        self, source: bytes, read: "Callable[[Sequence[bytes]], list[Scanned | None]]"
    ) -> "Scanned | None":
        """What `read` finds in a source, by way of what it found in its pieces."""
        pieces = self._of(source)
        new = [p for p in dict.fromkeys(pieces) if p.scanned is None]
        for piece, scanned in zip(new, read([p.text for p in new]), strict=True):
            piece.scanned = scanned
        found: list[Found] = []
        imports: list[Imported] = []
        at = lines = 0
        for piece in pieces:
            if piece.scanned is None:
                return read([source])[0]
            found += [Found(n, k, a + at, b + at, s) for n, k, a, b, s in piece.scanned[0]]
            imports += [(first + lines, last + lines, t) for first, last, t in piece.scanned[1]]
            at += len(piece.text)
            lines += piece.lines
        return found, imports

    def words(self, source: bytes, read: Callable[[bytes], Spans]) -> Spans:
        """What `read` finds in a source; no word reaches over a line break."""
        import numpy as np

        pieces = self._of(source)
        starts, at = [], 0
        spans = []
        for piece in pieces:
            if piece.words is None:
                piece.words = read(piece.text)
            spans.append(piece.words)
            starts.append(piece.words.starts + at)
            at += len(piece.text)
        _, sizes, hashes = zip(*spans, strict=True)
        return Spans(np.concatenate(starts), np.concatenate(sizes), np.concatenate(hashes))

    def _of(self, source: bytes) -> list[_Piece]:
        if self._last[0] is not source:
            cuts = [0, *(m.end() for m in _CUT.finditer(source)), len(source)]
            pieces = [self._piece(source[a:b]) for a, b in pairwise(cuts)]
            while self._bytes > _HELD_BYTES:
                oldest = next(iter(self._known))
                self._bytes -= len(oldest)
                del self._known[oldest]
            self._last = (source, pieces)
        return self._last[1]

    def _piece(self, text: bytes) -> _Piece:
        piece = self._known.pop(text, None)
        if piece is None:
            piece = _Piece(text, text.count(b"\n"))
            self._bytes += len(text)
        self._known[text] = piece
        return piece


@dataclass(frozen=True, slots=True)
class Recent:
    """What is kept of the large files that were read last; see `reparse.LARGE`."""

    trees: Trees = field(default_factory=Trees)
    pieces: Pieces = field(default_factory=Pieces)
