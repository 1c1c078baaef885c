"""A report as Markdown, HTML and JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import Literal

from evals.report import ArmReport, Rate, Report, group_of
from evals.result import Result

__all__ = ["as_html", "as_json", "as_markdown"]

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
REASON_CHARS = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One piece of the page: a heading or text, with what stands below it."""

    kind: Literal["h1", "h2", "text", "code"]
    text: str = ""
    rows: tuple[str, ...] = ()
    table: Table | None = None


def as_json(report: Report) -> str:
    """Everything but the patches' text."""
    bare = tuple(replace(r, patch="") for r in report.results)
    return json.dumps(asdict(replace(report, results=bare)), indent=1, ensure_ascii=True) + "\n"


def as_markdown(report: Report) -> str:
    lines: list[str] = []
    for part in _parts(report):
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


def as_html(report: Report) -> str:
    body: list[str] = []
    for part in _parts(report):
        tag = {"code": "pre", "text": "p"}.get(part.kind, part.kind)
        if part.text:
            body.append(f"<{tag}>{escape(part.text)}</{tag}>")
        if part.rows:
            body.append("<ul>" + "".join(f"<li>{escape(x)}</li>" for x in part.rows) + "</ul>")
        if part.table:
            body.append(_html_table(part.table))
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse;display:block;overflow-x:auto}"
        "td,th{border:1px solid #ccc;padding:.2rem .5rem;text-align:left;vertical-align:top}"
        "pre{background:#f4f4f4;padding:.5rem;overflow-x:auto}"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Evals</title>'
        f"<style>{style}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def rate(value: Rate) -> str:
    """`7/20 = 35 % [18, 57]`."""
    if not value.n:
        return "–"
    return f"{value.k}/{value.n} = {value.share:.0%} [{value.low:.0%}, {value.high:.0%}]".replace(
        "%", " %"
    )


def _parts(report: Report) -> list[Part]:
    wrong = tuple(f"{a.arm}: {name}" for a in report.arms for name in a.false_verified)
    parts = [
        Part(kind="h1", text="Evals"),
        Part(
            kind="text", text=f"{report.date}, {report.machine or 'machine not recorded'}, made by"
        ),
        Part(kind="code", text=report.command),
        Part(kind="h2", text="Arms", table=_arms(report.arms)),
        Part(kind="text", text=NOTE),
        Part(kind="h2", text="By stratum and visibility of the tests", table=_groups(report.arms)),
        Part(kind="h2", text="Tokens by location", table=_tokens(report.arms)),
        Part(kind="h2", text="How runs ended", table=_exits(report.arms)),
        Part(kind="h2", text="Verified by the agent, refused by the grading"),
        Part(kind="text", text="" if wrong else "None.", rows=wrong),
    ]
    parts += [Part(kind="h2", text=title, rows=rows) for title, rows in _apart(report) if rows]
    return [
        *parts,
        Part(kind="h2", text="What this can show"),
        Part(kind="text", text=report.statement),
        Part(kind="h2", text="Every run", table=_runs(report.results)),
    ]


NOTE = (
    "Resolved: the patch, verified or only offered, passes all tests it is graded by, in a fresh"
    " tree. Verified and resolved: the agent also said so itself (exit 0). Brackets are 95 % Wilson"
    " intervals. Overhead: wall time that went neither to tests nor to models; the search for"
    " single edits counts as tests, since it is spent on running them."
)


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
        *("wall p50", "wall p90", "test runs p50", "overhead"),
    )
    rows = [
        (
            a.arm,
            rate(a.resolved),
            rate(a.verified),
            str(len(a.false_verified)),
            str(len(a.infra)),
            "unknown" if a.usd_micro is None else f"${a.usd_micro / 1e6:.2f}",
            f"{a.wall_p50:.1f} s",
            f"{a.wall_p90:.1f} s",
            f"{a.test_runs_p50:.0f}",
            f"{a.overhead_share:.1%}",
        )
        for a in arms
    ]
    return head, rows


def _groups(arms: Sequence[ArmReport]) -> Table:
    head = ("arm", "group", "resolved", "verified and resolved")
    return head, [
        (a.arm, g, rate(first), rate(second)) for a in arms for g, first, second in a.groups
    ]


def _tokens(arms: Sequence[ArmReport]) -> Table:
    head = ("arm", "location", "requests", "in", "cached", "out", "drafted", "accepted")
    rows = [
        (
            *(a.arm, t.location, str(t.requests), str(t.tokens_in), str(t.cached)),
            *(str(t.tokens_out), str(t.drafted), str(t.accepted)),
        )
        for a in arms
        for t in a.tokens
    ]
    rows += [(a.arm, "none", "0", "0", "0", "0", "0", "0") for a in arms if not a.tokens]
    return head, rows


def _exits(arms: Sequence[ArmReport]) -> Table:
    head = ("arm", "verdict", "runs")
    return head, [(a.arm, verdict, str(count)) for a in arms for verdict, count in a.exits]


def _runs(results: Sequence[Result]) -> Table:
    head = ("instance", "group", "arm", "graded", "agent", "reason", "wall", "test runs")
    rows = [
        (
            r.instance_id,
            group_of(r),
            r.arm,
            r.status,
            r.verdict,
            _reason(r)[:REASON_CHARS],
            f"{r.wall_s:.1f} s",
            str(r.test_runs),
        )
        for r in sorted(results, key=lambda r: (r.instance_id, r.arm, r.seed))
    ]
    return head, rows


def _reason(result: Result) -> str:
    """Why there is no patch, or what the grading found against it, or how the agent ended."""
    if result.reason and result.patch:
        return result.reason
    return result.exit_reason or result.reason


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _markdown_table(table: Table) -> list[str]:
    head, rows = table
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    return lines + [f"| {' | '.join(_cell(c) for c in row)} |" for row in rows]


def _html_table(table: Table) -> str:
    head, rows = table
    cells = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{body}</table>"
