"""Free conversation: one is open at a time; it survives whatever happens to this process."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from agent.errors import ConfigError
from agent.events import Event, TurnFinished
from agent.sanitize import one_line
from agent.tui.items import Item, Offer, Redraw, Say, Sheet

if TYPE_CHECKING:
    from agent.app import App
    from agent.approvals import Approver, Mode
    from agent.chat.conversation import Conversation
    from agent.types import CancelToken
    from tools.journal import Entry
    from tools.types import FileChange

__all__ = ["Talking"]

NOTED = 6_000
"""Characters of a command's output or a run's outcome that the model is told."""


class Talking:
    """The conversation of a session. `app` gives the wired application as the settings are now."""

    def __init__(self, app: "Callable[[], App]", cancel: "CancelToken") -> None:
        self._app = app
        self._cancel = cancel
        self.current: Conversation | None = None
        self.approver: Approver | None = None
        self.inbox: deque[str] = deque()
        """Said while a turn is at work: told to the model between two of its actions."""

    # ------------------------------------------------------------------ turns

    def say(self, text: str, mode: "Mode | None" = None) -> Iterator[Item]:
        """A turn. Without a model that can hold a conversation: one line what to add."""
        why = self._app().talks.can_chat()
        if why:
            yield Say(label="note", text=why)
            return
        yield from self._turn(text, mode)

    def go_on(self) -> Iterator[Item]:
        """Take up a turn again that was interrupted, or that no place answered."""
        yield from self._turn(None, None)

    def _turn(self, text: str | None, mode: "Mode | None") -> Iterator[Item]:
        app, talk = self._app(), self.open()
        events = app.talks.chat(
            talk, text, approver=self.approver, mode=mode, cancel=self._cancel, inbox=self._next
        )
        yield from self._follow(app, talk, events)

    def _follow(self, app: "App", talk: "Conversation", events: Iterator[Event]) -> Iterator[Item]:
        for event in events:
            yield event
            if isinstance(event, TurnFinished) and event.pending_diff:
                yield Offer(
                    run_id=talk.id,
                    patch=app.talks.pending(talk),
                    verified=False,
                    reason="the conversation changed these files in its scratch copy",
                    origin="chat",
                )

    def _next(self) -> str | None:
        return self.inbox.popleft() if self.inbox else None

    # ------------------------------------------------------------------ which conversation

    def open(self) -> "Conversation":
        if self.current is None:
            self.current = self._app().talks.conversation()
        return self.current

    def close(self) -> None:
        talk, self.current = self.current, None
        if talk is not None:
            talk.close()

    def switch(self, name: str) -> Iterator[Item]:
        """Another conversation: by its id, the end of it, or `last`."""
        known = self._app().talks.conversations()
        found = known[:1] if name == "last" else tuple(s for s in known if s.id.endswith(name))
        if len(found) != 1:
            raise ConfigError(
                f"there is no conversation {one_line(name, 40)!r}", remedy="/sessions"
            )
        talk = self.current
        if talk is None or talk.id != found[0].id:
            opened = self._app().talks.conversation(found[0].id)
            self.close()
            self.current = talk = opened
        yield Redraw(title=talk.title, records=tuple(talk.records))
        if talk.interrupted or talk.unserved:
            what = "was interrupted" if talk.interrupted else "was not answered"
            text = f"the last turn {what}: /resume takes it up again"
            yield Say(label="note", text=text, style="yellow")

    def interrupted(self) -> str:
        """The newest conversation whose last turn did not end; empty if there is none.

        Of the open one also a turn that nobody answered: later that is no news at every start.
        """
        if self.current is not None:
            again = self.current.interrupted or self.current.unserved
            return self.current.id if again else ""
        return next((s.id for s in self._app().talks.conversations() if s.interrupted), "")

    def sheet(self) -> Iterator[Item]:
        import time

        rows = tuple(
            (
                s.id,
                time.strftime("%m-%d %H:%M", time.localtime(s.last)),
                f"{s.turns}",
                "interrupted" if s.interrupted else "",
                one_line(s.title, 70),
            )
            for s in self._app().talks.conversations()[:200]
        )
        notes = () if rows else ("no conversation about this repository yet",)
        columns = ("conversation", "last", "turns", "", "title")
        title = "Conversations"
        yield Sheet(title=title, columns=columns, rows=rows, notes=notes, choose="sessions")

    def new(self) -> Iterator[Item]:
        self.close()
        yield Say(label="new", text="a new conversation; /sessions goes back to the others")

    # ------------------------------------------------------------------ its parts

    def compact(self) -> Iterator[Item]:
        if self.current is None or not self.current.turn:
            raise ConfigError("there is nothing to compact yet")
        yield from self._app().talks.compact(self.current)

    def mode(self, name: str) -> Iterator[Item]:
        from agent.approvals import MODES

        talk = self.open()
        if name:
            chosen = next((m for m in MODES if m == name), None)
            if chosen is None:
                raise ConfigError(f"there is no mode {one_line(name, 20)!r}", remedy="/mode ask")
            talk.set_mode(chosen)
        yield Say(label="mode", text=talk.mode, note=MEANING[talk.mode])

    def cycle(self) -> str:
        """The next mode, as Shift+Tab walks through them."""
        from agent.approvals import MODES

        talk = self.open()
        talk.set_mode(MODES[(MODES.index(talk.mode) + 1) % len(MODES)])
        return talk.mode

    def apply(self, changes: "tuple[FileChange, ...]") -> "Entry":
        return self._app().talks.apply(self.open(), changes)

    def note(self, text: str) -> None:
        """Tell the model what happened beside it."""
        if self.current is not None:
            self.current.note(text[:NOTED])


MEANING = {
    "ask": "edits and commands are asked for",
    "accept-edits": "edits are applied at once, commands are asked for; /undo takes edits back",
    "plan": "nothing is changed and nothing is run",
    "auto": "everything in a scratch copy, unasked; what changed is offered at the end",
}
