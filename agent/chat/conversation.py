"""A conversation: its records, in memory and on the disk, appended to and never rewritten.

    with open_conversation(directory, root) as talk:      # a new one
    with open_conversation(directory, root, id) as talk:  # one that was there

A line that a crash cut off is dropped on reading; everything before it is whole, because a line is
flushed before anything follows from it.
"""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from agent.approvals import MODES, Mode
from agent.chat import records as rec
from agent.chat.fence import bounded, fenced, visible
from agent.chat.records import Record
from agent.errors import ConfigError
from agent.types import Plan, Privacy, ToolCall

if TYPE_CHECKING:
    from agent.chat.scratch import Scratch

__all__ = ["Conversation", "Summary", "open_conversation", "summaries"]

DURABLE = (rec.Began, rec.Said, rec.Answered, rec.Started, rec.Returned, rec.Edited, rec.Compaction)
"""Records that must survive a power cut."""
TITLE = 60
NOTE = 8_000
"""Characters of data in a note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One line of the list of conversations."""

    id: str
    path: Path
    title: str
    turns: int
    started: float
    last: float
    """Seconds since the epoch."""
    interrupted: bool
    """The last turn did not end: it can be taken up again."""


class Conversation:
    """See the module. Made by `open_conversation`; closing it frees it for other processes."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock
        self.scratch: Scratch | None = None
        """Made by the first turn that runs something; deleted when the conversation is closed."""
        self.records: list[Record] = list(read(path))
        data = path.read_bytes() if path.exists() else b""
        self._file = path.open("a", encoding="utf-8")
        if data and not data.endswith(b"\n"):  # cut off by a crash: nothing is glued to it
            self._file.write("\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Twice does no harm."""
        if self.scratch is not None:
            self.scratch.close()
            self.scratch = None
        self._file.close()
        if self._lock is not None:
            if len(self.records) == 1:  # nothing was said
                self.path.unlink(missing_ok=True)
                self.path.with_suffix(".lock").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def append(self, record: Record) -> None:
        """On the disk when this returns."""
        self._file.write(rec.encode(record, time.time()) + "\n")
        self._file.flush()
        if isinstance(record, DURABLE):
            os.fsync(self._file.fileno())
        self.records.append(record)

    # ------------------------------------------------------------------ what it holds

    @property
    def _began(self) -> rec.Began:
        first = self.records[0]
        assert isinstance(first, rec.Began)
        return first

    @property
    def id(self) -> str:
        """Also the run under which the ledger keeps what it cost."""
        return self._began.id

    @property
    def fence(self) -> str:
        return self._began.fence

    @property
    def title(self) -> str:
        return title_of(self.records)

    @property
    def turn(self) -> int:
        """Number of the last turn; 0 before the first."""
        return max((r.turn for r in self.records if isinstance(r, rec.Said)), default=0)

    @property
    def interrupted(self) -> bool:
        return interrupted(self.records)

    @property
    def unserved(self) -> bool:
        """The last turn ended because no place answered: it can be taken up again as well."""
        last = next(
            (r for r in reversed(self.records) if isinstance(r, rec.Said | rec.Ended)), None
        )
        return isinstance(last, rec.Ended) and last.status == "unserved"

    @property
    def mode(self) -> Mode:
        """As last set, else `ask`."""
        for record in reversed(self.records):
            if isinstance(record, rec.ModeSet):
                return next((m for m in MODES if m == record.mode), "ask")
        return "ask"

    @property
    def plan(self) -> Plan | None:
        """The last plan, for the model and for every summary."""
        found = [r.plan for r in self.records if isinstance(r, rec.Planned)]
        return found[-1] if found else None

    @property
    def task(self) -> str:
        """What the conversation is about: the first thing the user said."""
        return next((r.text for r in self.records if isinstance(r, rec.Said)), "")

    def edits(self, state: rec.EditState) -> tuple[rec.Edited, ...]:
        """Changes that are now in that state, in the order they were made."""
        last: dict[str, rec.Edited] = {}
        for record in self.records:
            if isinstance(record, rec.Edited):
                last[record.call_id] = record
        return tuple(r for r in last.values() if r.state == state)

    def open_calls(self) -> tuple[ToolCall, ...]:
        """Calls of the last answer that have no result yet."""
        calls: tuple[ToolCall, ...] = ()
        done: set[str] = set()
        for record in self.records:
            if isinstance(record, rec.Answered):
                calls, done = record.calls, set()
            elif isinstance(record, rec.Returned):
                done.add(record.call_id)
        return tuple(c for c in calls if c.id not in done)

    # ------------------------------------------------------------------ from outside a turn

    def note(self, text: str, *, data: str = "", privacy: Privacy = "open") -> None:
        """Tell the model of something that happened between turns: a run, a `!command`.

        `data` is what came out of it (output, a diff); it is put between marks.
        """
        if data:
            name = f"note-{len(self.records)}"
            shown = bounded(visible(data)[0], NOTE)
            text = f"{text}\n{fenced(shown, key=self.fence, name=name, about='note')}"
        self.append(rec.Noted(text=text, privacy=privacy))

    def pin_plan(self, plan: Plan) -> None:
        self.append(rec.Planned(plan=plan))

    def set_mode(self, mode: Mode) -> None:
        if mode != self.mode:
            self.append(rec.ModeSet(mode=mode))

    def set_title(self, title: str) -> None:
        self.append(rec.Titled(title=" ".join(title.split())[:TITLE]))


def open_conversation(
    directory: Path, root: Path, conversation_id: str | None = None
) -> Conversation:
    """A new conversation about the work tree at `root`, or one of those in `directory`.

    Raises ConfigError if there is no such conversation, or another process holds it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if conversation_id is None:
        return _new(directory, root)
    path = directory / f"{conversation_id}.jsonl"
    if "/" in conversation_id or not path.is_file():
        raise ConfigError(f"there is no conversation {conversation_id}", remedy="agent chat --list")
    lock = _lock(path)
    try:
        talk = Conversation(path, lock)
    except BaseException:
        os.close(lock)
        raise
    if not talk.records or not isinstance(talk.records[0], rec.Began):
        talk.close()
        raise ConfigError(f"{path} is not a conversation", remedy="agent chat --list")
    return talk


def summaries(directory: Path) -> tuple[Summary, ...]:
    """Every conversation in which something was said, the last used first."""
    if not directory.is_dir():
        return ()
    found = (_summary(path) for path in directory.glob("*.jsonl"))
    return tuple(sorted((s for s in found if s), key=lambda s: s.last, reverse=True))


def read(path: Path) -> Iterator[Record]:
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            record = rec.decode(row) if isinstance(row, dict) else None
            if record is not None:
                yield record


def title_of(found: "list[Record]") -> str:
    """As the user named it, else the first line of what was said first."""
    named = [r.title for r in found if isinstance(r, rec.Titled)]
    if named:
        return named[-1]
    first = next((r.text for r in found if isinstance(r, rec.Said)), "")
    line = next((s for s in map(str.strip, first.splitlines()) if s), "")
    return line if len(line) <= TITLE else line[: TITLE - 1] + "…"


def interrupted(found: "list[Record]") -> bool:
    for record in reversed(found):
        if isinstance(record, rec.Ended):
            return False
        if isinstance(record, rec.Said):
            return True
    return False


def _new(directory: Path, root: Path) -> Conversation:
    from agent.trajectory import new_run_id

    ident = new_run_id()
    path = directory / f"{ident}.jsonl"
    lock = _lock(path)
    path.touch(mode=0o600)
    talk = Conversation(path, lock)
    talk.append(rec.Began(id=ident, root=str(root), fence=secrets.token_hex(16)))
    return talk


def _lock(path: Path) -> int:
    """The kernel drops it with the process."""
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ConfigError(
            f"conversation {path.stem} is open in another process", remedy="agent chat --list"
        ) from None
    return handle


def _summary(path: Path) -> Summary | None:
    from agent.trajectory import started_at

    found = list(read(path))
    if not found or not isinstance(found[0], rec.Began):
        return None
    turns = max((r.turn for r in found if isinstance(r, rec.Said)), default=0)
    if not turns:
        return None
    return Summary(
        id=found[0].id,
        path=path,
        title=title_of(found),
        turns=turns,
        started=started_at(found[0].id),
        last=path.stat().st_mtime,
        interrupted=interrupted(found),
    )
