"""The TUI: what is typed becomes jobs, what jobs yield becomes widgets.

One job at a time runs in a thread worker and posts what it yields; what is typed meanwhile waits.
Items arrive in order. Nothing here decides anything about a repository: `Session` does.
"""

from collections import deque
from collections.abc import Callable
from pathlib import PurePath
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Footer

from agent.errors import PointsmanError
from agent.sanitize import one_line
from agent.tui.asking import Asker
from agent.tui.blocks import Folding
from agent.tui.commands import Ask, named, parse
from agent.tui.conversation import Conversation
from agent.tui.items import Ended, Offer, Output, Question, Redraw, Say, Sheet, Tested
from agent.tui.jobs import Jobs
from agent.tui.plan import PlanPane
from agent.tui.prompt import Input, Prompt
from agent.tui.screens import Screens
from agent.tui.session import Session
from agent.tui.status import Banner, Meter, Stage, Title
from agent.tui.testpane import TestPane
from agent.tui.theme import ANSI, THEME
from agent.tui.transcript import Transcript
from agent.tui.turns import Turns, redrawn
from agent.tui.typed import Typed

__all__ = ["ChatApp"]

WELCOME = (
    Say(label="", text="Say what is wrong:  /fix clamp(12, 1, 9) gives 1", style="bold"),
    Say(
        label="",
        text="The tests decide; nothing is written before you accept it; /undo takes it back.",
        note="? shows keys and commands",
    ),
)


def _palette() -> type[Provider]:
    from agent.tui.palette import Commands

    return Commands


class ChatApp(Screens):
    """Holds the session and the widgets; one instance per `agent chat`."""

    TITLE = "Pointsman"
    CSS_PATH: ClassVar[list[str | PurePath]] = [
        "conversation.tcss",
        "prompt.tcss",
        "panes.tcss",
        "status.tcss",
        "review.tcss",
        "sheet.tcss",
        "help.tcss",
        "approval.tcss",
        "hunkedit.tcss",
        "testscreen.tcss",
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 (Textual's own)
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_palette}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1,question_mark", "help", "Help", key_display="?"),
        Binding("escape", "interrupt", "Stop"),
        Binding("f2", "side", "Plan"),
        Binding("f3", "tests", "Tests"),
        Binding("f4", "review", "Review"),
        Binding("ctrl+o", "fold", "Fold"),
        Binding("shift+tab", "mode", "Mode", show=False, priority=True),
        Binding("ctrl+q", "quit", "Quit", priority=True),
    ]

    def __init__(self, session: Session) -> None:
        import os

        # Without colour the terminal's own foreground and background are left alone.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.ansi_theme_dark = ANSI
        self.session = session
        session.talking.approver = Asker(self.came, session.stop)
        self.words = session.setup.words
        self._queue: deque[Ask] = deque()
        self._job: Ask | None = None
        self._shown = session.settings
        self._leaving = False
        self._typed: Typed | None = None
        self._early: list[str] = []
        """Typed before it was known where it is remembered."""
        self._ours: dict[str, Callable[[], object]] = {
            "help": self.action_help,
            "quit": self.action_quit,
            "clear": self.action_clear,
            "copy": self.action_copy_last,
        }

    # ------------------------------------------------------------------ screen

    def compose(self) -> ComposeResult:
        self.heading = Title()
        self.banner = Banner(" UNSANDBOXED: commands of this repository run as you ")
        self.talk = Conversation()
        self.plan, self.tests = PlanPane(), TestPane()
        calm = self.session.setup.motion == "reduced"
        self.stage = Stage(self.words, 2.0 if calm else 0.25)
        self.meter = Meter(self.words)
        self.prompt = Prompt()
        panes = (self.plan, self.tests, self.stage, self.meter)
        self.transcript = Transcript(self.words, self.talk, panes)
        self.turns = Turns(self.words, self.talk)
        yield self.heading
        yield self.banner
        with Horizontal():
            yield self.talk
            with VerticalScroll(id="side", can_focus=False):
                yield self.plan
                yield self.tests
        with Vertical(id="bottom"):
            yield self.stage
            yield self.prompt
            yield self.meter
        yield Footer(compact=True)

    def on_mount(self) -> None:
        self.register_theme(THEME)
        self.theme = "ansi-dark" if self.no_color else "pointsman"
        settings = self.session.settings
        self.heading.tell(self.session.start.name, "", local_only=settings.local_only)
        self.banner.set_class(settings.unsandboxed, "-on")
        self.meter.budget(settings.max_cost_usd_micro)
        self.talk.lines(WELCOME)
        notices = self.session.loaded.notices
        self.talk.lines(Say(label="note", text=notice, style="yellow") for notice in notices)
        self.input.focus()
        if self.session.setup.motion == "reduced":
            self.animation_level = "none"
            self.input.cursor_blink = False
        self.call_after_refresh(self._introduce)
        if self.session.setup.resume is not None:
            self.submit(f"/sessions {self.session.setup.resume or 'last'}")

    @work(thread=True, group="aside", exit_on_error=False)
    def _introduce(self) -> None:
        """What needs git and a probe of the sandbox comes after the first paint, and again when
        settings changed."""
        try:
            repo = self.session.app.repo
            branch = repo.branch() or (repo.head() or "no commit yet")[:10]
            places = self.session.app.places.places()
            models = ", ".join(f"{p.location} {p.model}" for p in places) or "no model"
            where = f"sandbox {self.session.app.sandbox.name} · {models}"
            name = f"{repo.root.name} @ {branch}"
            self._remember()
        except PointsmanError as error:
            self.came(self.explained(error))
            return
        local_only = self.session.settings.local_only
        self.call_from_thread(self.heading.tell, name, where, local_only=local_only)

    def _remember(self) -> None:
        """What was typed in earlier sessions; and a word where something was interrupted."""
        if self._typed is not None:
            return
        typed = Typed(self.session.typed_path())
        self.call_from_thread(self._recall, typed, typed.load())
        waiting = self.session.waiting()
        if waiting:
            self.came(Say(label="note", text=waiting, style="yellow", note="/resume"))

    def _recall(self, typed: Typed, texts: tuple[str, ...]) -> None:
        self.input.recall(texts)
        self._typed = typed
        for text in self._early:
            typed.add(text)
        self._early.clear()

    # ------------------------------------------------------------------ jobs

    def on_screens_ordered(self, message: Screens.Ordered) -> None:
        self.submit(message.text)

    def on_input_sent(self, message: Input.Sent) -> None:
        if self._typed is not None:
            self._typed.add(message.text)
        else:
            self._early.append(message.text)
        self.submit(message.text)

    @work(thread=True, group="names", exclusive=True, exit_on_error=False)
    def on_input_wanted(self) -> None:
        """Files and symbols for a mention, read when the first one begins."""
        from agent.tui.finder import choices

        try:
            self.input.names = choices(self.session.app)
        except PointsmanError as error:
            self.came(self.explained(error))
            self.input.names = ()
        self.input.post_message(Input.Moved())

    def submit(self, text: str) -> None:
        """Carry out a line of input now, or when what is at work has ended."""
        ask = parse(text)
        command = named(ask.name)
        self.talk.prompt(text)
        if ask.kind == "unknown":
            self.say("error", f"there is no command /{one_line(ask.name, 40)}", "? shows them all")
        elif ask.name in self._ours:
            self.call_later(self._ours[ask.name])
        elif command is not None and not command.waits:
            self.aside(self.session.answer(ask))
        elif self._job is not None:
            self._wait(ask, self._job)
        else:
            self._begin(ask)

    def _wait(self, ask: Ask, job: Ask) -> None:
        """What is said to a conversation at work reaches it between two of its actions."""
        if ask.kind == "talk" and (job.kind == "talk" or job.name in ("plan", "edit")):
            self.session.talking.inbox.append(ask.rest)
            self.say("queued", "told to the model at its next step")
        else:
            self._queue.append(ask)
            self.say("queued", f"starts when /{job.name or job.kind} has ended")
        self._count()

    def _count(self) -> None:
        self.stage.queued = len(self._queue) + len(self.session.talking.inbox)

    def _begin(self, ask: Ask) -> None:
        self._job = ask
        self.session.stop.clear()
        self._count()
        self.stage.begin(ask.name or ask.kind)
        self.refresh_bindings()
        self.work_on(self.session.answer(ask))

    def _ended(self) -> None:
        self.transcript.close()
        self.close_questions()
        settings = self.session.settings
        if settings is not self._shown:
            self._shown = settings
            self.meter.budget(settings.max_cost_usd_micro)
            self._introduce()
        self._job = None
        self.refresh_bindings()
        self.stage.rest()
        inbox = self.session.talking.inbox
        if self._leaving:
            self.exit(0)
        elif inbox:  # the turn ended before it could be told
            self._begin(parse("\n\n".join(inbox)))
            inbox.clear()
        elif self._queue:
            self._begin(self._queue.popleft())
        self._count()

    # ------------------------------------------------------------------ what jobs yield

    def on_jobs_came(self, message: Jobs.Came) -> None:
        item = message.item
        if not self.screen_stack:  # the application is closing; the job's own record has it
            return
        match item:
            case Ended():
                self._ended()
            case Say():
                self.talk.lines([item])
            case Output():
                self.talk.add(Folding(item.title, item.text))
            case Redraw():
                self.talk.empty()
                redrawn(self.talk, item.records)
            case Offer() | Sheet() | Question() | Tested():
                self.tests.look(item)
                self.open_item(item)
            case _:
                self.transcript.take(item)
                self.turns.take(item)

    # ------------------------------------------------------------------ keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that do nothing now are not in the footer."""
        hidden = ("side", "fold", "review", "tests", "mode")
        if action in hidden and len(self.screen_stack) > 1:
            return False
        if action == "interrupt":
            return self._job is not None
        return super().check_action(action, parameters)

    def action_interrupt(self) -> None:
        """Ends the run at once: the loop looks at the token between and during its actions."""
        if self._job is None:
            return
        self.session.stop.set()
        dropped = len(self._queue) + len(self.session.talking.inbox)
        self._queue.clear()
        self.session.talking.inbox.clear()
        self.stage.queued = 0
        text = "stopping; the working tree stays as it was"
        note = f"{dropped} queued dropped: Up brings them back" if dropped else ""
        self.say("stop", text, note)

    def action_help_quit(self) -> None:
        """Ctrl+C with nothing selected."""
        if self._job is not None:
            self.action_interrupt()
        else:
            self.toast("Ctrl+Q leaves")

    def action_side(self) -> None:
        wide = self.screen.has_class("-wide")
        self.screen.toggle_class("-closed" if wide else "-open")

    def action_fold(self) -> None:
        self.talk.fold_all()

    @work(thread=True, group="aside", exit_on_error=False)
    def action_mode(self) -> None:
        """The next mode of the conversation."""
        from agent.tui.talking import MEANING

        try:
            mode = self.session.talking.cycle()
        except PointsmanError as error:
            self.came(self.explained(error))
            return
        self.came(Say(label="mode", text=mode, note=MEANING[mode]))

    def on_conversation_left(self) -> None:
        self.input.focus()

    def action_scroll_conversation(self, pages: int) -> None:
        self.talk.pages(pages)

    async def action_clear(self) -> None:
        self.talk.empty()

    async def action_quit(self) -> None:
        """A run is ended first, so that nothing of it is left behind; twice leaves at once."""
        if self._job is None or self._leaving:
            self.exit(0)
            return
        self._leaving = True
        self.session.stop.set()
        self.say("quit", "leaving as soon as the run has stopped", "Ctrl+Q again: at once")
