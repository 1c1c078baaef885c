"""What a run shows, as values: pure. `render.py` and `html.py` write them.

Every rate is given with its n and a 95 % interval: Wilson's where each instance was run once, a
bootstrap over instances where it was run with several seeds. Infrastructure failures are in none.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evals.compare import Comparison, every_pair
from evals.result import Result
from evals.stats import bootstrap, detectable, pass_at_k, percentile, wilson

__all__ = ["ArmReport", "Earlier", "Flow", "Group", "PerResolved", "Rate", "Report", "report"]

STRATA = ("reach", "beyond", "mined")
"""In the order they are reported; others follow."""
LIMIT = 3
"""The agent's exit code where its time or budget ended."""


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
        clusters = by_instance(graded)
        if len(clusters) == len(graded):
            low, high = wilson(k, len(graded))
        else:
            low, high = bootstrap(
                clusters,
                lambda drawn: sum(hit(r) for c in drawn for r in c) / sum(len(c) for c in drawn),
            )
        return cls(k=k, n=len(graded), low=low, high=high)

    @property
    def share(self) -> float:
        return self.k / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Tokens of one step kind at one location."""

    location: str
    step_kind: str
    requests: int
    tokens_in: int
    cached: int
    tokens_out: int
    drafted: int
    accepted: int
    seconds: float

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.cached + self.tokens_out


@dataclass(frozen=True, slots=True, kw_only=True)
class PerResolved:
    """Micro-dollars per resolved run, with its bootstrap interval; inf: nothing was resolved."""

    usd_micro: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A stratum, with its tests visible or hidden."""

    label: str
    resolved: Rate
    verified: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmReport:
    """One arm over its instances."""

    arm: str
    seeds: int
    resolved: Rate
    """The patch, verified or only offered, passes the hidden grading."""
    verified: Rate
    """Resolved, and the agent itself said verified: exit 0."""
    false_verified: tuple[str, ...]
    """Units the agent called verified and the grading refused."""
    groups: tuple[Group, ...]
    infra: tuple[tuple[str, str], ...]
    """Units that could not be run or graded, and why."""
    usd_micro: int | None
    per_resolved: PerResolved | None
    """None where a price is unknown."""
    pass_at: tuple[tuple[int, float], ...]
    """(k, unbiased pass@k) over the seeds; k from 1 to the fewest runs of an instance."""
    wall_p50: float
    wall_p90: float
    memory_p50: float
    memory_max: float
    """MB of the largest process of a unit."""
    test_runs_p50: float
    overhead_share: float
    """Of the wall time, what went neither to tests nor to models; over all units."""
    flows: tuple[Flow, ...]
    local_share: float | None
    """Of all tokens, those of this machine; None without tokens."""
    exits: tuple[tuple[str, int], ...]

    @property
    def n(self) -> int:
        return self.resolved.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A run that was committed before, in one line."""

    date: str
    command: str
    arms: tuple[tuple[str, Rate], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole run."""

    command: str
    date: str
    machine: str
    arms: tuple[ArmReport, ...]
    comparisons: tuple[Comparison, ...]
    results: tuple[Result, ...]
    not_run: tuple[tuple[str, str], ...]
    rejected: tuple[tuple[str, str], ...]
    statement: tuple[str, ...]
    """What this n can and cannot show."""
    earlier: tuple[Earlier, ...] = ()


def report(
    results: Sequence[Result],
    *,
    command: str,
    date: str,
    machine: str = "",
    order: Sequence[str] = (),
    not_run: Sequence[tuple[str, str]] = (),
    rejected: Sequence[tuple[str, str]] = (),
    planned: int = 0,
) -> Report:
    """Summarise results of any number of arms; `order`: arms as they are to be listed; `planned`:
    units of the run, 0 where that is not known."""
    by_arm: dict[str, list[Result]] = {name: [] for name in order}
    for result in results:
        by_arm.setdefault(result.arm, []).append(result)
    sorted_results = [r for found in by_arm.values() for r in found]
    arms = tuple(_arm(name, found) for name, found in by_arm.items() if found)
    return Report(
        command=command,
        date=date,
        machine=machine,
        arms=arms,
        comparisons=tuple(every_pair(sorted_results)),
        results=tuple(sorted_results),
        not_run=tuple(not_run),
        rejected=tuple(rejected),
        statement=(*_cut_short(len(results), planned), *statement(sorted_results)),
    )


def by_instance(results: Iterable[Result]) -> list[list[Result]]:
    """Runs of one instance together."""
    clusters: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        clusters[result.instance_id].append(result)
    return list(clusters.values())


def group_key(label: str) -> tuple[int, str]:
    """Strata in their order, visible tests before hidden ones."""
    stratum, _, tests = label.partition(",")
    place = STRATA.index(stratum) if stratum in STRATA else len(STRATA)
    return place, f"{stratum}{'0' if 'visible' in tests else '1'}"


def statement(results: Sequence[Result]) -> tuple[str, ...]:
    """Sentences for the report's foot."""
    graded = [r for r in results if r.status != "infra"]
    n = len({r.instance_id for r in graded})
    low, high = wilson(n // 2, n)
    seen = detectable(n)
    gap = (
        f"a difference between two arms smaller than {seen:.0%} would not be significant"
        if seen is not None
        else "no difference between two arms would be significant"
    )
    return (
        f"n = {n} instances: a rate near one half is known to ±{(high - low) / 2:.0%}; with 20 % of"
        f" the instances discordant, {gap}.",
        *_at_a_limit(graded),
        *_about_strata(graded),
        "A stratum has fewer instances than the whole, and shows less: read its interval, not its"
        " rate. Wall times are of the machine and load named above.",
    )


def _cut_short(ran: int, planned: int) -> tuple[str, ...]:
    if ran >= planned:
        return ()
    return (
        f"The run was cut short: {ran} of {planned} units, instances in an order that has nothing"
        " to do with what they are. The same command takes it up again.",
    )


def _at_a_limit(graded: Sequence[Result]) -> tuple[str, ...]:
    ended = Counter(r.arm for r in graded if r.exit_code == LIMIT)
    if not ended:
        return ()
    each = ", ".join(f"{n} of {arm}" for arm, n in sorted(ended.items()))
    return (
        f"Runs that ended at a limit of time or money: {each}. They count as what they had by then;"
        " on a busy machine more do.",
    )


def _about_strata(graded: Sequence[Result]) -> tuple[str, ...]:
    mined = {r.instance_id for r in graded if r.stratum == "mined"}
    injected = {r.instance_id for r in graded if r.stratum in ("reach", "beyond")}
    parts = []
    if injected:
        parts.append(
            f"{len(injected)} instances are bugs injected into real packages: `reach` within one"
            " edit of the fix, `beyond` not. Rates on them say how the stages work, not how often"
            " a real bug is fixed."
        )
    if mined:
        parts.append(
            f"{len(mined)} instances are real fixes of project histories (`mined`): claims about"
            " real bugs rest on these alone."
        )
    elif injected:
        parts.append("None is a real fix of a project's history; on those, rates will be lower.")
    return tuple(parts)


def _arm(name: str, results: list[Result]) -> ArmReport:
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[result.group].append(result)
    ran = [r for r in results if r.status != "infra"]
    wall = sum(r.wall_s for r in ran)
    costs = [r.usd_micro for r in ran]
    flows = _flows(ran)
    return ArmReport(
        arm=name,
        seeds=len({r.seed for r in results}),
        resolved=Rate.of(results, _resolved),
        verified=Rate.of(results, _verified),
        false_verified=tuple(r.instance_id for r in results if r.false_verified),
        groups=tuple(
            Group(
                label=label,
                resolved=Rate.of(groups[label], _resolved),
                verified=Rate.of(groups[label], _verified),
            )
            for label in sorted(groups, key=group_key)
        ),
        infra=tuple((r.instance_id, r.reason) for r in results if r.status == "infra"),
        usd_micro=None if None in costs else sum(c for c in costs if c is not None),
        per_resolved=None if None in costs or not ran else _per_resolved(ran),
        pass_at=_pass_at(ran),
        wall_p50=percentile([r.wall_s for r in ran], 0.5),
        wall_p90=percentile([r.wall_s for r in ran], 0.9),
        memory_p50=percentile([r.memory_mb for r in ran], 0.5),
        memory_max=max((r.memory_mb for r in ran), default=0),
        test_runs_p50=percentile([r.test_runs for r in ran], 0.5),
        overhead_share=sum(r.overhead_s for r in ran) / wall if wall else 0.0,
        flows=flows,
        local_share=_local_share(flows),
        exits=tuple(Counter(map(_ending, ran)).most_common()),
    )


def _ending(result: Result) -> str:
    """The agent's verdict and exit code; the reason where it gave no verdict."""
    return f"{result.verdict or result.exit_reason or 'none'} (exit {result.exit_code})"


def _resolved(result: Result) -> bool:
    return result.status == "resolved"


def _verified(result: Result) -> bool:
    return result.status == "resolved" and result.verdict == "verified"


def _per_resolved(ran: Sequence[Result]) -> PerResolved:
    def ratio(drawn: Sequence[Sequence[Result]]) -> float:
        solved = sum(_resolved(r) for c in drawn for r in c)
        spent = sum(r.usd_micro or 0 for c in drawn for r in c)
        return spent / solved if solved else float("inf")

    clusters = by_instance(ran)
    low, high = bootstrap(clusters, ratio)
    return PerResolved(usd_micro=ratio(clusters), low=low, high=high)


def _pass_at(ran: Sequence[Result]) -> tuple[tuple[int, float], ...]:
    clusters = [(len(c), sum(map(_resolved, c))) for c in by_instance(ran)]
    most = min((n for n, _ in clusters), default=0)
    return tuple(
        (k, sum(pass_at_k(n, solved, k) for n, solved in clusters) / len(clusters))
        for k in range(1, most + 1)
    )


def _flows(results: list[Result]) -> tuple[Flow, ...]:
    rows = [t for r in results for t in r.tokens]
    return tuple(
        Flow(
            location=location,
            step_kind=kind,
            requests=sum(t.requests for t in here),
            tokens_in=sum(t.tokens_in for t in here),
            cached=sum(t.cached for t in here),
            tokens_out=sum(t.tokens_out for t in here),
            drafted=sum(t.drafted for t in here),
            accepted=sum(t.accepted for t in here),
            seconds=sum(t.seconds for t in here),
        )
        for location, kind in sorted({(t.location, t.step_kind) for t in rows})
        for here in ([t for t in rows if (t.location, t.step_kind) == (location, kind)],)
    )


def _local_share(flows: Sequence[Flow]) -> float | None:
    every = sum(f.tokens for f in flows)
    return sum(f.tokens for f in flows if f.location == "local") / every if every else None
