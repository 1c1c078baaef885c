"""Which drafts a request is decoded with: plain, MTP k, copy, or combined. See routed.py for what
happens within the request. Drafts cannot change the output, only its speed.
"""

from dataclasses import dataclass
from typing import Literal

from agent.engine.acceptance import mtp_prior
from agent.engine.costs import MARGIN, Costs, Source
from agent.engine.segments import Segment, opening
from agent.types import EditFormatName, StepKind

__all__ = ["Arm", "Choice", "Costs", "Source", "choose"]

Arm = Literal["plain", "mtp", "copy", "combined"]

LONGEST_MTP = 6
_HOPE = 0.95
"""Acceptance at which MTP must at least pay, or it is not even probed on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The decision for one request, with the reason that is shown."""

    arm: Arm
    draft_length: int | None
    """Fixed k of MTP; None adapts it."""
    reason: str
    least: int = 0
    """Shortest draft; 1 where the arm was asked for, so that it runs even if it does not pay."""
    probes: bool = False
    """MTP is not part of the arm, but may be tried now and then: it could pay on this machine."""
    fixed_width: bool = False
    """Every pass has the same width, whatever was drafted: kernels then round alike."""


def choose(
    *,
    step_kind: StepKind | None,
    edit_format: EditFormatName | None,
    wanted: Literal["auto", "plain", "mtp", "copy", "combined"],
    draft_length: int | None,
    has_mtp: bool,
    copy_sources: int,
    costs: Costs,
    segment: Segment | None = None,
) -> Choice:
    """Pick the arm. Pure. What was asked for is honoured where the model can do it.

    `segment`: where the answer begins, if known; else what the kind of step suggests.
    """
    if wanted != "auto":
        if wanted in ("mtp", "combined") and not has_mtp:
            other: Arm = "plain" if wanted == "mtp" else "copy"
            return Choice(arm=other, draft_length=None, reason=f"{wanted}: no MTP head")
        return Choice(arm=wanted, draft_length=draft_length, reason="asked for", least=1)
    prior = mtp_prior(step_kind, segment or opening(step_kind, edit_format))
    hope, why = _verdict(prior, costs) if has_mtp else (False, "no MTP head")
    pays = has_mtp and costs.best_k("mtp", prior, LONGEST_MTP) > 0
    if copy_sources > 0 and edit_format in (None, "search_replace", "symbol"):
        return Choice(
            arm="combined" if pays else "copy",
            draft_length=draft_length,
            reason=f"{copy_sources} tokens to copy from, {step_kind or 'no'} step; {why}",
            probes=hope,
        )
    arm: Arm = "mtp" if pays else "plain"
    return Choice(arm=arm, draft_length=draft_length if pays else None, reason=why, probes=hope)


def _verdict(prior: float, costs: Costs) -> tuple[bool, str]:
    """Whether MTP could pay at all here, and what is expected of it, in words."""
    _, best = costs.best("mtp", [_HOPE] * LONGEST_MTP)
    if best <= MARGIN:
        return False, f"MTP cannot pay here: {best:.2f} of plain even at acceptance {_HOPE}"
    k, gain = costs.best("mtp", [prior] * LONGEST_MTP)
    if gain > MARGIN:
        return True, f"MTP {k}: {gain:.2f} of plain predicted at acceptance {prior}"
    return True, f"MTP: {gain:.2f} of plain predicted at acceptance {prior}, so only probed"
