"""What a job of the session hands to the screen, besides the events of a run or a turn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agent.events import Event
from tools.types import Patch, TestRun

if TYPE_CHECKING:
    from agent.approvals import Approval, Decision
    from agent.chat.records import Record

__all__ = ["Ended", "Item", "Offer", "Output", "Question", "Redraw", "Say", "Sheet", "Tested"]


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
    """A patch to review. `verified` holds for the whole patch only.

    `origin`: a run's patch goes through the journal, a conversation's also back to its model.
    """

    run_id: str
    patch: Patch
    verified: bool
    reason: str
    origin: Literal["run", "chat"] = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table on a screen of its own. `notes` stand below it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    choose: Literal["", "diff", "sessions", "undo"] = ""
    """The command that Enter gives for a row's first cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The turn at work waits for the user's decision; `answer` may be called from any thread."""

    approval: "Approval"
    answer: "Callable[[Decision], None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redraw:
    """A conversation was opened: what was said in it is shown again."""

    title: str
    records: "tuple[Record, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """The tests were run at the user's request. `ids` empty: all of them."""

    __test__ = False
    run: TestRun
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The job is over: nothing of it comes any more."""


Item = Event | Say | Output | Offer | Sheet | Question | Redraw | Tested | Ended
