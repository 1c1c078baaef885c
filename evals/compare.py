"""Two arms on the same instances and seeds: a 2×2 table and McNemar's exact test. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import ConfigError
from evals.result import Result
from evals.stats import detectable, mcnemar

__all__ = ["Comparison", "compare"]


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
    p: float

    @property
    def n(self) -> int:
        return self.both + self.neither + len(self.only_first) + len(self.only_second)

    @property
    def difference(self) -> float:
        """Resolved rate of the first minus that of the second."""
        return (len(self.only_first) - len(self.only_second)) / self.n if self.n else 0.0

    def lines(self) -> list[str]:
        """For people."""
        width = max(len(self.first), len(self.second)) + len(" not resolved")
        yes, no = f"{self.second} resolved", f"{self.second} not"
        seen = detectable(self.n)
        shown = [
            f"{'':<{width}}  {yes:>20}  {no:>20}",
            f"{self.first + ' resolved':<{width}}  {self.both:>20}  {len(self.only_first):>20}",
            f"{self.first + ' not resolved':<{width}}  {len(self.only_second):>20}"
            f"  {self.neither:>20}",
            f"n = {self.n}, left out {self.left_out}; difference {self.difference:+.1%};"
            f" McNemar exact p = {self.p:.3f}",
        ]
        if seen is not None:
            shown.append(f"at 20 % discordance this n sees differences from {seen:.0%}")
        shown += [f"only {self.first}: {name}" for name in self.only_first]
        shown += [f"only {self.second}: {name}" for name in self.only_second]
        return shown


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
    solved = [(left[k].status == "resolved", right[k].status == "resolved") for k in keys]
    only_first = tuple(k[0] for k, s in zip(keys, solved, strict=True) if s == (True, False))
    only_second = tuple(k[0] for k, s in zip(keys, solved, strict=True) if s == (False, True))
    return Comparison(
        first=names[0],
        second=names[1],
        both=solved.count((True, True)),
        only_first=only_first,
        only_second=only_second,
        neither=solved.count((False, False)),
        left_out=len(left.keys() | right.keys()) - len(keys),
        p=mcnemar(len(only_first), len(only_second)),
    )


def _arm_of(results: Sequence[Result]) -> str:
    arms = sorted({r.arm for r in results})
    if len(arms) != 1:
        raise ConfigError(
            f"a side must be one arm, not {', '.join(arms) or 'none'}", remedy="RUN:ARM names one"
        )
    return arms[0]
