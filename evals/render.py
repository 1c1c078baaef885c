"""A report as text: the tables that Markdown and HTML share, Markdown itself, and JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any, Literal

from evals.compare import Comparison, sentence
from evals.report import ArmReport, PerResolved, Rate, Report
from evals.result import Result

__all__ = ["Part", "Table", "as_json", "as_markdown", "dollars", "parts", "rate"]

REASON_CHARS = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells are text; `links` are instance ids for the first column of some tables."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    instances: bool = False
    """The first column holds instance ids, which have pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One piece of the page: a heading or text, with what stands below it."""

    kind: Literal["h1", "h2", "text", "code"]
    text: str = ""
    rows: tuple[str, ...] = ()
    table: Table | None = None


def as_json(report: Report) -> str:
    """Everything but the patches' text and the stories; infinite costs are null."""
    bare = tuple(replace(r, patch="", story=(), plan=(), rows=()) for r in report.results)
    return json.dumps(_finite(asdict(replace(report, results=bare))), indent=1) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def as_markdown(report: Report) -> str:
    lines: list[str] = []
    for part in parts(report):
        mark = {"h1": "# ", "h2": "## "}.get(part.kind, "")
        if part.kind == "code":
            lines += ["```", part.text, "```", ""]
        elif part.text:
            lines += [mark + part.text, ""]
        if part.rows:
            lines += [f"- {_cell(row)}" for row in part.rows] + [""]
        if part.table:
            lines += [*_markdown_table(part.table), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


# --------------------------------------------------------------------------- figures


def rate(value: Rate) -> str:
    """`7/20 = 35 % [18, 57]`."""
    if not value.n:
        return "–"
    shown = f"{value.k}/{value.n} = {value.share:.0%} [{value.low:.0%}, {value.high:.0%}]"
    return shown.replace("%", " %")


def dollars(usd_micro: float | None) -> str:
    if usd_micro is None:
        return "unknown"
    if not isfinite(usd_micro):
        return "∞"
    digits = 2 if usd_micro == 0 or usd_micro >= 1e5 else 4
    return f"${usd_micro / 1e6:.{digits}f}"


def _per_resolved(found: PerResolved | None) -> str:
    if found is None:
        return "unknown"
    if not isfinite(found.usd_micro):
        return "none resolved"
    if found.low == found.usd_micro == 0:
        return "$0.00"
    return f"{dollars(found.usd_micro)} [{dollars(found.low)}, {dollars(found.high)}]"


# --------------------------------------------------------------------------- the page

NOTE = (
    "Resolved: the patch, verified or only offered, passes all tests it is graded by, in a fresh"
    " tree. Verified and resolved: the agent also said so itself (exit 0). False verified: the"
    " agent said so and the grading refuses it. Brackets are 95 % intervals: Wilson's for rates of"
    " one seed, bootstraps over instances for the rest. Overhead: wall time that went neither to"
    " tests nor to models; the search for single edits counts as tests, since it is spent on"
    " running them. Memory: the largest process of a run."
)


def parts(report: Report) -> list[Part]:
    """The page in order."""
    wrong = tuple(f"{a.arm}: {name}" for a in report.arms for name in a.false_verified)
    machine = report.machine or "machine not recorded"
    found = [
        Part(kind="h1", text="Evals"),
        Part(kind="text", text=f"{report.date}, {machine}, made by"),
        Part(kind="code", text=report.command),
        Part(kind="h2", text="Arms", table=_arms(report.arms)),
        Part(kind="text", text=NOTE),
        Part(kind="h2", text="By stratum and visibility of the tests", table=_groups(report.arms)),
        *_compared(report.comparisons),
        Part(kind="h2", text="Cost and tokens", table=_tokens(report.arms)),
        *_sampled(report.arms),
        Part(kind="h2", text="How runs ended", table=_exits(report.arms)),
        Part(kind="h2", text="Verified by the agent, refused by the grading"),
        Part(kind="text", text="" if wrong else "None.", rows=wrong),
    ]
    found += [Part(kind="h2", text=title, rows=rows) for title, rows in _apart(report) if rows]
    return [
        *found,
        Part(kind="h2", text="What this can and cannot show", rows=report.statement),
        Part(kind="h2", text="Every run", table=_runs(report.results)),
        *_earlier(report),
    ]


def _apart(report: Report) -> list[tuple[str, tuple[str, ...]]]:
    infra = tuple(f"{a.arm}: {name}: {why}" for a in report.arms for name, why in a.infra)
    return [
        ("Infrastructure failures, in no rate", infra),
        ("Arms not run", tuple(f"{name}: {why}" for name, why in report.not_run)),
        ("Rejected before the run", tuple(f"{name}: {why}" for name, why in report.rejected)),
    ]


def _arms(arms: Sequence[ArmReport]) -> Table:
    head = (
        *("arm", "resolved", "verified and resolved", "false verified", "infra", "cost"),
        *("cost per resolved", "wall p50", "wall p90", "memory p50 / max", "test runs p50"),
        "overhead",
    )
    rows = tuple(
        (
            a.arm,
            rate(a.resolved),
            rate(a.verified),
            str(len(a.false_verified)),
            str(len(a.infra)),
            dollars(a.usd_micro),
            _per_resolved(a.per_resolved),
            f"{a.wall_p50:.1f} s",
            f"{a.wall_p90:.1f} s",
            f"{a.memory_p50:.0f} / {a.memory_max:.0f} MB" if a.memory_max else "not measured",
            f"{a.test_runs_p50:.0f}",
            f"{a.overhead_share:.1%}",
        )
        for a in arms
    )
    return Table(head=head, rows=rows)


def _groups(arms: Sequence[ArmReport]) -> Table:
    labels = list(dict.fromkeys(g.label for a in arms for g in a.groups))
    rows = tuple(
        (label, a.arm, rate(g.resolved), rate(g.verified))
        for label in labels
        for a in arms
        for g in a.groups
        if g.label == label
    )
    return Table(head=("group", "arm", "resolved", "verified and resolved"), rows=rows)


def _compared(found: Sequence[Comparison]) -> list[Part]:
    if not found:
        return []
    head = (
        *("first − second", "both", "only first", "only second", "neither", "difference"),
        *("McNemar p", "says"),
    )
    rows = tuple(
        (
            f"{c.first} − {c.second}",
            str(c.both),
            str(len(c.only_first)),
            str(len(c.only_second)),
            str(c.neither),
            f"{c.difference:+.0%} [{c.low:+.0%}, {c.high:+.0%}]",
            "several seeds" if c.p is None else f"{c.p:.3f}",
            sentence(c).partition(";")[0],
        )
        for c in found
    )
    return [
        Part(kind="h2", text="Arms compared, pair by pair", table=Table(head=head, rows=rows)),
        Part(
            kind="text",
            text="The same instances and seeds on both sides; no correction for several pairs.",
        ),
    ]


def _tokens(arms: Sequence[ArmReport]) -> Table:
    head = (
        *("arm", "location", "step", "requests", "in", "cached", "out", "drafted", "accepted"),
        *("seconds", "share local"),
    )
    rows = [
        (
            *(a.arm, f.location, f.step_kind, str(f.requests), str(f.tokens_in), str(f.cached)),
            *(str(f.tokens_out), str(f.drafted), str(f.accepted), f"{f.seconds:.1f}"),
            "–" if a.local_share is None else f"{a.local_share:.0%}",
        )
        for a in arms
        for f in a.flows
    ]
    rows += [
        (a.arm, "none", "–", "0", "0", "0", "0", "0", "0", "0.0", "–") for a in arms if not a.flows
    ]
    return Table(head=head, rows=tuple(rows))


def _sampled(arms: Sequence[ArmReport]) -> list[Part]:
    """pass@k, where there is more than one seed."""
    rows = tuple(
        (a.arm, str(a.seeds), ", ".join(f"pass@{k} {share:.1%}" for k, share in a.pass_at))
        for a in arms
        if len(a.pass_at) > 1
    )
    table = Table(head=("arm", "seeds", "unbiased pass@k"), rows=rows)
    return [Part(kind="h2", text="Over several seeds", table=table)] if rows else []


def _exits(arms: Sequence[ArmReport]) -> Table:
    rows = tuple((a.arm, verdict, str(count)) for a in arms for verdict, count in a.exits)
    return Table(head=("arm", "verdict", "runs"), rows=rows)


def _runs(results: Sequence[Result]) -> Table:
    head = ("instance", "group", "arm", "graded", "agent", "reason", "cost", "wall", "test runs")
    rows = tuple(
        (
            r.instance_id,
            r.group,
            r.arm + (f" (seed {r.seed})" if r.seed else ""),
            r.status,
            r.verdict,
            why(r)[:REASON_CHARS],
            dollars(r.usd_micro),
            f"{r.wall_s:.1f} s",
            str(r.test_runs),
        )
        for r in sorted(results, key=lambda r: (r.instance_id, r.arm, r.seed))
    )
    return Table(head=head, rows=rows, instances=True)


def _earlier(report: Report) -> list[Part]:
    rows = tuple(
        (e.date, f"{name}: {rate(found)}", e.command)
        for e in report.earlier
        for name, found in e.arms
    )
    table = Table(head=("date", "resolved", "command"), rows=rows)
    return [Part(kind="h2", text="Earlier runs", table=table)] if rows else []


def why(result: Result) -> str:
    """Why there is no patch, or what the grading found against it, or how the agent ended."""
    if result.reason and result.patch:
        return result.reason
    return result.exit_reason or result.reason


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _markdown_table(table: Table) -> list[str]:
    lines = [f"| {' | '.join(table.head)} |", "|" + " --- |" * len(table.head)]
    return lines + [f"| {' | '.join(_cell(c) for c in row)} |" for row in table.rows]
