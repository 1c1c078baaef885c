"""What each event says to people: pure functions from an event to lines.

A line is a label and a cleaned text; nothing is said by colour alone.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from agent import events as ev
from agent.cli.common import usd
from agent.sanitize import bounded, one_line
from agent.types import Route

__all__ = ["Line", "lines", "seconds"]


class Line(NamedTuple):
    """One row of the transcript: `label` left, `text` wrapped beside it, `note` dimmed after."""

    label: str
    text: str
    style: str = ""
    note: str = ""


def lines(event: ev.Event) -> Iterator[Line]:
    """The rows an event adds to the transcript; none for what only moves the status line."""
    say = _SAY.get(type(event))
    if say is not None:
        yield from say(event)


def seconds(value: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`."""
    if value < 9.95:
        return f"{value:.1f} s"
    if value < 59.5:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


def _index(e: ev.IndexReady) -> Iterator[Line]:
    text = f"{_count(e.files, 'file')}, {_count(e.symbols, 'symbol')}"
    yield Line("index", text, note=seconds(e.seconds))


def _command(e: ev.TestCommandFound) -> Iterator[Line]:
    yield Line("tests", one_line(" ".join(e.command.argv)), note=one_line(e.command.source))


def _tests(e: ev.TestsFinished) -> Iterator[Line]:
    label = {"baseline": "before", "verify": "after"}.get(e.purpose, "tests")
    red = len(e.failed)
    good = e.status == "passed"
    text = f"{e.passed} passed, {red} failed"
    if e.status not in ("passed", "failed"):
        text = f"{e.status.replace('_', ' ')}: {text}"
    yield Line(label, text, "green" if good else "red", seconds(e.duration_s))
    if e.purpose in ("baseline", "verify"):
        for test in e.failed[:3]:
            yield Line("", f"✘ {one_line(test)}")
        if red > 3:
            yield Line("", f"… and {red - 3} more")


def _reproduced(e: ev.Reproduced) -> Iterator[Line]:
    words = {
        "existing": "a test of the suite is red",
        "built": "built a test from the issue; it fails",
        "none": "nothing shows the problem yet",
    }
    style = "yellow" if e.kind == "none" else ""
    yield Line("reproduce", words[e.kind], style, one_line(e.reason))
    if e.kind == "built" and e.test_source:
        for row in bounded(e.test_source.strip(), lines=8, width=100).split("\n"):
            yield Line("", f"│ {row}", "dim")


def _localized(e: ev.Localized) -> Iterator[Line]:
    for number, suspect in enumerate(e.suspects[:3]):
        where = suspect.path + (f":{suspect.line}" if suspect.line else "")
        symbol = f"  {suspect.symbol}" if suspect.symbol else ""
        note = one_line(e.method) if number == 0 else ""
        yield Line("" if number else "localise", one_line(where + symbol), note=note)
    if not e.suspects:
        found = ", ".join(one_line(hit.path) for hit in e.hits[:3]) or "no suspect"
        yield Line("localise", found, note=one_line(e.method))


def _candidates(e: ev.CandidatesTried) -> Iterator[Line]:
    text = f"{e.tried} of {e.generated} single edits tried, {e.plausible} plausible"
    label = "zero-token"
    if e.by == "mutants":
        label, text = "mutants", f"{e.tried} breakages tried, {e.tried - e.plausible} noticed"
    elif e.by != "enumerate":
        label, text = one_line(e.by), f"{e.tried} of {e.generated} tried, {e.plausible} plausible"
    yield Line(label, text, note=seconds(e.duration_s))


def _plan(e: ev.PlanReady) -> Iterator[Line]:
    steps = e.plan.steps
    summary = one_line(e.plan.summary, 300) or _count(len(steps), "step")
    yield Line("plan", summary, note=f"by {one_line(e.plan.made_by)}")
    # A single step is shown again at once, when it starts.
    for number, step in enumerate(steps if len(steps) > 1 else (), 1):
        yield Line("", f"{number}. {step.kind}: {one_line(step.goal, 160)}")


def _routed(e: ev.Routed) -> Iterator[Line]:
    yield Line("route", f"{e.step_kind} → {_place(e.route)}", note=one_line(e.route.reason))


def _step(e: ev.StepStarted) -> Iterator[Line]:
    again = f" (attempt {e.attempt})" if e.attempt > 1 else ""
    yield Line(e.step.kind, one_line(e.step.goal, 160) + again)


def _step_done(e: ev.StepFinished) -> Iterator[Line]:
    if e.status == "skipped":  # the route above said why
        yield Line("", "skipped", "yellow")
    elif e.status != "done":
        yield Line("", f"{e.status}: {one_line(e.reason, 200)}", "yellow")


def _request(e: ev.RequestFinished) -> Iterator[Line]:
    if e.error:
        yield Line("model", f"attempt {e.status}: {one_line(e.error)}", "yellow")
        return
    text = _said(e)
    if text:
        yield Line("model", text, note=f"{seconds(e.duration_s)} · {usd(e.usd_micro)}")


def _said(e: ev.RequestFinished) -> str:
    parts = []
    if e.usage is not None:
        parts.append(f"{e.usage.input + e.usage.cache_read:,} in, {e.usage.output:,} out")
    if e.decode is not None:
        speed = e.decode.tokens_per_s
        parts.append(e.decode.strategy + (f" {speed:.0f} tok/s" if speed else ""))
        if e.decode.acceptance_rate is not None:
            parts.append(f"{e.decode.acceptance_rate:.0%} of drafts accepted")
    return " · ".join(parts)


def _refused(e: ev.EditRefused) -> Iterator[Line]:
    # Its first line says what is wrong; the rest quotes code to the model.
    message = one_line(e.message.strip().partition("\n")[0], 140)
    yield Line("edit", f"refused ({one_line(e.error)}): {message}", "yellow")


def _escalated(e: ev.Escalated) -> Iterator[Line]:
    yield Line("escalate", f"to {e.location}", "yellow", one_line(e.reason))


def _notice(e: ev.Notice) -> Iterator[Line]:
    label, style = ("warning", "yellow") if e.level == "warning" else ("note", "")
    yield Line(label, one_line(e.message, 400), style)
    if e.remedy:
        yield Line("", f"try: {one_line(e.remedy, 300)}")


def _place(route: Route) -> str:
    if route.location is None:
        return "nowhere"
    return f"{route.location} ({one_line(route.model or route.provider or '?')})"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


_SAY: dict[type, Callable[[Any], Iterator[Line]]] = {
    ev.IndexReady: _index,
    ev.TestCommandFound: _command,
    ev.TestsFinished: _tests,
    ev.Reproduced: _reproduced,
    ev.Localized: _localized,
    ev.CandidatesTried: _candidates,
    ev.PlanReady: _plan,
    ev.Routed: _routed,
    ev.StepStarted: _step,
    ev.StepFinished: _step_done,
    ev.RequestFinished: _request,
    ev.EditRefused: _refused,
    ev.Escalated: _escalated,
    ev.Notice: _notice,
}
