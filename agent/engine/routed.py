"""The proposer of one request: asks the drafters of its arm exactly as far as they pay.

Every step is decided from the cost curve, the width of the last pass, and the acceptance seen so
far. The copy drafter is scored on every committed token, used or not; MTP is probed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.engine.acceptance import CopyMeter, PositionMeter, mtp_prior
from agent.engine.costs import MARGIN, Costs, Source
from agent.engine.drafters.copy import CopyDrafter
from agent.engine.segments import Segment
from agent.engine.strategy import HOPE, LONGEST_MTP, Choice
from agent.engine.watch import Pace, Watch
from agent.types import StepKind

__all__ = ["Chained", "Decision", "Followed", "Routed"]

_FULLS = 2
"""Copied runs accepted whole before one may be longer than what is taken back for nothing."""


class Followed(Protocol):
    """Which segment the output is in; see segments.Segments."""

    now: Segment

    def feed(self, tokens: Sequence[int]) -> None: ...


class Chained(Protocol):
    """An MTP drafter."""

    def draft(self, token: int, k: int, expected: Sequence[int] = ()) -> Sequence[int]:
        """Up to k drafts; only one when it is `expected[0]`, as the rest is known then."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One step as it was decided and what came of it. A log of these replays the request."""

    at: int
    """Tokens of output before the step."""
    segment: Segment
    source: Source | None
    room: int
    drafts: tuple[int, ...]
    of_mtp: int
    """How many of the drafts are MTP's; the others extend or are a copied run."""
    gain: float
    """Predicted tokens per plain step's time."""
    accepted: int
    committed: tuple[int, ...]
    spent_s: float


@dataclass(slots=True)
class _Step:
    """The step under way."""

    source: Source | None = None
    room: int = 0
    drafts: tuple[int, ...] = ()
    of_mtp: int = 0
    gain: float = 1.0


class Routed:
    """Decides each step of one request; see propose and judged of `generate.Proposer`."""

    def __init__(
        self,
        choice: Choice,
        *,
        costs: Costs,
        mtp: Chained | None,
        copy: CopyDrafter | None,
        step_kind: StepKind | None = None,
        segments: Followed | None = None,
        clock: Callable[[], float] | None = None,
        pace: Pace | None = None,
        log: Callable[[Decision], None] | None = None,
    ) -> None:
        """`clock` gives seconds (CPU seconds with one thread) for `pace`; without one of them
        predicted costs decide alone."""
        self.choice, self._costs, self._kind = choice, costs, step_kind
        self._mtp = mtp if choice.arm in ("mtp", "combined") or choice.probes else None
        self._copy = copy if choice.arm in ("copy", "combined") or choice.lookup else None
        self._hope = costs.best("mtp", [HOPE] * LONGEST_MTP)[1]
        self._segments, self._log = segments, log
        self._meters: dict[Segment, tuple[PositionMeter, CopyMeter]] = {}
        self._clock = clock or _no_time
        self._watch = Watch(costs, pace if clock else None)
        self._width = 1
        self._at = 0
        self._fulls = 0
        """Copied runs accepted whole since the last that was not."""
        self._step = _Step()
        self._started = 0.0
        self._active = self._mtp is not None or self._copy is not None

    @property
    def name(self) -> str:
        k = self.choice.draft_length
        return f"{self.choice.arm}:{k}" if k and self.choice.arm == "mtp" else self.choice.arm

    @property
    def segment(self) -> Segment:
        return self._segments.now if self._segments else "code"

    def propose(self, token: int, room: int) -> Sequence[int]:
        if not self._active and self._log is None and not self.choice.fixed_width:
            return ()
        self._started = self._clock()
        self._step = _Step(room=room)
        if self.choice.fixed_width:
            self._fixed(token, room)
        elif room > 0:
            self._decide(token, room)
        return self._step.drafts

    def judged(self, drafted: int, accepted: int, committed: Sequence[int]) -> None:
        if not self._active and self._log is None:
            return
        step, spent = self._step, self._clock() - self._started if self._at else 0.0
        if step.of_mtp:
            self._meter()[0].record(step.of_mtp, min(accepted, step.of_mtp))
        if len(step.drafts) > step.of_mtp:
            self._fulls = self._fulls + 1 if accepted == len(step.drafts) else 0
        if self._copy is not None:
            self._score(self._copy, committed)
        if self._segments is not None:
            self._segments.feed(committed)
        if self._log is not None:
            self._log(self._decision(step, accepted, committed, spent))
        if self._at:  # the first token comes out of the prompt's own row: no step
            turned = drafted + 1 != self._width
            self._watch.record(step.source, drafted, len(committed), spent, turned=turned)
            self._width = drafted + 1
        self._at += len(committed)
        self._step = _Step()

    # ---------------------------------------------------------------- deciding

    def _decide(self, token: int, room: int) -> None:
        if self.choice.draft_length is not None and self.choice.arm == "mtp":
            self._use_mtp(token, min(self.choice.draft_length, room), 0.0, room)
            return
        if self._watch.looks() and not self.choice.least:
            return
        copy_k, copy_gain = self._copy_offer(room)
        mtp_k, mtp_gain = self._mtp_offer(room)
        least = self.choice.least
        if copy_k and copy_gain >= mtp_gain and (least or copy_gain > MARGIN):
            assert self._copy is not None
            drafts = tuple(self._copy.draft(token, copy_k))
            self._step.source, self._step.drafts, self._step.gain = "copy", drafts, copy_gain
        elif mtp_k:
            self._use_mtp(token, mtp_k, mtp_gain, room)

    def _copy_offer(self, room: int) -> tuple[int, float]:
        copy = self._copy
        if copy is None or not copy.available or not self._watch.open("copy"):
            return 0, 0.0
        meter = self._meter()[1]
        rates = meter.rates(copy.matched, self._reach(room))
        k, gain = self._costs.best("copy", rates, width=self._width, reach=meter.reach(rates))
        return max(k, min(self.choice.least, room)), gain / self._watch.handicap("copy")

    def _reach(self, room: int) -> int:
        """Longest copied run: past the window only where whole runs came true."""
        return room if self._fulls >= _FULLS else min(room, self._costs.window)

    def _mtp_offer(self, room: int) -> tuple[int, float]:
        if self._mtp is None:
            return 0, 0.0
        handicap = self._watch.handicap("mtp")
        rates = self._meter()[0].rates(min(room, LONGEST_MTP))
        k, gain = self._costs.best("mtp", rates, width=self._width)
        gain /= handicap
        if self.choice.least:
            return max(k, 1), gain
        if gain > MARGIN and self._watch.open("mtp"):
            return k, gain
        hope = self._hope / handicap
        loss = handicap * self._costs.step("mtp", 2) - 1 - sum(rates[:2])
        if hope > MARGIN and self._watch.probes("mtp", loss):
            return min(2, room), gain
        return 0, 0.0

    def _use_mtp(self, token: int, k: int, gain: float, room: int) -> None:
        """Draft by MTP; where its first token is the copied one too, go on by copying."""
        assert self._mtp is not None
        copied = self._copy.draft(token, self._reach(room)) if self._copy is not None else ()
        drafts = tuple(self._mtp.draft(token, k, copied))
        if not drafts:
            return
        step = self._step
        step.source, step.drafts, step.of_mtp, step.gain = "mtp", drafts, len(drafts), gain
        if not copied or self._copy is None:
            return
        if drafts[0] != copied[0]:
            self._copy.doubt()
        elif len(drafts) == 1:
            longest = self._extension(self._copy, len(copied))
            step.drafts = tuple(copied[:longest])

    def _extension(self, copy: CopyDrafter, longest: int) -> int:
        """How many drafts in all pay once MTP has confirmed the first of a copied run."""
        first, rest = self._meter()
        rates = [max(*first.rates(1), rest.rate(copy.matched))]
        rates += rest.rates(copy.matched + 1, longest - 1)
        k, _ = self._costs.best("copy", rates, width=self._width, reach=rest.reach(rates))
        return max(k, 1)

    def _fixed(self, token: int, room: int) -> None:
        """Always the same width: what is missing is filled up with drafts sure to be ignored or,
        if they happen to be right, accepted like any other."""
        k = min(self.choice.draft_length or 0, room)
        if k < 1:
            return
        found: Sequence[int] = self._copy.draft(token, k) if self._copy is not None else ()
        step = self._step
        step.source = "copy" if found else None
        if not found and self._mtp is not None:
            found = self._mtp.draft(token, k)
            step.source, step.of_mtp = "mtp", len(found)
        step.drafts = (*found, *[token] * (k - len(found)))

    # ---------------------------------------------------------------- learning

    def _meter(self) -> tuple[PositionMeter, CopyMeter]:
        segment = self.segment
        found = self._meters.get(segment)
        if found is None:
            found = PositionMeter(mtp_prior(self._kind, segment)), CopyMeter(segment)
            self._meters[segment] = found
        return found

    def _score(self, copy: CopyDrafter, committed: Sequence[int]) -> None:
        meter = self._meter()[1]
        for token in committed:
            expected = copy.expected
            if expected is not None:
                meter.record(copy.matched, hit=expected == token)
            copy.commit((token,))

    def _decision(
        self, step: _Step, accepted: int, committed: Sequence[int], spent: float
    ) -> Decision:
        return Decision(
            at=self._at,
            segment=self.segment,
            source=step.source,
            room=step.room,
            drafts=step.drafts,
            of_mtp=step.of_mtp,
            gain=round(step.gain, 4),
            accepted=accepted,
            committed=tuple(committed),
            spent_s=spent,
        )


def _no_time() -> float:
    return 0.0
