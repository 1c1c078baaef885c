"""A table on a screen of its own: the ledger, the runs."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from agent.sanitize import one_line, plain
from agent.tui.items import Sheet

__all__ = ["SheetScreen"]


class SheetScreen(Screen[str]):
    """Dismissed with the command that the chosen row stands for, or an empty string."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "Back"),
        Binding("question_mark", "app.help", "Help", show=False),
    ]

    def __init__(self, sheet: Sheet) -> None:
        super().__init__()
        self._sheet = sheet

    def compose(self) -> ComposeResult:
        yield Static(Text(f" {self._sheet.title} ", "bold reverse"), classes="sheet-title")
        yield DataTable(cursor_type="row", zebra_stripes=True)
        notes = plain("\n".join(one_line(note, 300) for note in self._sheet.notes))
        yield Static(notes, classes="sheet-notes")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns(*(Text(name, "bold") for name in self._sheet.columns))
        for row in self._sheet.rows:
            table.add_row(*(plain(one_line(cell, 80)) for cell in row))
        table.display = bool(self._sheet.rows)
        table.focus()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        if self._sheet.choose:
            first = self._sheet.rows[event.cursor_row][0]
            self.dismiss(f"/{self._sheet.choose} {first}")

    def action_leave(self) -> None:
        self.dismiss("")
