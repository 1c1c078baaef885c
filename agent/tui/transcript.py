"""A run's events on the screen: each pane takes what concerns it, the conversation the rest."""

from collections.abc import Sequence
from typing import Protocol

from agent import events as ev
from agent.sanitize import one_line
from agent.tui.blocks import Answer, Verdict
from agent.tui.conversation import Conversation
from agent.tui.words import Words
from agent.types import Route, StepKind

__all__ = ["Pane", "Transcript"]


class Pane(Protocol):
    """Draws what it knows; `take` ignores events that say nothing to it."""

    def take(self, event: ev.Event) -> None: ...


class Transcript:
    """Fed with events in order, from one run after the other."""

    def __init__(self, words: Words, talk: Conversation, panes: Sequence[Pane]) -> None:
        self._words = words
        self._talk = talk
        self._panes = panes
        self._answer: Answer | None = None
        self._kinds: dict[str, StepKind] = {}
        self._route = ""
        self._turning = False
        self._last: Route | None = None
        self._tally = words.tally()

    def take(self, event: ev.Event) -> None:
        for pane in self._panes:
            pane.take(event)
        match event:
            case ev.RunStarted():
                self._tally = self._words.tally()
            case ev.Routed():
                self._kinds[event.step_id] = event.step_kind
            case ev.RequestStarted():
                self._route = f"{event.route.location} {event.route.model or ''}"
            case ev.TextDelta():
                self._stream(event)
            case ev.RequestFinished(error=error) if error:
                self.close("broke off")
            case ev.RequestFinished() | ev.RunFinished():
                self.close()
            case _:
                pass
        self._tally.add(event)
        if not self._plain_talk(event):
            self._talk.lines(self._words.lines(event))
        if isinstance(event, ev.RunFinished):
            self._finished(event)

    def _plain_talk(self, event: ev.Event) -> bool:
        """What would stand between the lines of a conversation: the meter and its tools say it."""
        match event:
            case ev.TurnStarted():
                self._turning, self._last = True, None
            case ev.RunStarted():
                self._turning = False
            case ev.Routed() if self._turning:
                same, self._last = event.route == self._last, event.route
                return same
            case ev.RequestFinished() if self._turning:
                return True
            case ev.EditRefused() | ev.TestsFinished():
                return self._turning
            case _:
                pass
        return False

    def close(self, note: str = "") -> None:
        """Nothing more comes of the answer that streams, if any. `note`: why it is not whole."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.finish(note)
            self._talk.changed()

    def _stream(self, event: ev.TextDelta) -> None:
        if self._answer is None:
            kind = self._kinds.get(event.step_id, "chat")
            self._answer = Answer(f"{kind} · {self._route}", prose=kind == "chat")
            self._talk.add(self._answer)
        self._answer.write(event.text)
        if self._answer.long:
            self._answer = self._answer.split()
            self._talk.add(self._answer)
        self._talk.changed()

    def _finished(self, event: ev.RunFinished) -> None:
        outcome = event.outcome
        # With a patch the review follows; otherwise say what to type here, not in a shell.
        following = "" if outcome.diff else (outcome.next_command or "")
        following = following.replace("agent resume", "/resume").replace("agent diff", "/diff")
        rows = self._words.closing(event, self._tally)
        self._talk.add(Verdict(outcome.verdict, rows, one_line(following, 300)))
