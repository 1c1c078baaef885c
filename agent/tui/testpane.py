"""The tests: before and after, and which are red."""

from rich.text import Text
from textual.widgets import Static

from agent import events as ev
from agent.sanitize import bounded, one_line, plain
from agent.tui.items import Tested

__all__ = ["TestPane"]

RED = 12


class TestPane(Static):
    """Fed with a run's events; the failing list is that of the last test run."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__(id="tests", classes="pane")
        self.border_title = "Tests"
        self._runs: dict[str, ev.TestsFinished] = {}
        self._last: ev.TestsFinished | None = None
        self._built = ""

    def on_mount(self) -> None:
        self._draw()

    def take(self, event: ev.Event) -> None:
        match event:
            case ev.RunStarted():
                self._runs, self._last, self._built = {}, None, ""
            case ev.TestsFinished():
                self._runs[event.purpose] = self._last = event
            case ev.Reproduced(kind="built"):
                self._built = event.test_source
            case _:
                return
        self._draw()

    def look(self, item: object) -> None:
        """A run of the tests that the user asked for."""
        if isinstance(item, Tested):
            run = item.run
            self.take(
                ev.TestsFinished(
                    purpose="step",
                    status=run.status,
                    passed=len(run.passing),
                    failed=run.failing,
                    duration_s=run.duration_s,
                )
            )

    def _draw(self) -> None:
        text = Text()
        for purpose, name in (("baseline", "before"), ("verify", "after"), ("step", "now")):
            run = self._runs.get(purpose)
            if run is not None:
                good = run.status == "passed"
                counts = f"{run.passed} passed, {len(run.failed)} failed"
                text.append(f"{'✔' if good else '✘'} {name:<7}", "green" if good else "red")
                text.append(f"{counts}\n")
        if self._last is None:
            text.append("not run yet", "dim")
        elif not self._last.failed:
            text.append("nothing is red", "green" if self._last.status == "passed" else "")
        else:
            self._draw_red(text, self._last)
        if self._built:
            text.append("\nbuilt from the issue:\n", "dim")
            text.append(bounded(self._built.strip(), lines=6, width=100))
        self.update(text)

    def _draw_red(self, text: Text, run: ev.TestsFinished) -> None:
        text.append("F3 shows them\n", "dim")
        shown = ""
        for number, test in enumerate(run.failed[:RED]):
            path, _, name = test.rpartition("::")
            text.append("\n" if number else "")
            if path != shown:
                text.append_text(plain(f"{one_line(path, 160)}\n", "dim"))
                shown = path
            text.append("✘ ", "red")
            text.append_text(plain(one_line(name, 160)))
        if len(run.failed) > RED:
            text.append(f"\n… and {len(run.failed) - RED} more", "dim")
