"""Two arms on the same instances and seeds: a 2×2 table, and whether the gap is more than chance.

On one seed McNemar's exact test; on several a bootstrap over whole instances, since the seeds of
one instance are not independent. Pure.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from agent.errors import ConfigError
from evals.result import Result
from evals.stats import cluster_difference, detectable, mcnemar

__all__ = ["Comparison", "compare", "every_pair", "sentence"]

Key = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Counts over the pairs that both arms ran; `p` is two-sided."""

    first: str
    second: str
    both: int
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    neither: int
    left_out: int
    """Pairs with an infrastructure failure on either side, and instances only one arm ran."""
    instances: int
    seeds: int
    difference: float
    """Resolved rate of the first minus that of the second, over instances."""
    low: float
    high: float
    """95 %, of the difference; a paired bootstrap over instances."""
    p: float | None
    """McNemar's exact test; None with several seeds."""
    groups: tuple[tuple[str, "Comparison"], ...] = ()
    """By stratum and visibility of the tests, where there is more than one."""

    @property
    def n(self) -> int:
        """Pairs."""
        return self.both + self.neither + len(self.only_first) + len(self.only_second)

    def lines(self) -> list[str]:
        """For people."""
        width = max(len(self.first), len(self.second)) + len(" not resolved")
        yes, no = f"{self.second} resolved", f"{self.second} not"
        shown = [
            f"{'':<{width}}  {yes:>20}  {no:>20}",
            f"{self.first + ' resolved':<{width}}  {self.both:>20}  {len(self.only_first):>20}",
            f"{self.first + ' not resolved':<{width}}  {len(self.only_second):>20}"
            f"  {self.neither:>20}",
            f"n = {self.instances} instances × {self.seeds} seeds, left out {self.left_out}",
            self._gap(),
            sentence(self),
        ]
        shown += [f"  {label}: {group._gap()} (n = {group.n})" for label, group in self.groups]
        shown += [f"only {self.first}: {name}" for name in self.only_first]
        shown += [f"only {self.second}: {name}" for name in self.only_second]
        return shown

    def _gap(self) -> str:
        gap = f"difference {self.difference:+.1%} [{self.low:+.1%}, {self.high:+.1%}]"
        return gap if self.p is None else f"{gap}; McNemar exact p = {self.p:.3f}"


def sentence(found: Comparison) -> str:
    """What this comparison can and cannot show, in words."""
    seen = detectable(found.instances)
    sees = (
        f"with 20 % discordance, {found.instances} instances see differences from {seen:.0%}"
        if seen is not None
        else f"{found.instances} instances are too few to see any difference"
    )
    sure = found.p < 0.05 if found.p is not None else found.low > 0 or found.high < 0
    gap = abs(found.difference)
    if sure:
        better = found.first if found.difference > 0 else found.second
        return f"{better} resolves more here, beyond chance; {sees}"
    return f"a gap of {gap:.0%} here is not told from chance; {sees}"


def compare(first: Sequence[Result], second: Sequence[Result]) -> Comparison:
    """Pair by instance and seed. Raises ConfigError when a side has several arms or no pair is."""
    names = (_arm_of(first), _arm_of(second))
    left = {(r.instance_id, r.seed): r for r in first}
    right = {(r.instance_id, r.seed): r for r in second}
    keys = [
        k
        for k in sorted(left.keys() & right.keys())
        if "infra" not in (left[k].status, right[k].status)
    ]
    if not keys:
        raise ConfigError("the two sides have no graded instance in common")
    whole = _counted(names, keys, left, right, len(left.keys() | right.keys()) - len(keys))
    by_group: dict[str, list[Key]] = defaultdict(list)
    for key in keys:
        by_group[left[key].group].append(key)
    if len(by_group) < 2:
        return whole
    groups = tuple(
        (label, _counted(names, found, left, right, 0)) for label, found in sorted(by_group.items())
    )
    return replace(whole, groups=groups)


def _counted(
    names: tuple[str, str],
    keys: Sequence[Key],
    left: dict[Key, Result],
    right: dict[Key, Result],
    left_out: int,
) -> Comparison:
    solved = {k: (left[k].status == "resolved", right[k].status == "resolved") for k in keys}
    clusters: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for (instance_id, _), pair in solved.items():
        clusters[instance_id].append(pair)
    pairs = [([a for a, _ in c], [b for _, b in c]) for c in clusters.values()]
    difference, low, high = cluster_difference(pairs)
    only_first = tuple(_named(k, keys) for k in keys if solved[k] == (True, False))
    only_second = tuple(_named(k, keys) for k in keys if solved[k] == (False, True))
    outcomes = list(solved.values())
    seeds = len({seed for _, seed in keys})
    return Comparison(
        first=names[0],
        second=names[1],
        both=outcomes.count((True, True)),
        only_first=only_first,
        only_second=only_second,
        neither=outcomes.count((False, False)),
        left_out=left_out,
        instances=len(clusters),
        seeds=seeds,
        difference=difference,
        low=low,
        high=high,
        p=mcnemar(len(only_first), len(only_second)) if seeds == 1 else None,
    )


def _named(key: Key, keys: Sequence[Key]) -> str:
    several = len({seed for _, seed in keys}) > 1
    return f"{key[0]} (seed {key[1]})" if several else key[0]


def every_pair(results: Sequence[Result]) -> Iterator[Comparison]:
    """Each two arms of a run that have graded instances in common, in the run's order."""
    arms = list(dict.fromkeys(r.arm for r in results))
    for place, first in enumerate(arms):
        for second in arms[place + 1 :]:
            try:
                yield compare(
                    [r for r in results if r.arm == second], [r for r in results if r.arm == first]
                )
            except ConfigError:
                continue


def _arm_of(results: Sequence[Result]) -> str:
    arms = sorted({r.arm for r in results})
    if len(arms) != 1:
        raise ConfigError(
            f"a side must be one arm, not {', '.join(arms) or 'none'}", remedy="RUN:ARM names one"
        )
    return arms[0]
