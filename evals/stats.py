"""The few statistics of the reports, without a library.

Sources: Wilson 1927 (score interval); McNemar 1947 in its exact binomial form; Efron 1979
(percentile bootstrap), over whole instances where an instance was run with several seeds; Chen et
al. 2021, "Evaluating Large Language Models Trained on Code" (unbiased pass@k).
"""

import random
from collections.abc import Callable, Sequence
from math import ceil, comb, inf, sqrt
from typing import TypeVar

__all__ = [
    "bootstrap",
    "cluster_difference",
    "detectable",
    "mcnemar",
    "pass_at_k",
    "percentile",
    "wilson",
]

T = TypeVar("T")
Z95 = 1.959963984540054
DRAWS = 2000
SEED = 20260101
"""The same results give the same interval, wherever they are rendered."""


def wilson(successes: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Score interval of a rate, 95 % by default; (0, 1) when there is nothing to go by."""
    if n == 0:
        return 0.0, 1.0
    rate = successes / n
    spread = z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    middle, scale = rate + z * z / (2 * n), 1 + z * z / n
    low = 0.0 if successes == 0 else max((middle - spread) / scale, 0.0)
    high = 1.0 if successes == n else min((middle + spread) / scale, 1.0)
    return low, high


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p of a 2×2 table of pairs, from its discordant cells; 1 if there is none."""
    n = only_first + only_second
    if n == 0:
        return 1.0
    tail = sum(comb(n, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, float(2 * tail / 2**n))


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile, `share` in (0, 1]; 0 for no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(ceil(share * len(ordered)), 1) - 1]


def detectable(n: int, discordance: float = 0.2, alpha: float = 0.05) -> float | None:
    """The smallest difference of two arms (as a share of n) that McNemar's test would call
    significant at this discordance; None if even one-sided discordance would not be."""
    pairs = round(n * discordance)
    for few in range(pairs // 2, -1, -1):
        if mcnemar(few, pairs - few) < alpha:
            return (pairs - 2 * few) / n
    return None


def pass_at_k(n: int, solved: int, k: int) -> float:
    """The chance that one of k runs drawn from n solves it: 1 - C(n-solved, k) / C(n, k).

    Raises ValueError for k above n: what was not run cannot be told without bias.
    """
    if not 1 <= k <= n:
        raise ValueError(f"k must be from 1 to {n}, not {k}")
    return 1.0 - comb(n - solved, k) / comb(n, k)


def bootstrap(
    items: Sequence[T], of: Callable[[Sequence[T]], float], draws: int = DRAWS
) -> tuple[float, float]:
    """95 % percentile interval of a figure under resampling of `items` with replacement.

    `inf` sorts last: a draw in which nothing was resolved has no finite cost per resolved.
    """
    if not items:
        return 0.0, inf
    dice = random.Random(SEED)
    found = [of(dice.choices(items, k=len(items))) for _ in range(draws)]
    return percentile(found, 0.025), percentile(found, 0.975)


def cluster_difference(
    pairs: Sequence[tuple[Sequence[bool], Sequence[bool]]], draws: int = DRAWS
) -> tuple[float, float, float]:
    """(difference, low, high) of two arms' rates, instance by instance.

    Each item holds one instance's outcomes by seed, of the first and of the second arm. Whole
    instances are drawn: seeds of one instance are not independent of each other.
    """
    gaps = [_share(first) - _share(second) for first, second in pairs]
    if not gaps:
        return 0.0, -1.0, 1.0
    low, high = bootstrap(gaps, lambda drawn: sum(drawn) / len(drawn), draws)
    return sum(gaps) / len(gaps), low, high


def _share(outcomes: Sequence[bool]) -> float:
    return sum(outcomes) / len(outcomes)
