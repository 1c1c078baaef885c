"""The status line on a terminal: spinner, stage, bar, elapsed time, money spent and reserved."""

import time
from typing import TYPE_CHECKING

from agent import events as ev
from agent.cli.common import usd
from agent.cli.lines import seconds
from agent.sanitize import one_line, plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

__all__ = ["LiveStatus"]

TAIL = 400
"""Characters of the streaming answer that are kept; one line of it is shown."""


class LiveStatus:
    """Redrawn eight times a second by Rich, below the transcript, and removed at the end."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._live: Live | None = None
        self._phase, self._detail = "start", ""
        self._since = time.monotonic()
        self._done, self._total = 0, 0
        self._money, self._tail = "", ""

    def start(self) -> None:
        from rich.live import Live
        from rich.spinner import Spinner

        self._spinner = Spinner("dots" if not self._console.options.ascii_only else "line")
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=8,
            transient=True,
        )
        self._live.start()

    def stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def show(self, event: ev.Event) -> None:
        match event:
            case ev.Phase():
                self._stage(event.name, event.detail)
            case ev.StepStarted():
                self._stage(event.step.kind, event.step.goal)
            case ev.Progress(phase="prefill"):
                said = f"reading the prompt, {event.done:,} of {event.total:,} tokens"
                self._detail = said if event.done != event.total else "writing"
            case ev.Progress():
                self._done, self._total = event.done, event.total or 0
                self._detail = event.detail or self._detail
            case ev.TextDelta():
                self._tail = (self._tail + event.text)[-TAIL:]
            case ev.RequestStarted():
                self._tail = ""
                self._detail = f"asking {event.route.location or '?'} {event.route.model or ''}"
            case ev.RequestFinished():
                self._tail = self._detail = ""
            case ev.Spent():
                self._money = _meter(event)
            case _:
                pass

    def _stage(self, name: str, detail: str) -> None:
        self._phase, self._detail = name, detail
        self._since = time.monotonic()
        self._done = self._total = 0
        self._tail = ""

    def _render(self) -> "RenderableType":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        grid = Table.grid(padding=(0, 1))
        parts: list[RenderableType] = [self._spinner, plain(self._phase, "bold")]
        if self._total:
            parts.append(ProgressBar(total=self._total, completed=self._done, width=20))
            parts.append(plain(f"{self._done}/{self._total}"))
        parts.append(plain(one_line(self._detail, 40), "dim"))
        parts.append(plain(seconds(time.monotonic() - self._since), "cyan"))
        parts.append(plain(self._money))
        grid.add_row(*parts)
        last = next((row for row in reversed(self._tail.split("\n")) if row.strip()), "")
        if not last:
            return grid
        width = max(self._console.width - 4, 10)
        return Group(grid, plain(f"  {one_line(last, width)}", "dim"))


def _meter(event: ev.Spent) -> str:
    """`$0.0312 of $2.00, $0.10 reserved`."""
    text = usd(event.totals.usd_micro)
    if event.totals.unpriced:
        text += " + unknown"
    if event.budget_usd_micro is not None:
        text += f" of {usd(event.budget_usd_micro)}"
    if event.totals.reserved_usd_micro:
        text += f", {usd(event.totals.reserved_usd_micro)} reserved"
    return text
