"""Keys and commands, on one screen."""

from collections.abc import Iterator
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from agent.tui.commands import COMMANDS

__all__ = ["HelpScreen"]

WIDEST = 22
"""Cells of the column of keys and commands."""
KEYS = (
    ("Enter", "send"),
    ("Ctrl+J", "new line"),
    ("Up, Down", "history, at the ends of the text"),
    ("Tab", "complete; from an empty input to the conversation"),
    ("@", "files and symbols of the repository, fuzzy"),
    ("Shift+Tab", "next mode: ask, accept-edits, plan, auto"),
    ("Esc", "stop at once, what waits too; the tree stays as it was"),
    ("PgUp, PgDn", "scroll the conversation"),
    ("Ctrl+O", "fold and unfold long output"),
    ("F2", "plan and tests beside the conversation"),
    ("F3", "tests: what failed, run again"),
    ("F4", "review the last patch"),
    ("Ctrl+P", "command palette"),
    ("Ctrl+C", "copy what is selected with the mouse"),
    ("Ctrl+Q", "quit; twice while a run is at work"),
)
REVIEW = (
    ("a, r, u", "accept, reject, undecide the hunk"),
    ("A, R", "accept all, reject all"),
    ("↓ ↑", "next, previous hunk"),
    ("e, E", "edit the hunk here, or in $EDITOR"),
    ("s", "side by side, or inline"),
    ("Enter", "apply what is accepted"),
    ("Esc", "leave, nothing is written"),
)


CONVERSATION = (
    ("↑ ↓", "choose a block"),
    ("Enter", "fold or unfold it; a click on its title too"),
    ("c", "copy it whole; the mouse selects parts"),
    ("Esc", "back to the input"),
)


class HelpScreen(ModalScreen[None]):
    """Any of its keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter,f1", "dismiss", "Close")
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as box:
            box.border_title = "Help"
            box.border_subtitle = "Esc closes"
            yield from _parts()


def _parts() -> Iterator[Static]:
    for title, rows in (
        ("Keys", KEYS),
        ("Commands", [(f"/{c.name} {c.operand}".strip(), c.help) for c in COMMANDS]),
        ("", [("!command", "run a command line in the sandbox, without network")]),
        ("In the conversation (Tab)", CONVERSATION),
        ("Review of a patch", REVIEW),
    ):
        if title:
            yield Static(Text.assemble((title, "bold underline")), classes="heading")
        table = Table.grid(padding=(0, 2))
        table.add_column(width=WIDEST, no_wrap=True)
        table.add_column(ratio=1)
        for name, what in rows:
            table.add_row(Text.assemble("  ", (name, "bold cyan")), what)
        yield Static(table)
