"""The question before something is changed or run: what exactly, and what "always" would mean."""

import time
from collections.abc import Iterator
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from agent.approvals import Approval, Decision
from agent.sanitize import clean, one_line, plain
from agent.tui.inputline import InputLine
from agent.tui.items import Offer
from tools.types import Patch

__all__ = ["ApprovalScreen", "command_line"]

DEAF_S = 0.4
"""Keys within this time were meant for what was there before; they decide nothing."""
LONG = 2_000


class ApprovalScreen(ModalScreen[Decision]):
    """Dismissed with a decision; Esc is a no."""

    DEFAULT_CLASSES = "question"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "decide('yes')", "Yes"),
        Binding("a", "decide('always')", "Always"),
        Binding("n,escape", "decide('no')", "No"),
        Binding("r", "why", "No, and say why"),
        Binding("h", "hunks", "By hunk"),
    ]

    def __init__(self, approval: Approval) -> None:
        super().__init__()
        self._asked = approval
        self._since = time.monotonic()

    def compose(self) -> ComposeResult:
        what = "Run a command?" if self._asked.kind == "run" else "Change files?"
        with VerticalScroll(id="approval") as box:
            box.border_title = what
            yield Static(self._what(), id="approval-what")
            yield Static(self._keys(), id="approval-keys")
            yield InputLine(placeholder="why not? Enter tells the model, Esc just says no")

    def on_mount(self) -> None:
        self._since = time.monotonic()
        self.query_one(InputLine).display = False
        self.query_one("#approval").focus()

    # ------------------------------------------------------------------ what is asked

    def _what(self) -> Text:
        if self._asked.argv:
            text = Text().join(command_line(self._asked.argv))
        else:
            text = plain(one_line(self._asked.summary, 200), "bold")
        for row in clean(self._asked.diff).rstrip("\n").split("\n") if self._asked.diff else ():
            style = {"+": "green", "-": "red", "@": "cyan"}.get(row[:1], "")
            text.append("\n")
            text.append(row[:LONG], style)
        return text

    def _keys(self) -> Text:
        text = Text()
        rows = [("y", "yes, this time"), ("n", "no"), ("r", "no, and say why")]
        if self._asked.kind == "edit":
            rows.insert(1, ("a", "always: accept edits in this conversation; undo stays"))
            rows.append(("h", "decide hunk by hunk"))
        elif self._asked.remember is not None:
            words = " ".join(one_line(w, 60) for w in self._asked.remember.words)
            how = "exactly" if self._asked.remember.exact else "whatever follows"
            rows.insert(1, ("a", f"always in this repository:  {words}  ({how})"))
        for key, what in rows:
            text.append(f"\n  {key} ", "bold reverse")
            text.append(f"  {what}")
        return text

    # ------------------------------------------------------------------ keys

    def _deaf(self) -> bool:
        return time.monotonic() - self._since < DEAF_S

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "hunks":
            return self._asked.kind == "edit" and bool(self._asked.changes)
        if action == "decide" and parameters == ("always",):
            return self._asked.kind == "edit" or self._asked.remember is not None
        return super().check_action(action, parameters)

    def action_decide(self, answer: str) -> None:
        if self._deaf():
            return
        match answer:
            case "yes":
                self.dismiss(Decision(answer="yes"))
            case "always":
                self.dismiss(Decision(answer="always"))
            case _:
                self.dismiss(Decision(answer="no"))

    def action_why(self) -> None:
        if not self._deaf():
            line = self.query_one(InputLine)
            line.display = True
            line.focus()

    def on_input_line_sent(self, message: InputLine.Sent) -> None:
        self.dismiss(Decision(answer="no", reason=message.text))

    def action_hunks(self) -> None:
        from agent.tui.review import Accepted, ReviewScreen

        def decided(accepted: Accepted | None) -> None:
            if accepted is None:
                return
            whole = accepted.accepted == accepted.total and not accepted.edited
            part = None if whole else accepted.changes
            reason = "" if whole else f"{accepted.accepted} of {accepted.total} hunks were accepted"
            self.dismiss(Decision(answer="yes", reason=reason, accepted=part))

        offer = Offer(
            run_id=self._asked.call_id,
            patch=Patch(changes=self._asked.changes),
            verified=False,
            reason=self._asked.summary,
        )
        self.app.push_screen(ReviewScreen(offer), decided)


def command_line(argv: tuple[str, ...]) -> Iterator[Text]:
    """The argument vector, word by word: a word with blanks in it is marked as one."""
    for number, word in enumerate(argv):
        shown = clean(word).replace("\n", "␊")[:LONG]
        if number:
            yield Text(" ")
        if not shown or any(c.isspace() for c in shown):
            yield Text.assemble(("⟦", "dim"), (shown, "bold"), ("⟧", "dim"))
        else:
            yield Text(shown, "bold")
