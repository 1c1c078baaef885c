"""What the ledger learns from a run: which attempts execution refused or proved, and what a proved
step would have cost elsewhere.

Only execution judges: a failed attempt counts when its tests stayed red, a success when the whole
patch was verified. Unverified patches teach nothing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent import context
from agent.asking import Answer
from agent.types import Step
from agent.work import Tried, Work
from tools import patch as patches
from tools.types import Patch

if TYPE_CHECKING:
    from agent.ledger import Ledger
    from agent.prices import Prices


@dataclass(frozen=True, slots=True, kw_only=True)
class InLedger:
    """Lessons of one run, kept in the ledger."""

    ledger: "Ledger"
    prices: "Prices"
    run_id: str
    frontier_model: str

    def judged(self, tried: Tried, *, succeeded: bool) -> None:
        self.ledger.record_outcome(
            run_id=self.run_id,
            step_id=tried.step_id,
            step_kind=tried.step_kind,
            location=tried.location,
            model=tried.model,
            succeeded=succeeded,
            request_id=tried.request_id,
        )

    def saved(self, tried: Tried) -> None:
        from agent.prices import CHEAPEST_HOSTED

        frontier, cheapest = self.prices.counterfactual(
            (self.frontier_model, CHEAPEST_HOSTED),
            input_tokens=tried.input_tokens,
            output_tokens=tried.output_tokens,
            at=datetime.now(UTC),
        )
        self.ledger.record_estimates(
            run_id=self.run_id, step_id=tried.step_id, frontier=frontier, cheapest=cheapest
        )


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A replay teaches nothing: its attempts were judged when they were made."""

    def judged(self, tried: Tried, *, succeeded: bool) -> None:
        pass

    def saved(self, tried: Tried) -> None:
        pass


def refused(work: Work, step: Step, answer: Answer) -> None:
    """The attempt's answer did not carry out the step."""
    work.deps.lessons.judged(_tried(step, answer, output_tokens=0), succeeded=False)


def accepted(work: Work, step: Step, answer: Answer, patch: Patch) -> None:
    """The attempt's patch is in the workspace; whether it is right, the verification will say."""
    tokens = context.count(patches.diff(patch))
    work.accepted.append(_tried(step, answer, output_tokens=tokens))


def proved(work: Work) -> None:
    """The patch was verified: every step's accepted attempt succeeded."""
    for tried in work.accepted:
        work.deps.lessons.judged(tried, succeeded=True)
        if tried.location != "frontier":  # what the frontier did was not saved
            work.deps.lessons.saved(tried)


def _tried(step: Step, answer: Answer, *, output_tokens: int) -> Tried:
    usage = answer.completion.usage
    return Tried(
        step_id=step.id,
        request_id=answer.request.id,
        step_kind=answer.request.step_kind,
        location=answer.completion.location,
        model=answer.completion.model,
        input_tokens=usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h,
        output_tokens=output_tokens,
    )
