"""Where the user types: several lines, history, completion of slash commands."""

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static, TextArea

from agent.sanitize import clean
from agent.tui.commands import matching

__all__ = ["Input", "Prompt"]

SUGGESTIONS = 6


class Prompt(Vertical):
    """The input with the commands that what is typed may become above it."""

    def compose(self) -> ComposeResult:
        yield Static(id="suggestions")
        yield Input()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        found = matching(event.text_area.text)
        text = Text()
        for number, command in enumerate(found[:SUGGESTIONS]):
            text.append("\n" if number else "")
            text.append(
                f"/{command.name} {command.operand}".ljust(22), "bold" if not number else ""
            )
            text.append(f" {command.help}", "dim")
        if len(found) > SUGGESTIONS:
            text.append(f"\n… {len(found) - SUGGESTIONS} more", "dim")
        suggestions = self.query_one("#suggestions", Static)
        suggestions.display = bool(found)
        suggestions.update(text)


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

    def __init__(self) -> None:
        super().__init__(
            "",
            soft_wrap=True,
            show_line_numbers=False,
            compact=True,
            highlight_cursor_line=False,
            placeholder="/fix what is wrong   !command   ? keys and commands",
        )
        self._history: list[str] = []
        self._at = 0
        self._draft = ""

    def action_send(self) -> None:
        text = self.text.strip()
        if not text:
            return
        if not self._history or self._history[-1] != text:
            self._history.append(text)
        self._at = len(self._history)
        self.load_text("")
        self.post_message(self.Sent(text))

    def action_newline(self) -> None:
        self.insert("\n")

    def action_back(self) -> None:
        if self.cursor_location[0] > 0 or not self._at:
            self.action_cursor_up()
            return
        if self._at == len(self._history):
            self._draft = self.text
        self._at -= 1
        self._put(self._history[self._at])

    def action_forth(self) -> None:
        if self.cursor_location[0] < self.document.line_count - 1 or self._at == len(self._history):
            self.action_cursor_down()
            return
        self._at += 1
        self._put(self._draft if self._at == len(self._history) else self._history[self._at])

    def action_complete(self) -> None:
        found = matching(self.text)
        if found:
            self._put(f"/{found[0].name} ")
        elif not self.text:
            self.screen.focus_next()

    def put(self, text: str) -> None:
        """Replace what is typed, for the palette and for screens that hand a command over."""
        self._put(text)
        self.focus()

    def _put(self, text: str) -> None:
        self.load_text(text)
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

    async def _on_paste(self, event: events.Paste) -> None:
        # What is pasted may come from anywhere, and it is shown before anybody reads it.
        event.prevent_default()
        event.text = clean(event.text.replace("\r", "\n") if "\n" not in event.text else event.text)
        await super()._on_paste(event)
