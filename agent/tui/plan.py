"""The plan: its steps with status, place, model, reason and attempt; before a plan, the stages."""

from dataclasses import dataclass, replace

from rich.text import Text
from textual.widgets import Static

from agent import events as ev
from agent.sanitize import one_line, plain
from agent.tui.blocks import wrapped
from agent.types import Route, Step

__all__ = ["PlanPane"]

STAGES = ("index", "test", "reproduce", "localize", "enumerate", "plan", "edit", "verify")
NAMES = {"test": "tests before", "localize": "localise", "enumerate": "zero-token search"}
WIDTH, INDENT = 34, " " * 4
MARKS = {
    "waiting": ("·", "dim"),
    "running": ("▶", "bold"),
    "done": ("✔", "green"),
    "failed": ("✘", "red"),
    "refused": ("✘", "red"),
    "skipped": ("–", "yellow"),
    "stopped": ("–", "yellow"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A step as it stands."""

    step: Step
    status: str = "waiting"
    attempt: int = 0
    route: Route | None = None
    reason: str = ""


class PlanPane(Static):
    """Fed with a run's events."""

    def __init__(self) -> None:
        super().__init__(id="plan", classes="pane")
        self.border_title = "Plan"
        self._start()

    def on_mount(self) -> None:
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def take(self, event: ev.Event) -> None:
        """Note what an event says about plan or stage."""
        match event:
            case ev.RunStarted():
                self._start()
            case ev.Phase():
                self._phase(event.name)
            case ev.PlanReady():
                self._made_by = event.plan.made_by
                self._rows.update((step.id, Row(step=step)) for step in event.plan.steps)
            case ev.StepStarted():
                self._step(event.step)
                self._note(event.step.id, status="running", attempt=event.attempt)
            case ev.Routed():
                self._note(event.step_id, route=event.route)
            case ev.StepFinished():
                self._note(event.step_id, status=event.status, reason=event.reason)
            case ev.RunFinished():
                self._end = "done" if event.outcome.verdict == "verified" else "stopped"
            case _:
                return
        self._draw()

    def _start(self) -> None:
        self._rows: dict[str, Row] = {}
        self._seen: list[str] = []
        self._made_by = ""
        self._end = ""

    def _phase(self, name: str) -> None:
        if name in STAGES and name not in self._seen:
            self._seen.append(name)

    def _step(self, step: Step) -> None:
        if step.id not in self._rows:
            self._rows[step.id] = Row(step=step)

    def _note(self, step_id: str, **changes: object) -> None:
        if step_id in self._rows:
            self._rows[step_id] = replace(self._rows[step_id], **changes)  # type: ignore[arg-type]

    # ------------------------------------------------------------------ drawing

    def _draw(self) -> None:
        text = Text()
        if self._rows:
            self._draw_steps(text)
        elif self._seen:
            self._draw_stages(text)
        else:
            text.append("no run yet", "dim")
        self.update(text)

    def _draw_stages(self, text: Text) -> None:
        for number, name in enumerate(self._seen):
            last = number == len(self._seen) - 1
            status = (self._end or "running") if last else "done"
            mark, style = MARKS[status]
            text.append("\n" if number else "")
            stopped = " · ended here" if status == "stopped" else ""
            text.append(f"{mark} {NAMES.get(name, name)}{stopped}", style)
        if self._end == "done":
            text.append("\nno plan was needed", "dim")

    def _draw_steps(self, text: Text) -> None:
        for number, row in enumerate(self._rows.values(), 1):
            mark, style = MARKS[row.status]
            text.append("\n" if number > 1 else "")
            again = f" · attempt {row.attempt}" if row.attempt > 1 else ""
            text.append(f"{mark} {number}. {row.step.kind} · {row.status}{again}", style)
            self._below(text, one_line(row.step.goal, 110))
            if row.route is not None:
                self._below(text, _where(row.route), "cyan")
                self._below(text, one_line(row.route.reason, 110), "dim")
            if row.reason:
                self._below(text, one_line(row.reason, 110), "yellow")
        text.append_text(plain(f"\nmade by {one_line(self._made_by or '?', 60)}", "dim"))

    def _below(self, text: Text, what: str, style: str = "") -> None:
        """Under a step, and indented in every row it takes."""
        width = (self.content_size.width or WIDTH) - len(INDENT)
        for part in wrapped(plain(what, style), width, self.app.console):
            text.append(f"\n{INDENT}").append_text(part)


def _where(route: Route) -> str:
    if route.location is None:
        return "nowhere"
    return one_line(f"{route.location} · {route.model or route.provider or '?'}", 60)
