"""What a run shows, as values: pure. `render.py` writes them as Markdown, HTML and JSON.

Every rate is given with its n and a 95 % Wilson interval. Infrastructure failures are in no rate.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evals.result import Result
from evals.stats import detectable, percentile, wilson

__all__ = ["ArmReport", "LocationTokens", "Rate", "Report", "report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """`k` of `n`, with its interval."""

    k: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, results: Iterable[Result], hit: Callable[[Result], bool]) -> "Rate":
        graded = [r for r in results if r.status != "infra"]
        k = sum(1 for r in graded if hit(r))
        low, high = wilson(k, len(graded))
        return cls(k=k, n=len(graded), low=low, high=high)

    @property
    def share(self) -> float:
        return self.k / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationTokens:
    location: str
    requests: int
    tokens_in: int
    cached: int
    tokens_out: int
    drafted: int
    accepted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmReport:
    """One arm over its instances."""

    arm: str
    resolved: Rate
    """The patch, verified or only offered, passes the hidden grading."""
    verified: Rate
    """Resolved, and the agent itself said verified: exit 0."""
    false_verified: tuple[str, ...]
    """Units the agent called verified and the grading refused."""
    groups: tuple[tuple[str, Rate, Rate], ...]
    """(stratum and visibility, resolved, verified and resolved)."""
    infra: tuple[tuple[str, str], ...]
    """Units that could not be run or graded, and why."""
    usd_micro: int | None
    wall_p50: float
    wall_p90: float
    test_runs_p50: float
    overhead_share: float
    """Of the wall time, what went neither to tests nor to models; over all units."""
    tokens: tuple[LocationTokens, ...]
    exits: tuple[tuple[str, int], ...]

    @property
    def n(self) -> int:
        return self.resolved.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole run."""

    command: str
    date: str
    machine: str
    arms: tuple[ArmReport, ...]
    results: tuple[Result, ...]
    not_run: tuple[tuple[str, str], ...]
    rejected: tuple[tuple[str, str], ...]
    statement: str
    """What this n can and cannot show."""


def report(
    results: Sequence[Result],
    *,
    command: str,
    date: str,
    machine: str = "",
    not_run: Sequence[tuple[str, str]] = (),
    rejected: Sequence[tuple[str, str]] = (),
) -> Report:
    """Summarise results of any number of arms."""
    by_arm: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_arm[result.arm].append(result)
    arms = tuple(_arm(name, found) for name, found in by_arm.items())
    return Report(
        command=command,
        date=date,
        machine=machine,
        arms=arms,
        results=tuple(results),
        not_run=tuple(not_run),
        rejected=tuple(rejected),
        statement=statement(min((a.n for a in arms), default=0)),
    )


def statement(n: int) -> str:
    """In words, for the report's foot."""
    low, high = wilson(n // 2, n)
    seen = detectable(n)
    gap = (
        f"a difference between two arms smaller than {seen:.0%} would not be significant"
        if seen is not None
        else "no difference between two arms would be significant"
    )
    return (
        f"n = {n}: a rate near one half is known to ±{(high - low) / 2:.0%}; with 20 % of the"
        f" instances discordant, {gap}. The bugs are injected by hand into real packages; they are"
        " not mined from histories of fixes, and rates on real fixes will be lower."
    )


def group_of(result: Result) -> str:
    tests = "tests visible" if result.tests_visible else "tests hidden"
    return f"{result.stratum or 'unknown'}, {tests}"


def _arm(name: str, results: list[Result]) -> ArmReport:
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[group_of(result)].append(result)
    ran = [r for r in results if r.status != "infra"]
    wall = sum(r.wall_s for r in ran)
    costs = [r.usd_micro for r in ran]
    return ArmReport(
        arm=name,
        resolved=Rate.of(results, _resolved),
        verified=Rate.of(results, _verified),
        false_verified=tuple(r.instance_id for r in results if r.false_verified),
        groups=tuple(
            (label, Rate.of(found, _resolved), Rate.of(found, _verified))
            for label, found in sorted(groups.items(), reverse=True)
        ),
        infra=tuple((r.instance_id, r.reason) for r in results if r.status == "infra"),
        usd_micro=None if None in costs else sum(c for c in costs if c is not None),
        wall_p50=percentile([r.wall_s for r in ran], 0.5),
        wall_p90=percentile([r.wall_s for r in ran], 0.9),
        test_runs_p50=percentile([r.test_runs for r in ran], 0.5),
        overhead_share=sum(r.overhead_s for r in ran) / wall if wall else 0.0,
        tokens=_tokens(ran),
        exits=tuple(Counter(map(_ending, ran)).most_common()),
    )


def _ending(result: Result) -> str:
    """The agent's verdict and exit code; the reason where it gave no verdict."""
    return f"{result.verdict or result.exit_reason or 'none'} (exit {result.exit_code})"


def _resolved(result: Result) -> bool:
    return result.status == "resolved"


def _verified(result: Result) -> bool:
    return result.status == "resolved" and result.verdict == "verified"


def _tokens(results: list[Result]) -> tuple[LocationTokens, ...]:
    rows = [t for r in results for t in r.tokens]
    return tuple(
        LocationTokens(
            location=location,
            requests=sum(t.requests for t in rows if t.location == location),
            tokens_in=sum(t.tokens_in for t in rows if t.location == location),
            cached=sum(t.cached for t in rows if t.location == location),
            tokens_out=sum(t.tokens_out for t in rows if t.location == location),
            drafted=sum(t.drafted for t in rows if t.location == location),
            accepted=sum(t.accepted for t in rows if t.location == location),
        )
        for location in sorted({t.location for t in rows})
    )
