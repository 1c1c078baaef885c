"""Which drafts to verify: plain, MTP k, copy, or combined; chosen per request, adapted within it.

The defaults are documented constants until this machine is calibrated; the stop-loss works on
what the request itself shows. A drafter that does not pay is asked less and less, never believed:
drafts cannot change the output, only its speed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from agent.engine.drafters.copy import CopyDrafter
from agent.engine.drafters.mtp import MtpDrafter
from agent.types import EditFormatName, StepKind

__all__ = ["Arm", "Choice", "Costs", "Routed", "choose"]

Arm = Literal["plain", "mtp", "copy", "combined"]
Source = Literal["mtp", "copy"]


_MARGIN = 1.08
"""Least predicted gain: what the curve leaves out (drafts whose width varies pay for a new graph
in llama.cpp) was 0.3 ms a step with a 3 M model, a fifth of its predicted gain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Cost curve of a machine and model, in units of one plain step.

    `verify[n]`: a pass of n tokens (index 0 unused); `mtp_first`: what a step with one MTP draft
    costs beyond that (catching up, draft, rollback); `mtp_row`: each further draft. The default
    was measured for a 0.77 B Q8_0 model on two CPU cores; calibration replaces it.
    """

    verify: tuple[float, ...] = (0.0, 1.0, 1.24, 1.50, 1.73, 2.1, 2.35, 2.55, 2.68, 2.8)
    mtp_row: float = 0.32
    mtp_first: float = 0.32

    def pass_of(self, n: int) -> float:
        if n < len(self.verify):
            return self.verify[n]
        return self.verify[-1] * n / (len(self.verify) - 1)

    def drafting(self, source: Source, k: int) -> float:
        """What k drafts cost: copying is free."""
        return self.mtp_first + (k - 1) * self.mtp_row if source == "mtp" and k else 0.0

    def gain(self, source: Source, k: int, acceptance: float) -> float:
        """Tokens per unit of cost of a step with k drafts, each accepted with `acceptance`."""
        expected = sum(acceptance**j for j in range(k + 1))
        return expected / (self.pass_of(k + 1) + self.drafting(source, k))

    def best_k(self, source: Source, acceptance: float, longest: int) -> int:
        """The draft length of the largest gain; 0 when drafting does not pay."""
        if acceptance <= 0:
            return 0
        best = max(range(longest + 1), key=lambda k: self.gain(source, k, acceptance))
        worth = self.gain(source, best, acceptance) > _MARGIN * self.gain(source, 0, acceptance)
        return best if worth else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The decision for one request, with the reason that is shown."""

    arm: Arm
    draft_length: int | None
    """Fixed k of MTP; None adapts it."""
    reason: str
    least: int = 0
    """Shortest draft; 1 where the arm was asked for, so that it runs even if it does not pay."""


_PRIOR: dict[StepKind, float] = {
    "edit": 0.85,
    "repair": 0.85,
    "refactor": 0.85,
    "test": 0.8,
    "reproduce": 0.8,
    "plan": 0.7,
    "summarise": 0.5,
    "chat": 0.5,
}
"""Acceptance of one MTP draft by kind of text (published figures; see the README of evals)."""


def choose(
    *,
    step_kind: StepKind | None,
    edit_format: EditFormatName | None,
    wanted: Literal["auto", "plain", "mtp", "copy", "combined"],
    draft_length: int | None,
    has_mtp: bool,
    copy_sources: int,
    costs: Costs,
) -> Choice:
    """Pick the arm. Pure. What was asked for is honoured where the model can do it."""
    if wanted != "auto":
        if wanted in ("mtp", "combined") and not has_mtp:
            other: Arm = "plain" if wanted == "mtp" else "copy"
            return Choice(arm=other, draft_length=None, reason=f"{wanted}: no MTP head")
        return Choice(arm=wanted, draft_length=draft_length, reason="asked for", least=1)
    prior = _PRIOR.get(step_kind, 0.6) if step_kind else 0.6
    pays = has_mtp and costs.best_k("mtp", prior, 6) > 0
    copies = copy_sources > 0 and edit_format in (None, "search_replace", "symbol")
    if copies:
        return Choice(
            arm="combined" if pays else "copy",
            draft_length=draft_length,
            reason=f"{copy_sources} tokens to copy from, {step_kind or 'no'} step",
        )
    if pays:
        return Choice(arm="mtp", draft_length=draft_length, reason=f"prior acceptance {prior}")
    why = f"prior acceptance {prior} does not pay" if has_mtp else "no MTP head"
    return Choice(arm="plain", draft_length=None, reason=why)


class _Drafts(Protocol):
    def draft(self, token: int, k: int) -> Sequence[int]: ...


class _Meter:
    """Running acceptance of one drafter, starting from a prior worth `weight` drafts.

    A draft after the first rejected one says nothing about its own chance: only the accepted ones
    and the first rejected one count.
    """

    def __init__(self, prior: float, weight: float = 8.0) -> None:
        self._hits, self._seen = prior * weight, weight

    def record(self, drafted: int, accepted: int) -> None:
        decay = 0.98
        self._hits = self._hits * decay + accepted
        self._seen = self._seen * decay + accepted + (1 if accepted < drafted else 0)

    @property
    def rate(self) -> float:
        return self._hits / self._seen


_PROBE_EVERY = 64
"""Tokens after which a drafter that does not pay is tried once more."""


class Routed:
    """The proposer of one request: asks the drafters of its arm as far as they pay."""

    def __init__(
        self,
        choice: Choice,
        *,
        costs: Costs,
        mtp: MtpDrafter | None,
        copy: CopyDrafter | None,
        step_kind: StepKind | None = None,
    ) -> None:
        self.choice, self._costs = choice, costs
        self._mtp = mtp if choice.arm in ("mtp", "combined") else None
        self._copy = copy if choice.arm in ("copy", "combined") else None
        self._meters = {
            "mtp": _Meter(_PRIOR.get(step_kind, 0.6) if step_kind else 0.6),
            "copy": _Meter(0.7),
        }
        self._idle = {"mtp": 0, "copy": 0}
        self._asked: Source | None = None

    @property
    def name(self) -> str:
        k = self.choice.draft_length
        return f"{self.choice.arm}:{k}" if k and self.choice.arm == "mtp" else self.choice.arm

    def propose(self, token: int, room: int) -> Sequence[int]:
        self._asked = None
        return self._ask("copy", self._copy, token, room) or self._ask(
            "mtp", self._mtp, token, room
        )

    def judged(self, drafted: int, accepted: int, committed: Sequence[int]) -> None:
        if self._asked is not None and drafted:
            self._meters[self._asked].record(drafted, accepted)
        for name in self._idle:
            self._idle[name] = 0 if name == self._asked else self._idle[name] + len(committed)
        if self._copy is not None:
            self._copy.commit(committed)

    def _ask(self, name: Source, drafter: _Drafts | None, token: int, room: int) -> Sequence[int]:
        k = self._length(name, room) if drafter is not None else 0
        if drafter is None or k < 1:
            return ()
        drafts = drafter.draft(token, k)
        if drafts:
            self._asked = name
        return drafts

    def _length(self, name: Source, room: int) -> int:
        if name == "mtp" and self.choice.draft_length is not None:
            return min(self.choice.draft_length, room)
        longest = min(room, 6) if name == "mtp" else room
        k = self._costs.best_k(name, self._meters[name].rate, longest)
        if k == 0 and self._idle[name] >= _PROBE_EVERY:
            return min(2, room)
        return min(max(k, self.choice.least), room)
