"""The tests of the last run: the failing ones, what each of them said, and running them again."""

import shlex
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from agent.sanitize import clean, one_line, plain
from tools.types import TestCase, TestRun

__all__ = ["TestScreen"]

MANY = 500
LONG = 40_000
RED = ("failed", "error", "timeout")


class TestScreen(Screen[str]):
    """Dismissed with a command: `/tests`, `/tests ID`, `/fix …`, or nothing."""

    __test__ = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "again", "Run this one"),
        Binding("f", "failed", "Run failed"),
        Binding("R,a", "all", "Run all"),
        Binding("x", "fix", "Fix it"),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("escape,q,f3", "leave", "Back"),
        Binding("question_mark", "app.help", "Help", show=False),
    ]

    def __init__(self, run: TestRun) -> None:
        super().__init__()
        self._run = run
        found = [case for case in run.cases if case.outcome in RED]
        self._cases = (found or list(run.cases))[:MANY]

    def compose(self) -> ComposeResult:
        yield Static(self._title(), classes="sheet-title")
        with Horizontal():
            yield OptionList(*(Option(_row(case)) for case in self._cases), id="cases")
            with VerticalScroll(id="said", can_focus=False):
                yield Static(id="output")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        cases = self.query_one(OptionList)
        cases.focus()
        if self._cases:
            cases.highlighted = 0
        else:
            self._show(None)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self._show(self._cases[event.option_index])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.action_again()

    def _show(self, case: TestCase | None) -> None:
        text = Text()
        if case is not None:
            text.append_text(plain(f"{case.outcome} · {case.id}\n", "bold"))
            text.append(clean(case.message)[:LONG])
            for frame in case.frames:
                where = f"\n  {frame.path}:{frame.line} {frame.function}"
                text.append_text(plain(where, "cyan"))
        if case is None or not case.message:
            text.append_text(plain(f"\n{self._run.output[-LONG:]}"))
        self.query_one("#output", Static).update(text)
        self.query_one("#said", VerticalScroll).scroll_home(animate=False)

    def _title(self) -> Text:
        run = self._run
        text = Text.assemble((" Tests ", "bold reverse"))
        counts = f" {len(run.passing)} passed, {len(run.failing)} failed"
        told = run.status in ("passed", "failed")  # by the counts
        status = "" if told else f" · {run.status.replace('_', ' ')}"
        command = one_line(" ".join(run.command.argv), 80)
        text.append_text(plain(f"{counts}{status} · {run.duration_s:.1f} s", "bold"))
        text.append_text(plain(f"  {command}", "dim"))
        return text

    # ------------------------------------------------------------------ keys

    def _chosen(self) -> TestCase | None:
        at = self.query_one(OptionList).highlighted
        return self._cases[at] if at is not None and at < len(self._cases) else None

    def action_again(self) -> None:
        case = self._chosen()
        if case is not None:
            self.dismiss(f"/tests {shlex.quote(case.id)}")

    def action_failed(self) -> None:
        if self._run.failing:
            self.dismiss(f"/tests {shlex.join(self._run.failing)}")

    def action_all(self) -> None:
        self.dismiss("/tests")

    def action_fix(self) -> None:
        case = self._chosen()
        if case is not None and case.outcome in RED:
            self.dismiss(f"/fix {one_line(case.id)} fails: {one_line(case.message, 300)}")

    def action_page(self, step: int) -> None:
        said = self.query_one("#said", VerticalScroll)
        said.scroll_relative(y=step * max(said.size.height - 2, 1), animate=False)

    def action_leave(self) -> None:
        self.dismiss("")


def _row(case: TestCase) -> Text:
    red = case.outcome in RED
    mark = ("✘", "red") if red else ("✔", "green")
    path, _, name = case.id.rpartition("::")
    text = Text.assemble(mark, " ", plain(one_line(name, 160)))
    return text.append_text(plain(f"\n  {one_line(path, 160)}", "dim")) if path else text
