"""One line of input that cleans what is pasted into it."""

from textual import events
from textual.message import Message
from textual.widgets import Input as TextualInput

from agent.sanitize import one_line

__all__ = ["InputLine"]


class InputLine(TextualInput):
    """Enter sends; Esc is left to the screen."""

    class Sent(Message):
        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, value: str = "", *, placeholder: str = "") -> None:
        super().__init__(value, placeholder=placeholder, compact=True)

    def on_input_submitted(self, event: TextualInput.Submitted) -> None:
        event.stop()
        self.post_message(self.Sent(event.value))

    def _on_paste(self, event: events.Paste) -> None:
        event.text = one_line(event.text, 2_000)
        super()._on_paste(event)
