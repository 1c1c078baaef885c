"""What a conversation consists of: frozen records, one line of JSON each.

A record is on the disk before what follows from it happens, so a conversation that was killed goes
on where it was. Secrets are placeholders here (see tools.secrets): nothing else is ever written.
"""

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast, get_args

from agent.types import Location, Plan, Privacy, StopReason, ToolCall

__all__ = [
    "Answered",
    "Began",
    "Compaction",
    "Edited",
    "Ended",
    "ModeSet",
    "Noted",
    "Planned",
    "Record",
    "Returned",
    "Said",
    "Started",
    "Titled",
    "Told",
    "decode",
    "encode",
]

VERSION = 1
EditState = Literal["pending", "applied", "discarded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """The first record. `fence` is a random key: text of the repository cannot guess the marks
    that data is put between."""

    id: str
    root: str
    fence: str
    version: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the user said. `turn` counts from 1."""

    turn: int
    text: str
    privacy: Privacy = "open"
    while_working: bool = False
    """Said during the turn; the model reads it between two of its actions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Something the model should know that neither it nor the user said: a run's outcome, the
    output of a command of the user's, what became of an edit, a limit."""

    text: str
    privacy: Privacy = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answer of a model, recorded before any of its calls is carried out."""

    turn: int
    request_id: str
    text: str
    stop: StopReason
    provider: str
    model: str
    location: Location
    calls: tuple[ToolCall, ...] = ()
    native: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A call that changes something is about to be carried out."""

    call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What a call gave. `content` is what the model is told, already between its marks."""

    call_id: str
    name: str
    ok: bool
    summary: str
    content: str
    privacy: Privacy = "open"
    paths: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """A change and where it is: in the scratch copy only (pending), in the user's tree, or
    nowhere any more. A later record of the same call replaces an earlier one."""

    call_id: str
    state: EditState
    paths: tuple[str, ...]
    diff: str
    entry_id: str = ""
    """Of the journal, once applied."""
    privacy: Privacy = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The plan the conversation works on; it survives every compaction."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A notice the user got, so that it is shown once."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Titled:
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeSet:
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """Records before number `upto` are from now on told as `text`."""

    upto: int
    text: str
    by: str
    privacy: Privacy = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The turn is over. Without it the turn was interrupted and can be taken up again."""

    turn: int
    status: str
    reason: str = ""


Record = (
    Began
    | Said
    | Noted
    | Answered
    | Started
    | Returned
    | Edited
    | Planned
    | Titled
    | Told
    | ModeSet
    | Compaction
    | Ended
)


def encode(record: Record, at: float) -> str:
    """One line; `at` is seconds since the epoch."""
    from agent.trajectory import jsonable

    row = {"type": type(record).__name__, "at": round(at, 3), **jsonable(record)}
    return json.dumps(row, ensure_ascii=False)


def decode(row: Mapping[str, Any]) -> Record | None:
    """A parsed line; None for a type that this version does not know."""
    cls = _types().get(str(row.get("type")))
    if cls is None:
        return None
    fields = {k: v for k, v in row.items() if k not in ("type", "at")}
    record: Record = _adapter(cast(Hashable, cls)).validate_python(fields)
    return record


@cache
def _types() -> dict[str, type[Any]]:
    return {cls.__name__: cls for cls in get_args(Record)}


@cache
def _adapter(cls: Hashable) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cast(Any, cls))
