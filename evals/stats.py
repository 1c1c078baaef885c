"""The few statistics of the reports, exact and without a library.

Sources: Wilson 1927 (score interval), McNemar 1947 in its exact binomial form.
"""

from collections.abc import Sequence
from math import ceil, comb, sqrt

__all__ = ["detectable", "mcnemar", "percentile", "wilson"]

Z95 = 1.959963984540054


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
