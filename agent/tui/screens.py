"""What opens above the conversation: reviews, approvals, tables, tests; and what they give back."""

from typing import TYPE_CHECKING

from textual import work
from textual.message import Message

from agent.sanitize import clean
from agent.tui.commands import Command
from agent.tui.conversation import Conversation
from agent.tui.items import Offer, Question, Say, Sheet, Tested
from agent.tui.jobs import Jobs
from agent.tui.prompt import Input, Prompt

if TYPE_CHECKING:
    from agent.approvals import Decision
    from agent.tui.review import Accepted
    from agent.tui.session import Session

__all__ = ["Screens"]


class Screens(Jobs):
    """The part of the application that shows other screens."""

    session: "Session"
    talk: Conversation
    prompt: Prompt
    last_tests: Tested | None = None

    class Ordered(Message):
        """A command was chosen on a screen or in the palette."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    @property
    def input(self) -> Input:
        return self.prompt.query_one(Input)

    def say(self, label: str, text: str, note: str = "", style: str = "") -> None:
        style = "red" if label == "error" else style
        self.talk.lines([Say(label=label, text=text, style=style, note=note)])

    def toast(self, text: str) -> None:
        """A word in the corner, for what is not worth a line of the conversation."""
        self.notify(clean(text), timeout=3, markup=False)

    def open_item(self, item: Offer | Sheet | Question | Tested) -> None:
        match item:
            case Offer():
                self._offered(item)
            case Sheet():
                self._sheet(item)
            case Question():
                self._ask(item)
            case Tested():
                self.last_tests = item

    # ------------------------------------------------------------------ copying

    def on_conversation_copied(self, message: Conversation.Copied) -> None:
        self.copy(message.text)

    def action_copy_last(self) -> None:
        block = self.talk.last_answer()
        if block is not None:
            self.copy(block.source)

    def copy(self, text: str) -> None:
        """To the terminal's clipboard, and to this machine's where it has one."""
        self.copy_to_clipboard(text)
        self._copy_here(text)

    @work(thread=True, group="aside", exit_on_error=False)
    def _copy_here(self, text: str) -> None:
        from agent.tui.clipboard import put

        took = ", ".join(("the terminal", *put(text)))
        said = f"{len(text):,} characters copied to {took}"
        self.call_from_thread(self.toast, said)

    # ------------------------------------------------------------------ reviews

    def _offered(self, offer: Offer) -> None:
        """Open the review, but never under the fingers of somebody who is typing."""
        self.session.offer = offer
        if self.input.text or len(self.screen_stack) > 1:
            self.say("review", "a patch is ready: F4 or /diff opens the review")
            return
        self.review(offer)

    def review(self, offer: Offer) -> None:
        from agent.tui.review import ReviewScreen

        self.push_screen(ReviewScreen(offer), self._reviewed)

    def _reviewed(self, accepted: "Accepted | None") -> None:
        if accepted is None:
            self.say("review", "nothing was written", "F4 or /diff opens the review again")
            return
        counts = (accepted.accepted, accepted.total, accepted.edited)
        self.aside(self.session.apply(accepted.offer, accepted.changes, counts))

    # ------------------------------------------------------------------ approvals

    def _ask(self, question: Question) -> None:
        """The turn waits, so this opens whatever is on the screen; early keys are not heard."""
        from agent.tui.approval import ApprovalScreen

        def decided(decision: "Decision | None") -> None:
            if decision is not None:
                question.answer(decision)

        self.push_screen(ApprovalScreen(question.approval), decided)

    def close_questions(self) -> None:
        """The turn is over: nobody waits for an answer any more."""
        from textual.screen import ModalScreen

        while isinstance(self.screen, ModalScreen) and self.screen.has_class("question"):
            self.pop_screen()

    # ------------------------------------------------------------------ tables, tests

    def _sheet(self, sheet: Sheet) -> None:
        from agent.tui.sheet import SheetScreen

        self.push_screen(SheetScreen(sheet), self._chosen)

    def _order(self, text: str) -> None:
        self.post_message(self.Ordered(text))

    def _chosen(self, command: str | None) -> None:
        if command:
            self._order(command)

    def action_tests(self) -> None:
        if self.last_tests is None:
            self._order("/tests")
            return
        from agent.tui.testscreen import TestScreen

        self.push_screen(TestScreen(self.last_tests.run), self._chosen)

    def action_review(self) -> None:
        if self.session.offer is not None:
            self.review(self.session.offer)
        else:
            self._order("/diff")

    def action_help(self) -> None:
        from agent.tui.help import HelpScreen

        self.push_screen(HelpScreen())

    def from_palette(self, command: Command) -> None:
        """Carry out a command chosen in the palette, or let the user finish it."""
        if command.operand and not command.operand.startswith("["):
            self.input.put(f"/{command.name} ")
        else:
            self._order(f"/{command.name}")
