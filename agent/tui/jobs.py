"""Jobs run in threads; what they yield comes back to the application as messages, in order."""

import time
from collections.abc import Iterator

from textual import events, work
from textual.app import App
from textual.message import Message

from agent.errors import PointsmanError
from agent.sanitize import clean
from agent.tui.collector import collect
from agent.tui.items import Ended, Item, Say
from agent.tui.pump import BATCH_S, Pump

__all__ = ["Jobs"]

LOOK_S = 1.0
"""How often it is looked whether the garbage collector should run."""


class Jobs(App[int]):
    """The part of the application that knows threads."""

    class Came(Message):
        """The job yielded something."""

        def __init__(self, item: Item) -> None:
            super().__init__()
            self.item = item

    class Waiting(Message):
        """Something is in the pump."""

    def __init__(self, *, ansi_color: bool | None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._pump = Pump()
        self._pumped = 0.0
        self._key_at = 0.0

    def on_mount(self) -> None:
        self.set_interval(LOOK_S, self._collect)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key):
            self._key_at = time.monotonic()
        elif isinstance(event, events.Paste):  # into whatever widget
            event.text = clean(event.text)
        await super().on_event(event)

    def _collect(self) -> None:
        collect(time.monotonic() - self._key_at)

    def aside(self, items: Iterator[Item]) -> None:
        """A short job beside the one at work."""
        self._beside(items)

    @work(thread=True, group="aside", exit_on_error=False)
    def _beside(self, items: Iterator[Item]) -> None:
        self._deliver(items)

    @work(thread=True, group="job", exit_on_error=False)
    def work_on(self, items: Iterator[Item]) -> None:
        """The job: `Ended` comes after all that it yields."""
        self._deliver(items)
        self.came(Ended())

    def _deliver(self, items: Iterator[Item]) -> None:
        """The boundary of a job's thread: whatever goes wrong there becomes words."""
        try:
            for item in items:
                self.came(item)
        except PointsmanError as error:
            self.came(self.explained(error))
        except Exception as error:
            what = f"unexpected: {type(error).__name__}: {error}"
            self.came(Say(label="error", text=what, style="red"))

    def came(self, item: Item) -> None:
        """From any thread."""
        if self._pump.put(item):
            self.post_message(self.Waiting())

    def on_jobs_waiting(self) -> None:
        """Streamed text waits until a batch's time is over, and not until more of it comes."""
        pause = self._pumped + BATCH_S - time.monotonic()
        if pause > 0 and self._pump.patient:
            self.set_timer(pause, self._drain)
        else:
            self._drain()

    def _drain(self) -> None:
        items = self._pump.take()
        if items:
            self._pumped = time.monotonic()
        for item in items:
            self.post_message(self.Came(item))

    def explained(self, error: PointsmanError) -> Say:
        """An error with what to do about it."""
        note = f"try: {error.remedy}" if error.remedy else ""
        return Say(label="error", text=str(error), style="red", note=note)
