"""What a run did, in few lines, for the page of an instance and for exports. Pure."""

from agent.cli.lines import lines
from agent.events import Event
from agent.types import Plan

__all__ = ["plan_lines", "story_lines"]

CHARS = 240


def plan_lines(plan: Plan) -> tuple[str, ...]:
    """The summary, then a line per step."""
    steps = (f"{s.kind} {', '.join(s.files) or '?'}: {s.goal}" for s in plan.steps)
    return tuple(_short(line) for line in (plan.summary, *steps) if line)


def story_lines(event: Event) -> tuple[str, ...]:
    """What the command line tells its user of an event; nothing of most."""
    rows = (" ".join((row.label, row.text, row.note)) for row in lines(event))
    return tuple(filter(None, map(_short, rows)))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= CHARS else line[: CHARS - 1] + "…"
