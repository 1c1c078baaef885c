"""How likely drafts are accepted: priors by kind of step and segment, and what the request shows.

Position j counts only when all drafts before it were accepted: a rejected draft hides what would
have come after it, and a wholly accepted run says nothing about the position beyond its end.
"""

from bisect import bisect_right
from collections.abc import Sequence

from agent.engine.segments import Segment
from agent.types import StepKind

__all__ = ["CopyMeter", "PositionMeter", "mtp_prior"]

_EDITING: frozenset[StepKind] = frozenset(("edit", "repair", "refactor", "test", "reproduce"))

_MTP: dict[Segment, tuple[float, float]] = {
    "code": (0.85, 0.75),
    "search": (0.92, 0.88),
    "replace": (0.85, 0.80),
    "json": (0.88, 0.86),
    "thinking": (0.62, 0.58),
    "prose": (0.72, 0.52),
}
"""Acceptance of an MTP draft: in editing steps (where prose is mostly paths and markers), in
others. Published for Qwen heads: code 0.79 to
0.91, tool calls 0.87 to 0.92, prose 0.39 to 0.60; unverified here for want of such weights."""

_COPY = (0.50, 0.70, 0.85, 0.92, 0.97, 0.98)
_COPY_SEARCH = (0.70, 0.85, 0.95, 0.98, 0.99, 0.99)
_COPY_PROSE = (0.10, 0.30, 0.60, 0.85, 0.95, 0.97)
"""Chance that a copied token is right, by how many before it agree (see _STARTS). A search
body repeats its file verbatim; in prose three words in common mean little."""
_COPY_BY: dict[Segment, tuple[float, ...]] = {
    "search": _COPY_SEARCH,
    "prose": _COPY_PROSE,
    "thinking": _COPY_PROSE,
}

_DECAY = 0.97
_MOST = 0.985


def mtp_prior(kind: StepKind | None, segment: Segment) -> float:
    """Acceptance of one MTP draft before anything was seen. No kind: a foreign client."""
    editing, other = _MTP[segment]
    return editing if kind in _EDITING else other


class PositionMeter:
    """Acceptance by position of a chained draft, from a prior worth `weight` drafts."""

    def __init__(self, prior: float, *, weight: float = 6.0, positions: int = 8) -> None:
        self._prior, self._weight = prior, weight
        self._hits = [0.0] * positions
        self._seen = [0.0] * positions

    def record(self, drafted: int, accepted: int) -> None:
        for j in range(min(drafted, accepted + 1, len(self._hits))):
            self._hits[j] = self._hits[j] * _DECAY + (j < accepted)
            self._seen[j] = self._seen[j] * _DECAY + 1

    def rates(self, n: int) -> list[float]:
        """By position; one never seen is moved with the one before it."""
        found, base = [], self._prior
        for j in range(min(n, len(self._hits))):
            rate = (self._hits[j] + self._weight * base) / (self._seen[j] + self._weight)
            base = min(rate, _MOST)
            found.append(base)
        return found


class CopyMeter:
    """Chance that the next copied token is right, by the length of the run that came true."""

    def __init__(self, segment: Segment, *, weight: float = 4.0) -> None:
        self._prior = _COPY_BY.get(segment, _COPY)
        self._weight = weight
        self._hits = [0.0] * len(self._prior)
        self._seen = [0.0] * len(self._prior)

    def record(self, matched: int, *, hit: bool) -> None:
        """A token was committed where copying would have put one, used or not."""
        at = _bucket(matched)
        self._hits[at] = self._hits[at] * _DECAY + hit
        self._seen[at] = self._seen[at] * _DECAY + 1

    def rate(self, matched: int) -> float:
        at = _bucket(matched)
        found = (self._hits[at] + self._weight * self._prior[at]) / (self._seen[at] + self._weight)
        return min(found, _MOST)

    def rates(self, matched: int, n: int) -> list[float]:
        weight = self._weight
        by_bucket = [
            min((hits + weight * prior) / (seen + weight), _MOST)
            for hits, seen, prior in zip(self._hits, self._seen, self._prior, strict=True)
        ]
        return [by_bucket[_bucket(matched + j)] for j in range(n)]

    def reach(self, rates: Sequence[float]) -> float:
        """Tokens the run is expected to go on for."""
        expected, chance = 1.0, 1.0
        for rate in rates:
            chance *= rate
            expected += chance
        last = self.rate(_STARTS[-1])
        return expected + chance * last / (1 - last)


_STARTS = (0, 3, 6, 10, 22, 40)
"""A place near the last one found by two tokens, one found by three, by six, or by as many more
as came true since."""
_BUCKETS = tuple(bisect_right(_STARTS, n) - 1 for n in range(_STARTS[-1] + 1))


def _bucket(matched: int) -> int:
    return _BUCKETS[min(matched, _STARTS[-1])]
