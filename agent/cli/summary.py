"""The closing table of a run: verdict, evidence, tests, change, cost, tokens, speed, time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.cli.common import usd
from agent.cli.diffs import changed
from agent.cli.lines import seconds
from agent.cli.tally import Decoding, Tally
from agent.events import RunFinished, TestsFinished
from agent.sanitize import one_line, plain
from agent.types import Totals

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["closing", "rows"]

_VERDICT = {
    "verified": ("✔ verified", "green"),
    "unverified": ("? unverified", "yellow"),
    "not_solved": ("✘ not solved", "red"),
}
EVIDENCE_LINES = 6


def closing(event: RunFinished, tally: Tally) -> "RenderableType":
    """A panel of `rows`, titled by the verdict."""
    from rich.panel import Panel
    from rich.table import Table

    mark, colour = _VERDICT[event.outcome.verdict]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in rows(event, tally):
        grid.add_row(label, plain(text))
    title = plain(f"{mark} · exit {event.outcome.exit_code}", f"bold {colour}")
    return Panel(grid, title=title, title_align="left", border_style=colour, padding=(0, 1))


def rows(event: RunFinished, tally: Tally) -> Iterator[tuple[str, str]]:
    """Label and value of every line of the table, cleaned."""
    outcome = event.outcome
    yield "result", one_line(outcome.reason, 400)
    for number, evidence in enumerate(outcome.evidence[:EVIDENCE_LINES]):
        yield ("" if number else "evidence"), one_line(evidence)
    if tally.before or tally.after:
        after = f"  →  after {_tests(tally.after)}" if tally.after else ""
        yield "tests", f"before {_tests(tally.before)}{after}"
    files = changed(outcome.diff)
    for number, (path, plus, minus) in enumerate(files[:4]):
        state = "" if number else ("  (applied)" if outcome.applied else "  (not applied)")
        yield ("" if number else "change"), f"{one_line(path)}  +{plus} −{minus}{state}"
    if len(files) > 4:
        yield "", f"… and {len(files) - 4} more files"
    yield "cost", _cost(event.totals)
    if tally.tokens_by_location:
        yield "tokens", _tokens(tally)
    if tally.decoding.tokens:
        yield "local", _decoding(tally.decoding)
    yield "time", _time(event)


def _tests(run: TestsFinished | None) -> str:
    if run is None:
        return "not run"
    words = f"{run.passed} passed, {len(run.failed)} failed"
    return words if run.status in ("passed", "failed") else f"{run.status.replace('_', ' ')}"


def _cost(totals: Totals) -> str:
    if not totals.requests:
        return "$0.00 · no model was asked"
    parts = [usd(totals.usd_micro)]
    if totals.unpriced:
        parts.append(f"+ {totals.unpriced} of unknown price")
    if totals.reserved_usd_micro:
        parts.append(f"up to {usd(totals.reserved_usd_micro)} more not settled")
    parts.append(f"{totals.requests} request" + ("" if totals.requests == 1 else "s"))
    return " · ".join(parts)


def _tokens(tally: Tally) -> str:
    names = {"local": "local", "onprem": "on-prem", "frontier": "frontier"}
    total = sum(tally.tokens_by_location.values())
    parts = [
        f"{names[where]} {count:,} ({count / total:.0%})"
        for where, count in sorted(tally.tokens_by_location.items(), key=lambda i: -i[1])
        if total
    ]
    return " · ".join(parts)


def _decoding(d: Decoding) -> str:
    parts = [" + ".join(sorted(d.by_strategy))]
    if d.seconds:
        parts.append(f"{d.tokens / d.seconds:.0f} tok/s decode")
    if d.prefill_s:
        parts.append(f"{d.prefill_tokens / d.prefill_s:.0f} tok/s prefill")
    if d.drafted:
        parts.append(f"{d.accepted / d.drafted:.0%} of {d.drafted:,} drafted tokens accepted")
    return " · ".join(parts)


def _time(event: RunFinished) -> str:
    rest = max(event.duration_s - event.test_s - event.model_s, 0.0)
    runs = f"{event.test_runs} run" + ("" if event.test_runs == 1 else "s")
    return (
        f"{seconds(event.duration_s)} · tests {seconds(event.test_s)} ({runs})"
        f" · models {seconds(event.model_s)} · rest {seconds(rest)}"
    )
