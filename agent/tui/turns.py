"""A conversation's events on the screen: tool calls folded, edits as diffs, how a turn ended."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent import events as ev
from agent.sanitize import one_line
from agent.tui.blocks import Answer, Folding, Said
from agent.tui.conversation import Conversation
from agent.tui.items import Say
from agent.tui.words import Words

if TYPE_CHECKING:
    from agent.chat.records import Record

__all__ = ["Turns", "redrawn"]

TOOL_ROWS = 0
"""Rows of a tool's output that stay while it is folded: its title says what it did."""
DIFF_ROWS = 16


class Turns:
    """Fed with the events of turns, in order; events of runs say nothing to it."""

    def __init__(self, words: Words, talk: Conversation) -> None:
        self._words = words
        self._talk = talk
        self._calls: dict[str, tuple[Folding, str]] = {}
        self._asked: set[str] = set()
        """Calls that waited for the user: how long they took says nothing."""
        self._thinking: tuple[Folding, list[str]] | None = None

    def take(self, event: ev.Event) -> None:
        match event:
            case ev.ThinkingDelta():
                self._think(event.text)
            case ev.TextDelta() | ev.RequestFinished():
                self._thinking = None
            case ev.ToolStarted():
                self._started(event)
            case ev.ToolFinished():
                self._finished(event)
            case ev.EditApplied():
                self._applied(event)
            case ev.ApprovalAsked():
                self._asked.add(event.call_id)
            case ev.ApprovalAnswered():
                self._answered(event)
            case ev.Compacted():
                text = f"{event.before_tokens:,} tokens became {event.after_tokens:,}"
                note = f"{event.reason} · by {event.by}"
                self._say("compacted", text, note=one_line(note))
            case ev.TurnFinished():
                self._ended(event)
            case _:
                pass

    def _think(self, text: str) -> None:
        if self._thinking is None:
            block = Folding("thinking", shown=0)
            block.folded = True
            self._thinking = (block, [])
            self._talk.add(block)
        block, parts = self._thinking
        parts.append(text)
        block.tell("thinking", "".join(parts))
        self._talk.changed()

    def _started(self, event: ev.ToolStarted) -> None:
        block = Folding(event.summary or event.name, shown=TOOL_ROWS, mark="…")
        self._calls[event.call_id] = (block, event.summary or event.name)
        self._talk.add(block)

    def _finished(self, event: ev.ToolFinished) -> None:
        block, title = self._calls.pop(event.call_id, (None, event.name))
        if block is None:
            block = Folding(title, shown=TOOL_ROWS)
            self._talk.add(block)
        sign = "✔" if event.ok else "✘"
        waited = event.call_id in self._asked or event.name == "test"  # which says it itself
        took = "" if waited else f" · {self._words.seconds(event.duration_s)}"
        mark = f"{sign} {event.summary}{took}"
        block.tell(title, event.output, mark=one_line(mark, 120))
        block.folded = True
        self._talk.changed()

    def _applied(self, event: ev.EditApplied) -> None:
        paths = ", ".join(one_line(path, 60) for path in event.paths[:4])
        block = Folding(f"edit {paths}", event.diff, shown=DIFF_ROWS, mark="applied · /undo")
        self._talk.add(block)

    def _answered(self, event: ev.ApprovalAnswered) -> None:
        words = {"yes": "approved", "always": "approved from now on", "no": "refused"}
        style = "yellow" if event.answer == "no" else ""
        self._say("you", words[event.answer], style, note=one_line(event.reason))

    def _ended(self, event: ev.TurnFinished) -> None:
        self._calls.clear()
        self._asked.clear()
        self._thinking = None
        totals = event.totals
        cost = self._words.usd(None if totals.unpriced else totals.usd_micro)
        note = f"{self._words.seconds(event.duration_s)} · {cost} in this conversation"
        if event.status == "answered":
            self._say("", "✔ done", note=note)
            return
        style = "yellow" if event.status in ("interrupted", "limit") else "red"
        self._say(event.status, event.reason, style, note=note)
        if event.status == "unserved":
            self._say("next", "/resume", "bold", note="takes the turn up where it was")
        if event.next_command:
            self._say("next", event.next_command, "bold")

    def _say(self, label: str, text: str, style: str = "", note: str = "") -> None:
        self._talk.lines([Say(label=label, text=text, style=style, note=note)])


def redrawn(talk: Conversation, records: "Sequence[Record]") -> None:
    """Show what was said in a conversation that is taken up again."""
    from agent.chat import records as rec

    names: dict[str, str] = {}
    for record in records:
        match record:
            case rec.Said():
                talk.add(Said(record.text))
            case rec.Answered():
                names.update((c.id, f"{c.name} {c.arguments}") for c in record.calls)
                if record.text.strip():
                    answer = Answer(f"{record.location} {record.model}", prose=True)
                    answer.write(record.text)
                    answer.finish()
                    talk.add(answer)
            case rec.Returned():
                mark = f"{'✔' if record.ok else '✘'} {record.summary}"
                title = names.get(record.call_id, record.name)
                talk.add(Folding(title, record.content, shown=TOOL_ROWS, mark=one_line(mark, 120)))
            case rec.Edited(state="applied"):
                paths = ", ".join(one_line(p, 60) for p in record.paths[:4])
                talk.add(Folding(f"edit {paths}", record.diff, shown=DIFF_ROWS, mark="applied"))
            case rec.Ended(status=status) if status != "answered":
                talk.lines([Say(label=status, text=record.reason, style="yellow")])
            case _:
                pass
