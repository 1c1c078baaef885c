"""The copy drafter: what followed the last tokens where they occurred before.

An n-gram index over the copy sources, the prompt and the output so far: O(1) a committed token.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CopyDrafter"]

_LONG, _SHORT = 6, 3
"""Lengths of the n-grams looked up, the longer first: it is right more often."""
_NEAR, _BEHIND, _AHEAD = 2, 4, 96
"""After an edit copying goes on close to where it stopped: two tokens in common are enough within
so many tokens around that place."""


class CopyDrafter:
    """Proposes the continuation of the latest earlier occurrence; sources win over the prompt."""

    def __init__(self, sources: Sequence[Sequence[int]], prompt: Sequence[int]) -> None:
        self._text: list[int] = []
        self._index: tuple[tuple[int, dict[tuple[int, ...], int]], ...]
        self._index = ((_LONG, {}), (_SHORT, {}))
        self._cursor: int | None = None
        """Where the next committed token is expected, while it keeps coming true."""
        self._left = 0
        """Where copying stopped last; 0: nowhere."""
        self.matched = 0
        """How many tokens before the cursor agree with the output, as far as is known."""
        self._extend(prompt)
        for source in sources:
            self._text.append(-1)  # no n-gram reaches over a border
            self._extend(source)
        self._text.append(-1)
        self._context = tuple(prompt[-_LONG:])

    def commit(self, tokens: Sequence[int]) -> None:
        """The output grew by `tokens`."""
        text = self._text
        for token in tokens:
            at = self._cursor
            if at is not None and at < len(text) and text[at] == token:
                self._cursor = at + 1
                self.matched += 1
            else:
                self._left = at if at is not None and self.matched >= _LONG else self._left
                self._cursor, self.matched = None, 0
            self._context = (*self._context[1 - _LONG :], token)
            if self._cursor is None:
                self._cursor = self._find()
            text.append(token)
            for n, index in self._index:
                if len(self._context) >= n:
                    index[self._context[-n:]] = len(text)

    def propose(self, token: int, room: int) -> Sequence[int]:
        """Up to `room` tokens that followed; `token` must have been committed before."""
        if self._cursor is None:
            return ()
        found = self._text[self._cursor : self._cursor + room]
        return found[: found.index(-1)] if -1 in found else found

    @property
    def available(self) -> bool:
        return self.expected is not None

    @property
    def expected(self) -> int | None:
        """The token that copying would put next."""
        at = self._cursor
        if at is None or at >= len(self._text) or self._text[at] < 0:
            return None
        return self._text[at]

    def doubt(self) -> None:
        """Another drafter disagrees: what came true so far no longer speaks for the next token."""
        self.matched = 0

    def observe(self, tokens: Sequence[int], hidden: "NDArray[np.float32] | None") -> None:
        """Nothing: it follows the output, not the context."""

    def draft(self, token: int, k: int) -> Sequence[int]:
        return self.propose(token, k)

    def truncate(self, length: int) -> None:
        """Nothing: only committed tokens are learnt."""

    def reset(self) -> None:
        self._cursor, self.matched = None, 0

    def _find(self) -> int | None:
        for n, index in self._index:
            if len(self._context) >= n:
                at = index.get(self._context[-n:])
                if at is not None and at < len(self._text):
                    self.matched = n
                    return at
        return self._near()

    def _near(self) -> int | None:
        """The nearest place that goes on like the output, around where copying stopped."""
        at, last = max(self._left - _BEHIND, 0), min(self._left + _AHEAD, len(self._text) - 1)
        if not self._left or len(self._context) < _NEAR:
            return None
        first, second = self._context[-_NEAR:]
        with suppress(ValueError):
            while True:
                at = self._text.index(first, at, last - 1) + 1
                if self._text[at] == second:
                    self.matched = _NEAR
                    return at + 1
        return None

    def _extend(self, tokens: Sequence[int]) -> None:
        """A prompt or a source, of which no n-gram reaches over a border."""
        self._text += tokens
        for n, index in self._index:
            ends = range(len(self._text) - len(tokens) + n, len(self._text) + 1)
            index.update(
                zip(zip(*(tokens[i:] for i in range(n)), strict=False), ends, strict=False)
            )
