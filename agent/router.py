"""Where a step goes, and why. Pure: the same facts give the same route.

Hard rules first (privacy, policy, capability, window, budget), then the table of step kinds, then
evidence from the ledger, then what failed at this very step. Every route says its reason.
"""

from dataclasses import dataclass, field
from typing import Literal

from agent.ledger.values import StepRecord
from agent.types import Location, Privacy, Route, StepKind

__all__ = [
    "EXHAUSTED",
    "Escalation",
    "Place",
    "Policy",
    "RoutingFacts",
    "explain",
    "may_leave_to",
    "route",
]

ALL_STEPS: frozenset[StepKind] = frozenset(
    ("reproduce", "plan", "edit", "test", "refactor", "repair", "chat", "summarise")
)
ATTEMPTS_BEFORE_ESCALATION = 2
EXHAUSTED = 99
"""Failed attempts, said of a place that has nothing more to propose."""
ENOUGH_OUTCOMES = 20
"""Fewer say too little: at 20 a 95 % interval is still 40 points wide."""
HOPELESS = 0.2
"""Estimated success rate below which a place is not the first choice while another remains."""

_BEST_FIRST: tuple[Location, ...] = ("frontier", "onprem", "local")
_LOCAL_FIRST: tuple[Location, ...] = ("local", "onprem", "frontier")
_THINKING: frozenset[StepKind] = frozenset(("plan", "reproduce"))
_ALLOWED: dict[Privacy, frozenset[Location]] = {
    "open": frozenset(("local", "onprem", "frontier")),
    "onprem_ok": frozenset(("local", "onprem")),
    "local_only": frozenset(("local",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place that could answer: a provider with a model, configured and reachable."""

    location: Location
    provider: str
    model: str
    context_window: int
    capable: frozenset[StepKind] = ALL_STEPS
    """What the model there is good enough for."""
    paid: bool = False
    """Its answers cost money, so an exhausted budget closes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the user allows."""

    local_only: bool = False
    offline: bool = False
    frontier: Literal["allowed", "forced", "never"] = "allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """What failed so far at this step, judged by execution; API errors do not count."""

    failures: tuple[tuple[Location, int], ...] = ()
    """Failed attempts per location."""
    latched: Location | None = None
    """Where an earlier escalation of this step went; it does not go back."""

    def failed(self, location: Location) -> int:
        return sum(n for place, n in self.failures if place == location)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingFacts:
    """All that a route depends on."""

    places: tuple[Place, ...]
    privacy: Privacy = "open"
    policy: Policy = Policy()
    budget_left_usd_micro: int | None = None
    """None: no budget is set."""
    prompt_tokens: int = 0
    """Estimate of the prompt, in tokens."""
    max_tokens: int = 0
    down: frozenset[Location] = frozenset()
    """Where an attempt of this run found nobody: out of order, or out of reach."""
    history: tuple[StepRecord, ...] = ()
    escalation: Escalation = field(default_factory=Escalation)


def route(step_kind: StepKind, *, facts: RoutingFacts) -> Route:
    """Choose a place. `location` is None when none may or can serve; `reason` says why."""
    open_places = [p for p in facts.places if not _refusal(p, step_kind, facts)]
    ordered, why = _preference(step_kind, facts)
    candidates = [p for location in ordered for p in open_places if p.location == location]
    if not candidates:
        return Route(
            location=None, provider=None, model=None, reason=_nowhere(step_kind, facts, ordered)
        )
    chosen, evidence = _by_evidence(candidates, step_kind, facts.history)
    escalated = _escalated(chosen.location, facts)
    reason = evidence or _reason(step_kind, chosen, facts, why)
    return Route(
        location=chosen.location,
        provider=chosen.provider,
        model=chosen.model,
        reason=reason,
        escalated=escalated,
    )


def explain(step_kind: StepKind, *, facts: RoutingFacts) -> str:
    """The decision, line by line: each place, whether it was open, and what was chosen."""
    chosen = route(step_kind, facts=facts)
    lines = [f"{step_kind}: {chosen.location or 'nowhere'} — {chosen.reason}"]
    for place in facts.places:
        refusal = _refusal(place, step_kind, facts)
        record = _posterior(place.location, step_kind, facts.history)
        evidence = "" if record is None else f"; success {record[0]:.0%} over {record[1]} outcomes"
        state = f"closed: {refusal}" if refusal else "open"
        lines.append(f"  {place.location}  {place.provider}/{place.model}  {state}{evidence}")
    lines.append(
        f"  request: privacy {facts.privacy}, about {facts.prompt_tokens} prompt tokens"
        f" and up to {facts.max_tokens} in the answer"
    )
    lines.append(f"  policy: {_policy_text(facts)}")
    return "\n".join(lines)


# --------------------------------------------------------------------------- hard rules


def may_leave_to(location: Location, privacy: Privacy) -> bool:
    """Whether something with this label may be sent there. An unknown label goes nowhere."""
    return location in _ALLOWED.get(privacy, frozenset())


def _refusal(place: Place, step_kind: StepKind, facts: RoutingFacts) -> str:
    """Why this place may not or cannot serve; empty if it can."""
    needed = facts.prompt_tokens + facts.max_tokens
    left = facts.budget_left_usd_micro
    rules: tuple[tuple[bool, str], ...] = (
        (
            not may_leave_to(place.location, facts.privacy),
            f"the request is labelled {facts.privacy}",
        ),
        (facts.policy.local_only and place.location != "local", "local-only is set"),
        (facts.policy.offline and place.location != "local", "offline is set"),
        (
            facts.policy.frontier == "never" and place.location == "frontier",
            "the frontier is not allowed",
        ),
        (
            facts.policy.frontier == "forced" and place.location != "frontier",
            "the frontier is forced",
        ),
        (place.location in facts.down, "it failed in this run"),
        (
            step_kind not in place.capable,
            f"{place.model} is not good enough for {step_kind} steps",
        ),
        (
            needed > place.context_window,
            f"needs {needed} tokens, its window holds {place.context_window}",
        ),
        (place.paid and left is not None and left <= 0, "no budget is left"),
        (
            facts.escalation.failed(place.location) >= EXHAUSTED,
            "it has nothing more to propose",
        ),
        (
            facts.escalation.failed(place.location) >= ATTEMPTS_BEFORE_ESCALATION,
            f"{facts.escalation.failed(place.location)} attempts at this step failed there",
        ),
    )
    return next((text for applies, text in rules if applies), "")


# --------------------------------------------------------------------------- preference


def _preference(step_kind: StepKind, facts: RoutingFacts) -> tuple[tuple[Location, ...], str]:
    order = _BEST_FIRST if step_kind in _THINKING else _LOCAL_FIRST
    why = (
        f"{step_kind} steps go to the best model there is"
        if step_kind in _THINKING
        else f"{step_kind} steps go local first"
    )
    latched = facts.escalation.latched
    if latched is None or latched not in order:
        return order, why
    # Latched: never back down the ladder, or every switch re-reads the whole prompt.
    ladder = _LOCAL_FIRST[_LOCAL_FIRST.index(latched) :]
    return ladder, f"this step was escalated to {latched} and stays there"


def _escalated(chosen: Location, facts: RoutingFacts) -> bool:
    """Whether the step goes up the ladder because of what failed below, now or earlier."""
    below = _LOCAL_FIRST[: _LOCAL_FIRST.index(chosen)]
    failed = any(facts.escalation.failed(p) >= ATTEMPTS_BEFORE_ESCALATION for p in below)
    return failed or facts.escalation.latched in _LOCAL_FIRST[1 : len(below) + 1]


def _reason(step_kind: StepKind, chosen: Place, facts: RoutingFacts, why: str) -> str:
    if facts.policy.frontier == "forced":
        return "the frontier is forced"
    better = [
        (p, _refusal(p, step_kind, facts))
        for location in _preference(step_kind, facts)[0]
        for p in facts.places
        if p.location == location
    ]
    passed: list[str] = []
    for place, refusal in better:
        if place == chosen:
            break
        passed.append(f"{place.location}: {refusal}")
    return why if not passed else f"{why}; {'; '.join(passed)}"


def _nowhere(step_kind: StepKind, facts: RoutingFacts, ordered: tuple[Location, ...]) -> str:
    if facts.policy.frontier == "forced" and not any(
        p.location == "frontier" for p in facts.places
    ):
        return "the frontier is forced, but no key is configured: set ANTHROPIC_API_KEY"
    closed = [
        f"{p.location} ({p.model}): {_refusal(p, step_kind, facts) or 'the step is past it'}"
        for p in facts.places
    ]
    missing = [f"{location}: not configured" for location in ordered
               if all(p.location != location for p in facts.places)]  # fmt: skip
    return f"no place can serve this {step_kind} step; " + "; ".join(closed + missing)


# --------------------------------------------------------------------------- evidence


def _posterior(
    location: Location, step_kind: StepKind, history: tuple[StepRecord, ...]
) -> tuple[float, int] | None:
    """Mean of Beta(1 + succeeded, 1 + failed), and the number of outcomes; None below enough."""
    found = [r for r in history if r.location == location and r.step_kind == step_kind]
    won, lost = sum(r.succeeded for r in found), sum(r.failed for r in found)
    if won + lost < ENOUGH_OUTCOMES:
        return None
    return (1 + won) / (2 + won + lost), won + lost


def _by_evidence(
    candidates: list[Place], step_kind: StepKind, history: tuple[StepRecord, ...]
) -> tuple[Place, str]:
    """The first candidate, unless its record is hopeless and a later one's is not."""
    first = candidates[0]
    record = _posterior(first.location, step_kind, history)
    if record is None or record[0] >= HOPELESS:
        return first, ""
    for other in candidates[1:]:
        theirs = _posterior(other.location, step_kind, history)
        if other.location != first.location and (theirs is None or theirs[0] > record[0]):
            return other, (
                f"about {record[0]:.0%} of {step_kind} steps succeed at {first.location}"
                f" ({record[1]} outcomes), so {other.location} goes first"
            )
    return first, ""


def _policy_text(facts: RoutingFacts) -> str:
    parts = [f"frontier {facts.policy.frontier}"]
    if facts.policy.local_only:
        parts.append("local-only")
    if facts.policy.offline:
        parts.append("offline")
    left = facts.budget_left_usd_micro
    parts.append("no budget set" if left is None else f"${left / 1e6:.4f} of the budget left")
    return ", ".join(parts)
