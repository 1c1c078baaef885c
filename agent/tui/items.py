"""What a job of the session hands to the screen, besides the events of a run."""

from dataclasses import dataclass
from typing import Literal

from agent.events import Event
from tools.types import Patch

__all__ = ["Item", "Offer", "Output", "Say", "Sheet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """A line of ours in the conversation: label left, text beside it, note dimmed after."""

    label: str
    text: str
    style: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Text of many lines, as it is: a command's output, a repo map."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A patch to review. `verified` holds for the whole patch only."""

    run_id: str
    patch: Patch
    verified: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table on a screen of its own. `notes` stand below it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    choose: Literal["", "diff"] = ""
    """The command that Enter gives for a row's first cell."""


Item = Event | Say | Output | Offer | Sheet
