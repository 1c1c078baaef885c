"""Which drafts a request is decoded with: plain, MTP k, copy, or combined. See routed.py for what
happens within the request. Drafts cannot change the output, only its speed.
"""

from dataclasses import dataclass
from typing import Literal

from agent.engine.acceptance import mtp_prior
from agent.engine.costs import MARGIN, Costs, Source
from agent.engine.segments import Segment, opening
from agent.types import EditFormatName, StepKind

__all__ = [
    "HOPE",
    "LONGEST_MTP",
    "Arm",
    "Choice",
    "Costs",
    "Source",
    "Wanted",
    "choose",
    "reproducible",
]

Arm = Literal["plain", "mtp", "copy", "combined"]

LONGEST_MTP = 6
HOPE = 0.95
"""Acceptance at which MTP must at least pay, or it is not even probed on this machine."""


_LOOKUP_S = 0.002
"""Plain step above which looking up every token costs under half a percent (it takes 8 µs)."""


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
    lookup: bool = False
    """Copying from prompt and output is not part of the arm, but done where it pays."""
    fixed_width: bool = False
    """Every pass has the same width, whatever was drafted: kernels then round alike."""


Wanted = Literal["auto", "plain", "mtp", "copy", "combined"]


def reproducible(wanted: Wanted, draft_length: int | None, *, has_mtp: bool) -> Choice:
    """Passes of one width only, so that the same request rounds the same way every time."""
    arm: Arm = "plain" if wanted == "auto" else wanted
    if arm in ("mtp", "combined") and not has_mtp:
        arm = "plain" if arm == "mtp" else "copy"
    k = 0 if arm == "plain" else draft_length or 2
    return Choice(
        arm=arm,
        draft_length=k or None,
        reason=f"reproducible: passes of {k + 1}",
        fixed_width=True,
    )


def choose(
    *,
    step_kind: StepKind | None,
    edit_format: EditFormatName | None,
    wanted: Wanted,
    draft_length: int | None,
    has_mtp: bool,
    copy_sources: int,
    costs: Costs,
    segment: Segment | None = None,
    handicap: float = 1.0,
) -> Choice:
    """Pick the arm. Pure. What was asked for is honoured where the model can do it.

    `segment`: where the answer begins, if known; else what the kind of step suggests. `handicap`:
    by how much MTP steps proved dearer here than `costs` says.
    """
    if wanted != "auto":
        if wanted in ("mtp", "combined") and not has_mtp:
            other: Arm = "plain" if wanted == "mtp" else "copy"
            return Choice(arm=other, draft_length=None, reason=f"{wanted}: no MTP head")
        return Choice(arm=wanted, draft_length=draft_length, reason="asked for", least=1)
    prior = mtp_prior(step_kind, segment or opening(step_kind, edit_format))
    hope, pays, why = _verdict(prior, costs, handicap) if has_mtp else (False, False, "no MTP head")
    if copy_sources > 0 and edit_format in (None, "search_replace", "symbol"):
        return Choice(
            arm="combined" if pays else "copy",
            draft_length=draft_length,
            reason=f"{copy_sources} tokens to copy from, {step_kind or 'no'} step; {why}",
            probes=hope,
        )
    return Choice(
        arm="mtp" if pays else "plain",
        draft_length=draft_length if pays else None,
        reason=why,
        probes=hope,
        lookup=not costs.plain_s or costs.plain_s > _LOOKUP_S,
    )


def _verdict(prior: float, costs: Costs, handicap: float) -> tuple[bool, bool, str]:
    """Whether MTP could pay at all here, whether it is expected to, and why."""
    best = costs.best("mtp", [HOPE] * LONGEST_MTP)[1] / handicap
    if best <= MARGIN:
        text = f"MTP cannot pay here: {best:.2f} of plain even at acceptance {HOPE}"
        return False, False, text
    k, gain = costs.best("mtp", [prior] * LONGEST_MTP)
    gain /= handicap
    if gain > MARGIN:
        return True, True, f"MTP {k}: {gain:.2f} of plain predicted at acceptance {prior}"
    text = f"MTP: {gain:.2f} of plain predicted at acceptance {prior}, so only probed"
    return True, False, text
