"""The run, for people: a transcript that stays, a status line that moves, a closing table.

    with Renderer(console) as view:
        for event in events:
            view.show(event)

The status line appears on a terminal only; in a pipe the transcript is all there is.
"""

from typing import TYPE_CHECKING, Protocol, Self

from agent import events as ev
from agent.cli.diffs import diff_text
from agent.cli.lines import Line, lines
from agent.cli.summary import closing
from agent.cli.tally import Tally
from agent.sanitize import one_line, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.text import Text

__all__ = ["NoStatus", "Renderer", "Status", "status_for"]

LABEL = 10
REFUSALS = 2
DIFF_LINES = 120
"""More of a patch than this is for `agent diff`, not for the end of a run."""


class Status(Protocol):
    """The moving line. `show` takes the run's events; `stop` removes the line."""

    def start(self) -> None: ...

    def show(self, event: ev.Event) -> None: ...

    def stop(self) -> None: ...


class NoStatus:
    """For pipes, dumb terminals and `--quiet`."""

    def start(self) -> None:
        pass

    def show(self, event: ev.Event) -> None:
        pass

    def stop(self) -> None:
        pass


def status_for(console: "Console") -> Status:
    """A live line where the terminal can redraw, nothing elsewhere."""
    if console.is_terminal and not console.is_dumb_terminal:
        from agent.cli.live import LiveStatus

        return LiveStatus(console)
    return NoStatus()


class Renderer:
    """Consumes events in order. `show` never raises for odd content."""

    def __init__(self, console: "Console", status: Status | None = None) -> None:
        self.console = console
        self.tally = Tally()
        self._status = status or status_for(console)
        self._refused = 0

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def show(self, event: ev.Event) -> None:
        """Add an event's rows; the last event also closes the view with table and diff."""
        self.tally.add(event)
        self._status.show(event)
        if isinstance(event, ev.RunStarted):
            self._title(event)
        if not self._too_many_refusals(event):
            for line in lines(event):
                self._line(line)
        if isinstance(event, ev.RunFinished):
            self._status.stop()
            self._close(event)

    def _title(self, event: ev.RunStarted) -> None:
        from rich.rule import Rule
        from rich.text import Text

        commit = f" @ {one_line(event.base_commit[:10])}" if event.base_commit else ""
        title = Text(f"{event.task.goal} · {one_line(event.task.root.name, 40)}{commit}", "bold")
        self.console.print(Rule(title, align="left", style="dim"))
        # The user's own words first, then where commands run: with none, nothing is executed.
        first = event.task.text.strip().partition("\n")[0]
        self._line(Line("task", one_line(first, 300)))
        style = "bold red" if event.sandbox in ("direct", "unsandboxed") else ""
        words = "NONE: commands run unconfined" if style else one_line(event.sandbox)
        self._line(Line("sandbox", words, style, f"run {one_line(event.run_id)}"))

    def _too_many_refusals(self, event: ev.Event) -> bool:
        """A whole beam of answers can be refused: the first few are shown, the rest counted."""
        if isinstance(event, ev.EditRefused):
            self._refused += 1
            return self._refused > REFUSALS
        if self._refused > REFUSALS:
            self._line(Line("", f"… and {self._refused - REFUSALS} more refused", "yellow"))
        self._refused = 0
        return False

    def _line(self, line: Line) -> None:
        for row in _rows(line, self.console.width, self.console):
            self.console.print(row, soft_wrap=True)

    def _close(self, event: ev.RunFinished) -> None:
        diff = event.outcome.diff
        if diff:
            self.console.print()
            self.console.print(diff_text(diff, limit=DIFF_LINES))
        self.console.print()
        self.console.print(closing(event, self.tally))
        following = event.outcome.next_command
        if following:
            # It will be copied: never wrapped, never framed.
            self.console.print(plain(f"  next: {one_line(following, 600)}"), soft_wrap=True)


def _rows(line: Line, width: int, console: "Console") -> "Iterator[Text]":
    """A label column of fixed width and the text wrapped beside it, without trailing blanks."""
    from rich.text import Text

    text = plain(line.text, line.style)
    if line.note:
        text.append("  ")
        text.append_text(plain(line.note, "dim"))
    label = line.label
    for part in text.wrap(console, max(width - LABEL - 1, 20), overflow="fold"):
        part.rstrip()
        row = Text(f"{label:>{LABEL}} ", "cyan")
        row.append_text(part)
        yield row
        label = ""
