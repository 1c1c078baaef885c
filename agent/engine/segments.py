"""Which part of an answer is being written: the agent knows its own output grammar.

Acceptance differs more between the segments of one answer than between requests: a search body is
verbatim, a replacement is new in places, the prose around them is anyone's guess.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from agent.types import EditFormatName, StepKind

__all__ = ["Segment", "Segments", "opening"]

Segment = Literal["code", "search", "replace", "json", "thinking", "prose"]

_TALKING: frozenset[StepKind] = frozenset(("plan", "summarise", "chat"))


def opening(kind: StepKind | None, edit_format: EditFormatName | None) -> Segment:
    """Where an answer begins that is not known to think or to be constrained."""
    talking = kind is None or kind in _TALKING or edit_format == "search_replace"
    return "prose" if talking else "code"


class Segments:
    """Follows the output line by line; `now` is the segment of the next token."""

    def __init__(
        self,
        piece: Callable[[int], bytes],
        *,
        kind: StepKind | None = None,
        edit_format: EditFormatName | None = None,
        prompt: Sequence[int] = (),
        constrained: Literal["json"] | None = None,
    ) -> None:
        """`prompt`: its end says whether the answer begins by thinking."""
        self._piece = piece
        self._constrained = constrained
        self._outside = opening(kind, edit_format)
        self._line = b""
        self._first = True
        """Nothing but blanks has been written yet."""
        tail = b"".join(piece(t) for t in prompt[-8:]).rstrip()
        self.now: Segment = constrained or self._outside
        if tail.endswith(b"<think>"):
            self.now = "thinking"

    def feed(self, tokens: Sequence[int]) -> None:
        if self._constrained:
            return
        for token in tokens:
            piece = self._piece(token)
            self._line += piece
            if self._first and self._line.strip():
                self._first = False
                if self.now == "prose" and self._line.lstrip()[:1] in (b"{", b"["):
                    self.now = "json"
            if b"\n" in piece:
                *lines, self._line = self._line.split(b"\n")
                for line in lines:
                    self._enter(line.strip())
            elif self._line.endswith((b"</think>", b"<think>")):
                self._enter(self._line)

    def _enter(self, line: bytes) -> None:
        if line.endswith(b"</think>"):
            self.now = self._outside
        elif line.endswith(b"<think>"):
            self.now = "thinking"
        elif self.now == "thinking":
            return
        elif line.startswith(b"<<<<<") and b"SEARCH" in line:
            self.now = "search"
        elif line.startswith(b"=====") and self.now == "search":
            self.now = "replace"
        elif line.startswith(b">>>>>") and b"REPLACE" in line:
            self.now = self._outside
        elif line.startswith(b"```") and self.now not in ("search", "replace"):
            self._fence(line)

    def _fence(self, line: bytes) -> None:
        if line == b"```" and self.now in ("code", "json"):
            self.now = "prose"
        else:
            self.now = "json" if line == b"```json" else "code"
