"""Choosing the next token from a row of logits, the same whatever the width of the decode.

The random number of a position is a function of (seed, position) alone, so a draft that was
rejected consumes nothing and a verified run gives exactly the tokens of plain decoding.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Sampler", "Sampling", "log_probability", "loops"]

_BLOCK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Temperature 0 is greedy. The filters apply in the order of the fields."""

    temperature: float = 0.0
    top_k: int = 0
    """0: all."""
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    repeat_window: int = 64
    seed: int = 0


class Sampler:
    """Stateless but for its settings: `pick` depends on its arguments only."""

    def __init__(self, settings: Sampling) -> None:
        self.settings = settings

    def pick(self, row: "NDArray[np.float32]", history: Sequence[int], position: int) -> int:
        """The token for `position`, given all tokens before it."""
        s = self.settings
        if s.repeat_penalty != 1.0:
            row = _penalised(row, history[-s.repeat_window :], s.repeat_penalty)
        if s.temperature <= 0:
            return int(row.argmax())
        import numpy as np

        generator = np.random.Generator(
            np.random.Philox(key=s.seed & (2**64 - 1), counter=position)
        )
        order, weights = self._distribution(row)
        at = _drawn(weights, generator.random())
        return at if order is None else int(order[at])

    def _distribution(
        self, row: "NDArray[np.float32]"
    ) -> "tuple[NDArray[np.intp] | None, NDArray[np.float32]]":
        """Tokens (None: all of them, by id) and their weights, the greatest 1, before scaling.

        Nothing is sorted that need not be: a whole vocabulary takes 25 ms for 248,000 tokens.
        """
        import numpy as np

        s = self.settings
        weights: NDArray[np.float32] = np.exp((row - row.max()) / np.float32(s.temperature))
        if 0 < s.top_k < len(row):
            order = _heaviest(row, s.top_k)[: s.top_k]
        elif s.top_p >= 1 and s.min_p <= 0:
            return None, weights
        else:
            order = _leading(weights, s.top_p, s.min_p)
        chosen = weights[order]
        total = (
            chosen.sum(dtype=np.float64)
            if 0 < s.top_k < len(row)
            else weights.sum(dtype=np.float64)
        )
        keep = int((chosen > 0).sum())  # a grammar leaves -inf behind
        if s.min_p > 0:
            keep = min(keep, int((chosen >= s.min_p).sum()))
        if s.top_p < 1:
            mass = np.cumsum(chosen, dtype=np.float64)
            keep = min(keep, int(np.searchsorted(mass, s.top_p * total)) + 1)
        keep = max(keep, 1)
        return order[:keep], chosen[:keep]


def _leading(weights: "NDArray[np.float32]", top_p: float, min_p: float) -> "NDArray[np.intp]":
    """Enough of the heaviest tokens, heaviest first, for both filters."""
    import numpy as np

    if min_p > 0:
        chosen = np.flatnonzero(weights >= min_p)
        return chosen[np.argsort(-weights[chosen], kind="stable")]
    total, n = weights.sum(dtype=np.float64), 256
    while n < len(weights):
        chosen = _heaviest(weights, n)
        if weights[chosen].sum(dtype=np.float64) >= top_p * total:
            return chosen
        n *= 8
    return np.argsort(-weights, kind="stable")


def _heaviest(values: "NDArray[np.float32]", n: int) -> "NDArray[np.intp]":
    """The `n` greatest and all that tie with the last of them; greatest first, then by id."""
    import numpy as np

    at = len(values) - n
    chosen = np.flatnonzero(values >= np.partition(values, at)[at])
    return chosen[np.argsort(-values[chosen], kind="stable")]


def _drawn(weights: "NDArray[np.float32]", chance: float) -> int:
    """The index under which `chance` of all the weight lies. By blocks: sums of a whole vocabulary
    in double precision take longer than its exponentials."""
    import numpy as np

    starts = np.arange(0, len(weights), _BLOCK)
    sums = np.cumsum(np.add.reduceat(weights, starts, dtype=np.float64))
    wanted = chance * sums[-1]
    block = min(int(np.searchsorted(sums, wanted, side="right")), len(starts) - 1)
    inside = weights[starts[block] : starts[block] + _BLOCK]
    mass = np.cumsum(inside, dtype=np.float64)
    before = sums[block - 1] if block else 0.0
    at = int(np.searchsorted(mass, wanted - before, side="right"))
    last = int(np.flatnonzero(inside)[-1])  # where rounding ends beyond the block
    return int(starts[block]) + min(at, last)


def _penalised(
    row: "NDArray[np.float32]", recent: Sequence[int], penalty: float
) -> "NDArray[np.float32]":
    row = row.copy()
    for token in Counter(recent):
        row[token] = row[token] / penalty if row[token] > 0 else row[token] * penalty
    return row


def log_probability(row: "NDArray[np.float32]", token: int) -> float:
    """Natural logarithm of the token's probability at temperature 1."""
    import numpy as np

    top = row.max()
    total = float(np.exp(row - top).sum(dtype=np.float64))
    return float(row[token]) - float(top) - float(np.log(total))


def loops(tokens: Sequence[int], *, least: int = 160, longest_period: int = 40) -> bool:
    """Whether the last `least` tokens repeat one run of at most `longest_period` tokens.

    A model that has lost the thread repeats itself until its limit; real code does not repeat a
    line-long run this often.
    """
    if len(tokens) < least:
        return False
    tail = tokens[-least:]
    for period in range(1, longest_period + 1):
        if tail[-1] == tail[-1 - period] and tail[period:] == tail[:-period]:
            return True
    return False
