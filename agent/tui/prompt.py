"""Where the user types: several lines, history, completion of commands, files and symbols."""

import re
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static, TextArea

from agent.sanitize import clean, one_line, plain
from agent.tui.commands import matching
from agent.tui.finder import find, mention

__all__ = ["Input", "Prompt"]

SUGGESTIONS = 6
PASTE_LINES, PASTE_CHARS = 8, 1_200
"""A paste longer than this stands as one mark in the input, and goes out whole."""
_MARK = re.compile(r"\[paste (\d+): [\d,]+ lines?, [\d,]+ characters\]")


class Prompt(Vertical):
    """The input with what it may become above it."""

    def compose(self) -> ComposeResult:
        yield Static(id="suggestions")
        yield Input()

    def on_text_area_changed(self) -> None:
        self._suggest()

    def on_input_moved(self) -> None:
        self._suggest()

    def _suggest(self) -> None:
        entry = self.query_one(Input)
        rows = entry.suggestions()
        text = Text()
        for number, (name, what) in enumerate(rows[:SUGGESTIONS]):
            mark = "› " if number == entry.at else "  "
            text.append("\n" if number else "")
            text.append_text(plain(f"{mark}{name}".ljust(24), "bold" if mark == "› " else ""))
            text.append(f" {what}", "dim")
        if len(rows) > SUGGESTIONS:
            text.append(f"\n  … {len(rows) - SUGGESTIONS} more", "dim")
        shown = self.query_one("#suggestions", Static)
        shown.display = bool(rows)
        shown.update(text)


class Input(TextArea):
    """Enter sends, Ctrl+J breaks the line, Up and Down walk the history at the text's ends."""

    # In order with what is typed before them. A binding with priority overtakes text that is still
    # on its way: Enter right after fast typing would send nothing.
    KEYS: ClassVar[dict[str, str]] = {
        "enter": "send",
        "ctrl+j": "newline",
        "shift+enter": "newline",
        "alt+enter": "newline",
        "tab": "complete",
        "up": "back",
        "down": "forth",
        "pageup": "app.scroll_conversation(-1)",
        "pagedown": "app.scroll_conversation(1)",
    }

    class Sent(Message):
        """The user finished a text."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Moved(Message):
        """Another suggestion is chosen, or the cursor moved."""

    class Wanted(Message):
        """A mention begins: names are needed."""

    def __init__(self) -> None:
        super().__init__(
            "",
            soft_wrap=True,
            show_line_numbers=False,
            compact=True,
            highlight_cursor_line=False,
            placeholder="say what you want   /fix what is wrong   @file   !command   ? help",
        )
        self.names: tuple[str, ...] | None = None
        """Files and symbols; None until they were asked for."""
        self.at = 0
        self._history: list[str] = []
        self._place = 0
        self._draft = ""
        self._pastes: dict[str, str] = {}

    def recall(self, texts: Sequence[str]) -> None:
        """What was typed in earlier sessions, before what was typed in this one."""
        self._history = [*map(clean, texts), *self._history]
        self._place = len(self._history)

    # ------------------------------------------------------------------ suggestions

    def suggestions(self) -> list[tuple[str, str]]:
        """Names with what they mean: commands, or files and symbols after an @."""
        commands = [(f"/{c.name} {c.operand}", c.help) for c in matching(self.text)]
        if commands:
            return commands
        typed = self._mention()
        if typed is None:
            return []
        if self.names is None:
            return [("@", "reading the index …")]
        return [(f"@{one_line(name, 90)}", "") for name in find(typed, self.names)]

    def _mention(self) -> str | None:
        row, column = self.cursor_location
        return mention(self.document.get_line(row)[:column])

    def on_text_area_changed(self) -> None:
        self.at = 0
        if self.names is None and self._mention() is not None:
            self.post_message(self.Wanted())

    def _walk(self, step: int) -> bool:
        """Through the files found, while there are any."""
        if self._mention() is None or not self.names:
            return False
        count = len(self.suggestions())
        self.at = (self.at + step) % count if count else 0
        self.post_message(self.Moved())
        return count > 0

    def action_complete(self) -> None:
        found = matching(self.text)
        if found:
            self._put(f"/{found[0].name} ")
        elif self._take():
            return
        elif not self.text:
            self.screen.focus_next()

    def _take(self) -> bool:
        """Put the chosen file or symbol in place of what is typed of it."""
        typed = self._mention()
        if typed is None or not self.names:
            return False
        found = find(typed, self.names)
        if not found:
            return False
        row, column = self.cursor_location
        # A name that cannot be shown as it is stays unfound: better than its bytes in the input.
        name = clean(found[min(self.at, len(found) - 1)])
        self.replace(f"{name} ", (row, column - len(typed)), (row, column))
        return True

    # ------------------------------------------------------------------ keys

    def action_send(self) -> None:
        typed = self._mention()
        if typed and self.names and typed not in self.names and self._take():
            return
        text = self._whole().strip()
        if not text:
            return
        if not self._history or self._history[-1] != text:
            self._history.append(text)
        self._place = len(self._history)
        self._pastes.clear()
        self.load_text("")
        self.post_message(self.Sent(text))

    def action_newline(self) -> None:
        self.insert("\n")

    def action_back(self) -> None:
        if self._walk(-1):
            return
        if self.cursor_location[0] > 0 or not self._place:
            self.action_cursor_up()
            return
        if self._place == len(self._history):
            self._draft = self.text
        self._place -= 1
        self._put(self._history[self._place])

    def action_forth(self) -> None:
        if self._walk(1):
            return
        last = self.cursor_location[0] < self.document.line_count - 1
        if last or self._place == len(self._history):
            self.action_cursor_down()
            return
        self._place += 1
        there = self._place < len(self._history)
        self._put(self._history[self._place] if there else self._draft)

    def put(self, text: str) -> None:
        """Replace what is typed, for the palette and for screens that hand a command over."""
        self._put(text)
        self.focus()

    def _put(self, text: str) -> None:
        self.load_text(self._folded(clean(text)))
        self.move_cursor(self.document.end)

    async def _on_key(self, event: events.Key) -> None:
        action = self.KEYS.get(event.key)
        if event.character == "?" and not self.text:
            action = "app.help"
        if action is None:
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()
        await self.run_action(action)

    # ------------------------------------------------------------------ pastes

    async def _on_paste(self, event: events.Paste) -> None:
        # What is pasted may come from anywhere, and it is shown before anybody reads it.
        event.prevent_default()
        event.stop()
        text = event.text.replace("\r", "\n") if "\n" not in event.text else event.text
        event.text = self._folded(clean(text))
        await super()._on_paste(event)

    def _folded(self, text: str) -> str:
        """A mark for a long text; what it stands for is kept."""
        lines = text.count("\n") + 1
        if lines <= PASTE_LINES and len(text) <= PASTE_CHARS:
            return text
        number = len(self._pastes) + 1
        noun = "line" if lines == 1 else "lines"
        mark = f"[paste {number}: {lines:,} {noun}, {len(text):,} characters]"
        self._pastes[mark] = text
        return mark

    def _whole(self) -> str:
        """The text with its pastes put back."""
        return _MARK.sub(lambda m: self._pastes.get(m.group(), m.group()), self.text)
