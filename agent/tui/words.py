"""The command line's wording, handed in by the command that opens the TUI.

Surfaces do not import each other, and an event must read the same on both: `agent.cli.chat` gives
the functions, this module says what they look like.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from agent.config import Loaded
from agent.events import Event, RunFinished, Spent, TestsFinished
from agent.types import Location

__all__ = ["Decoding", "Line", "Setup", "Tally", "Words"]


class Line(Protocol):
    """One row of the transcript, cleaned."""

    @property
    def label(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def style(self) -> str: ...

    @property
    def note(self) -> str: ...


class Decoding(Protocol):
    """Local generation so far."""

    by_strategy: dict[str, int]
    tokens: int
    seconds: float
    drafted: int
    accepted: int


class Tally(Protocol):
    """Sums over the events of a run."""

    before: TestsFinished | None
    after: TestsFinished | None
    spent: Spent | None
    tokens_by_location: dict[Location, int]

    @property
    def decoding(self) -> Decoding: ...

    def add(self, event: Event) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Everything that is said about events, money and time."""

    lines: Callable[[Event], Iterable[Line]]
    tally: Callable[[], Tally]
    closing: Callable[[RunFinished, Any], Iterable[tuple[str, str]]]
    """(label, cleaned text) of the closing table; takes what `tally` made."""
    usd: Callable[[int | None], str]
    seconds: Callable[[float], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the TUI is opened with. `reload` merges the settings anew, with flags by field name.

    `reload` raises ConfigError for a value that is not one.
    """

    loaded: Loaded
    screen: Literal["whole", "inline"] = "whole"
    """inline: below what the terminal shows; the conversation stays in its scrollback."""
    motion: Literal["usual", "reduced"] = "usual"
    resume: str | None = None
    """A conversation to go on with, by the end of its id; empty: the last one."""
    reload: Callable[[Mapping[str, object]], Loaded]
    words: Words
