"""The decisions of a request, kept and decided again.

A record holds what the decisions of one request followed from: the choice, the cost curve, what
was known of this machine's pace, the texts to copy from, and each step with what it cost and gave.
Replaying it must give the same decisions: so a log answers "why was this slow" without the model,
and a change of the strategy can be tried on what really happened.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent.engine.costs import Costs
from agent.engine.drafters.copy import CopyDrafter
from agent.engine.routed import Decision, Routed
from agent.engine.segments import Segment
from agent.engine.strategy import Choice
from agent.engine.watch import Pace, PaceState
from agent.types import StepKind

__all__ = ["Opening", "Record", "Recorder", "read_records", "replay"]

_MOST_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What is known before the first step. `prompt` and `sources` are empty where nothing is
    copied; `pace` None: predicted costs decide alone."""

    choice: Choice
    costs: Costs
    step_kind: StepKind | None
    segment: Segment
    pace: PaceState | None
    prompt: tuple[int, ...] = ()
    sources: tuple[tuple[int, ...], ...] = ()
    when: float = 0.0
    """Seconds since the epoch at which it was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    opening: Opening
    decisions: tuple[Decision, ...]


class Recorder:
    """Appends records to a file that only its owner can read; a full one is set aside once.

    It holds what was generated and copied from, as token ids.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opening: Opening | None = None
        self._decisions: list[Decision] = []

    def begin(self, opening: Opening) -> Callable[[Decision], None]:
        """A request begins; what is to be told every decision."""
        self._opening = replace(opening, when=opening.when or time.time())
        self._decisions = []
        return self._decisions.append

    def end(self) -> None:
        """The request is over: write its record."""
        if self._opening is None:
            return
        record = Record(opening=self._opening, decisions=tuple(self._decisions))
        self._opening = None
        path = self._path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _MOST_BYTES:
            path.replace(path.with_suffix(".old"))
        line = json.dumps(asdict(record), separators=(",", ":")) + "\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        file = os.open(path, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # workers of several models share the file
            os.fchmod(file, 0o600)  # an older one may be open to others
            left = line.encode()
            while left:
                left = left[os.write(file, left) :]
        finally:
            os.close(file)


def read_records(path: Path) -> Iterator[Record]:
    """Raises OSError, and ValueError or KeyError at a damaged line."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield _record(json.loads(line))


def _record(raw: dict[str, Any]) -> Record:
    first = raw["opening"]
    costs = first["costs"]
    pace = first["pace"]
    opening = Opening(
        choice=Choice(**first["choice"]),
        costs=Costs(**costs | {k: tuple(costs[k]) for k in ("verify", "wide")}),
        step_kind=first["step_kind"],
        segment=first["segment"],
        pace=None if pace is None else PaceState(**pace),
        prompt=tuple(first["prompt"]),
        sources=tuple(map(tuple, first["sources"])),
        when=first.get("when", 0.0),
    )
    fields = ("drafts", "committed")
    decisions = (Decision(**d | {k: tuple(d[k]) for k in fields}) for d in raw["decisions"])
    return Record(opening=opening, decisions=tuple(decisions))


class _Said:
    """Stands in for the model's own drafter, the clock and the segments: says what they said."""

    def __init__(self, decisions: Sequence[Decision], segment: Segment) -> None:
        self._decisions = decisions
        self.now: Segment = segment
        self._step = 0
        self._seconds = 0.0

    def begin(self, step: int) -> None:
        self._step, self._seconds = step, 0.0

    def draft(self, token: int, k: int, expected: Sequence[int] = ()) -> Sequence[int]:
        said = self._decisions[self._step]
        return said.drafts[: min(said.of_mtp, k)]

    def feed(self, tokens: Sequence[int]) -> None:
        self.now = self._decisions[self._step].segment

    def clock(self) -> float:
        """0 when a step begins, and what it took when it ends."""
        read, self._seconds = self._seconds, self._decisions[self._step].spent_s
        return read


def replay(record: Record) -> tuple[Decision, ...]:
    """Decide the request again: the same decisions, unless the strategy is another."""
    opening, found = record.opening, list[Decision]()
    said = _Said(record.decisions, opening.segment)
    copies = opening.choice.arm in ("copy", "combined") or opening.choice.lookup
    routed = Routed(
        opening.choice,
        costs=opening.costs,
        mtp=said,
        copy=CopyDrafter(opening.sources, opening.prompt) if copies else None,
        step_kind=opening.step_kind,
        segments=said,
        clock=said.clock if opening.pace else None,
        pace=Pace.resumed(opening.costs, opening.pace) if opening.pace else None,
        log=found.append,
    )
    last = 0
    for step, decision in enumerate(record.decisions):
        said.begin(step)
        if step:
            routed.propose(last, decision.room)
        routed.judged(len(decision.drafts), decision.accepted, decision.committed)
        last = decision.committed[-1] if decision.committed else last
    return tuple(found)
