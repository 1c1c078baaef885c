"""Which candidate to try first: the order in which a repair is expected soonest.

    ordered = order(pool, context, load())      # candidates, and the probability of each

Pure: it looks at text only. How well it does, and how it was trained: agent/ranker/README.md.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from agent.ranker.context import Context, words
from agent.ranker.features import NAMES, features
from agent.ranker.model import Ranker, load
from tools.types import Candidate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "HANG_COST",
    "Context",
    "Ordered",
    "Ranker",
    "cost",
    "features",
    "load",
    "order",
    "turns",
    "unranked",
    "words",
    "worth_it",
]

T = TypeVar("T", bound=Hashable)

HANG_COST = 4.0
"""What trying an edit inside a `while` loop costs on average, in tries of any other edit: each that
never ends costs its whole time limit, at least 2 s against 0.06 to 0.1 s."""
LEARNED = 2
"""Candidates of the learned order for one of the enumerator's."""
RANK_S = 0.0005
"""Seconds to make and score one candidate's features, on the machine the figures are from."""
LOAD_S = 0.15
"""Weights, numpy and the counts of a few files, once."""
SAVED = 0.25
"""Share of a search that a better order saves, cautiously; measured: agent/ranker/README.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """Candidates by expected time to a repair, and the probability that each is it."""

    candidates: tuple[Candidate, ...]
    weights: Mapping[Candidate, float]
    """Sums to one; empty when nothing was ranked."""


def unranked(pool: Sequence[Candidate]) -> Ordered:
    """The enumerator's order, with no opinion."""
    return Ordered(candidates=tuple(pool), weights=MappingProxyType({}))


def order(pool: Sequence[Candidate], context: Context, ranker: Ranker) -> Ordered:
    """By probability over cost of a try, the order with the least expected time to the repair, in
    turns with the order of `pool`.
    """
    import numpy as np

    if not pool:
        return unranked(pool)
    rows = np.array([features(context, c) for c in pool], np.float32)
    scores = ranker.scores(rows)
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    value = weights / cost(rows)
    # A stable sort: equal ones stay in the enumerator's order, run after run.
    ranked = [pool[int(i)] for i in np.argsort(-value, kind="stable")]
    return Ordered(
        candidates=tuple(turns(ranked, pool)),
        weights=MappingProxyType({pool[i]: float(weights[i]) for i in range(len(pool))}),
    )


def turns(ranked: Sequence[T], plain: Sequence[T]) -> list[T]:
    """`LEARNED` of the first, one of the second, and so on; each once.

    Where suspicion itself is wrong the learned order is worse than none (webcolors short-hex: place
    90 without, beyond 400 with, the guilty file only third). Taking turns bounds both losses.
    """
    rest = iter(plain)
    found: dict[T, None] = {}
    for at, candidate in enumerate(ranked, 1):
        found[candidate] = None
        if at % LEARNED == 0:
            found[next(rest)] = None
    return list(found)


def worth_it(candidates: int, try_s: float) -> bool:
    """Whether ranking so many is expected to save more time than it takes."""
    return candidates / 2 * SAVED * try_s > LOAD_S + candidates * RANK_S


def cost(rows: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Expected cost of a try, one number per row: 1 but for what may hang."""
    at = NAMES.index("in_while")
    found: NDArray[np.float32] = 1 + (HANG_COST - 1) * rows[:, at]
    return found
