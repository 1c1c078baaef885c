"""The lines at the edges: the title, the stage at work, money and tokens."""

import time
from dataclasses import dataclass

from rich.text import Text
from textual.widgets import Static

from agent import events as ev
from agent.sanitize import one_line, plain
from agent.tui.words import Tally, Words
from agent.types import Location

__all__ = ["Banner", "Meter", "Stage", "Title"]

BAR = 10
PLACES: tuple[tuple[Location, str], ...] = (
    ("local", "local"),
    ("onprem", "on-prem"),
    ("frontier", "frontier"),
)


class Title(Static):
    """What this is, and on which repository."""

    def tell(self, repository: str, where: str, *, local_only: bool) -> None:
        text = Text.assemble((" Pointsman ", "bold reverse"))
        if local_only:
            text.append(" LOCAL ONLY ", "bold underline")
        text.append_text(plain(f" {one_line(repository, 50)}", "bold"))
        text.append_text(plain(f"  {one_line(where, 120)}", "dim"))
        self.update(text)


class Banner(Static):
    """Stays while commands run unconfined."""


class Stage(Static):
    """What is being done, how far it is, since when, and what waits. Four times a second, no
    animation: the seconds are what moves."""

    def __init__(self, words: Words, every: float = 0.25) -> None:
        super().__init__(id="stage")
        self._words = words
        self._every = every
        self._written, self._first = 0, 0.0
        self._stage, self._detail = "", ""
        self._since = 0.0
        self._done = self._total = 0
        self.queued = 0

    def on_mount(self) -> None:
        self.set_interval(self._every, self._tick)
        self.rest()

    def begin(self, name: str) -> None:
        self._stage, self._detail = one_line(name, 40), ""
        self._since = time.monotonic()
        self._done = self._total = 0
        self._draw()

    def rest(self) -> None:
        self._stage = ""
        self._draw()

    def take(self, event: ev.Event) -> None:
        match event:
            case ev.Phase():
                self.begin(event.name)
                self._detail = one_line(event.detail, 40)
            case ev.StepStarted():
                self.begin(event.step.kind)
                self._detail = one_line(event.step.goal, 40)
            case ev.Progress():
                self._done, self._total = event.done, event.total or 0
                self._detail = one_line(event.detail, 40) or self._detail
            case ev.RequestStarted():
                # Only our own worker says how far it has read; since when it reads is known of all.
                self._since, self._written = time.monotonic(), 0
                self._done = self._total = 0
                self._stage = "reading the prompt"
                self._detail = one_line(event.route.model or event.route.provider or "?", 40)
            case ev.TextDelta() | ev.ThinkingDelta():
                self._count(event.text)
                return
            case ev.ToolStarted():
                self.begin(event.name)
                self._detail = one_line(event.summary, 40)
            case ev.ApprovalAsked():
                self.begin("waiting for you")
            case ev.RunFinished() | ev.TurnFinished():
                self.rest()
            case _:
                return
        self._draw()

    def _count(self, text: str) -> None:
        if not self._written:
            self._stage, self._first = "writing", time.monotonic()
            self._done = self._total = 0
        self._written += len(text)

    def _speed(self) -> str:
        """An estimate while text arrives: four characters are about a token."""
        passed = time.monotonic() - self._first
        if self._stage != "writing" or passed < 1.0:
            return ""
        return f"  ~{self._written / 4 / passed:.0f} tok/s"

    def _tick(self) -> None:
        if self._stage:
            self._draw()

    def _draw(self) -> None:
        if not self._stage:
            waiting = f"{self.queued} queued" if self.queued else "ready"
            self.update(Text(f"  {waiting}", "dim"))
            return
        text = Text()
        text.append(f"▶ {self._stage}", "bold")
        if self._total:
            full = min(BAR * self._done // self._total, BAR)
            text.append(f"  {'━' * full}", "cyan")
            text.append(f"{'─' * (BAR - full)} {self._done:,}/{self._total:,}", "dim")
        if self._detail:
            text.append(f"  {self._detail}", "dim")
        text.append(f"  {self._words.seconds(time.monotonic() - self._since)}", "cyan")
        text.append(self._speed(), "cyan")
        if self.queued:
            text.append(f"  · {self.queued} queued", "bold")
        text.append("  · Esc stops", "dim")
        self.update(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much the meter's one line says."""

    zeros: bool
    """What is nothing is shown, too."""
    tokens: str
    accepted: str


ROOMY = Room(zeros=True, tokens=" tok", accepted="accepted")
TIGHT = Room(zeros=False, tokens="", accepted="acc")


class Meter(Static):
    """Dollars spent and reserved of the budget, tokens by place, local speed and strategy."""

    def __init__(self, words: Words) -> None:
        super().__init__(id="meter")
        self._words = words
        self._reserved: dict[str, int] = {}
        self._tokens: dict[str, int] = {}
        self._usd = 0
        self._unpriced = 0
        self._budget: int | None = None
        self._tally: Tally = words.tally()

    def on_mount(self) -> None:
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def budget(self, micro: int | None) -> None:
        self._budget = micro
        self._draw()

    def take(self, event: ev.Event) -> None:
        match event:
            case ev.RunStarted():
                self._tally = self._words.tally()
                self._reserved = {}
                self._usd = self._unpriced = 0
            case ev.RequestStarted():
                key = f"{event.request_id}/{event.ledger_row}"
                self._reserved[key] = event.reserved_usd_micro or 0
            case ev.RequestFinished():
                self._reserved.pop(f"{event.request_id}/{event.ledger_row}", None)
                self._usd += event.usd_micro or 0
            case ev.Spent():
                self._usd = event.totals.usd_micro
                self._unpriced = event.totals.unpriced
                self._budget = event.budget_usd_micro
            case _:
                pass
        self._tally.add(event)
        if isinstance(event, ev.RunStarted | ev.RequestStarted | ev.RequestFinished | ev.Spent):
            self._draw()

    def _draw(self) -> None:
        """All of it where there is room; below that what is zero is left out."""
        text = self._drawn(ROOMY)
        self.update(text if text.cell_len <= (self.size.width or 80) else self._drawn(TIGHT))

    def _drawn(self, room: "Room") -> Text:
        usd = self._words.usd
        text = Text(" ")
        text.append(f"spent {usd(self._usd)}", "bold")
        if self._unpriced:
            text.append(f" + {self._unpriced} of unknown price", "yellow")
        reserved = sum(self._reserved.values())
        if reserved or room.zeros:
            text.append(f" + {usd(reserved)} reserved")
        limit = "no limit" if self._budget is None else f"of {usd(self._budget)}"
        text.append(f" {limit}")
        tokens = self._tally.tokens_by_location
        used = [(name, tokens.get(key, 0)) for key, name in PLACES]
        counts = " ".join(f"{name} {_short(n)}" for name, n in used if n or room.zeros)
        text.append(f" │ {counts}{room.tokens}" if counts else "", "cyan")
        decoding = self._tally.decoding
        if decoding.seconds:
            text.append(f" │ {decoding.tokens / decoding.seconds:.0f} tok/s")
            text.append(f" {one_line('+'.join(sorted(decoding.by_strategy)), 24)}")
            if decoding.drafted:
                text.append(f" {decoding.accepted / decoding.drafted:.0%} {room.accepted}")
        return text


def _short(count: int) -> str:
    return f"{count}" if count < 1000 else f"{count / 1000:.1f}k"
