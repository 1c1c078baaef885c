"""The decoding loop: draft, verify in one pass, keep what the target itself would have chosen.

Lossless by construction: every token comes out of the sampler on the target's own row; a draft
only decides how many rows one pass gives.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from agent.engine.drafters import Drafter
from agent.engine.sampling import Sampler, log_probability, loops
from agent.engine.target import Target
from agent.errors import EngineError
from agent.types import DecodeStats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Constraint", "EndReason", "Generated", "Job", "Proposer", "generate"]

EndReason = Literal["end", "stop", "length", "loop", "cancelled"]


class Proposer(Protocol):
    """Which drafts to verify next: from one drafter, several, or none."""

    @property
    def name(self) -> str: ...

    def propose(self, token: int, room: int) -> Sequence[int]:
        """At most `room` tokens expected after `token`, which is chosen but not yet decoded."""
        ...

    def judged(self, drafted: int, accepted: int, committed: Sequence[int]) -> None:
        """The outcome of the last proposal, and the tokens the pass committed."""
        ...


class Constraint(Protocol):
    """A grammar: says which tokens may come next."""

    def allows(self, token: int) -> bool: ...

    def allow(self, row: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """The row with every forbidden token at -inf."""
        ...

    def accept(self, token: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One generation after its prompt is decoded."""

    sampler: Sampler
    proposer: Proposer
    max_tokens: int
    drafters: tuple[Drafter, ...] = ()
    """Every drafter that must stay in step, used or not."""
    cancelled: Callable[[], bool] = lambda: False
    constraint: Constraint | None = None
    scored: bool = False
    """Sum the log-probabilities of the output (costs a pass over the vocabulary per token)."""
    prefill_tokens: int = 0
    prefill_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A finished generation. `tokens` lacks the end token."""

    tokens: tuple[int, ...]
    end: EndReason
    stats: DecodeStats
    logprob: float | None = None
    """Of the tokens and the end token; None unless asked for."""


@dataclass(slots=True, kw_only=True)
class _Run:
    job: Job
    target: Target
    output: list[int] = field(default_factory=list)
    logprob: float = 0.0
    drafted: int = 0
    accepted: int = 0
    cycles: int = 0
    end: EndReason | None = None
    started: float = field(default_factory=time.monotonic)

    def choose(self, row: "NDArray[np.float32]") -> int:
        """The target's own choice for the next position, recorded."""
        token = self.job.sampler.pick(row, self.output, len(self.output))
        constraint = self.job.constraint
        if constraint is not None:
            if not constraint.allows(token):  # the full mask is dear: only when it changes things
                row = constraint.allow(row)
                token = self.job.sampler.pick(row, self.output, len(self.output))
            constraint.accept(token)
        if self.job.scored:
            self.logprob += log_probability(row, token)
        if self.target.model.is_end(token):
            self.end = "end"
            return token
        self.output.append(token)
        if len(self.output) >= self.job.max_tokens:
            self.end = "length"
        elif loops(self.output):  # looked at after each token, or the widths would show
            self.end = "loop"
        return token

    def finish(self) -> Generated:
        stats = DecodeStats(
            strategy=self.job.proposer.name,
            prefill_tokens=self.job.prefill_tokens,
            prefill_s=self.job.prefill_s,
            decode_tokens=len(self.output),
            decode_s=time.monotonic() - self.started,
            drafted=self.drafted,
            accepted=self.accepted,
            cycles=self.cycles,
        )
        return Generated(
            tokens=tuple(self.output),
            end=self.end or "length",
            stats=stats,
            logprob=self.logprob if self.job.scored else None,
        )


def generate(
    target: Target, first_row: "NDArray[np.float32]", job: Job
) -> Generator[Sequence[int], bool | None, Generated]:
    """Yield the new tokens of each pass; returns the whole. Send True to end: a stop string.

    `first_row` are the logits after the prompt. Ends with "cancelled" before the next pass, and
    with "length" where the context ends.
    """
    run = _Run(job=job, target=target)
    token = run.choose(first_row)
    new = len(run.output)
    job.proposer.judged(0, 0, run.output)
    while True:
        if new:
            if (yield run.output[-new:]):
                run.end = "stop"
        if run.end is None and target.room() < 1:
            run.end = "length"
        if run.end is None and job.cancelled():
            run.end = "cancelled"
        if run.end is not None:
            return run.finish()
        before = len(run.output)
        token = _cycle(run, token)
        new = len(run.output) - before


def _cycle(run: _Run, token: int) -> int:
    """One pass: decode `token` and the drafts after it, keep the run that matches."""
    job, target = run.job, run.target
    room = min(target.longest, target.room() - 1, job.max_tokens - len(run.output) - 1)
    room = max(room, 0)
    drafts = list(job.proposer.propose(token, room))[:room]
    before = len(run.output)
    rows = target.decode([token, *drafts], lambda t, h: _tell(job, t, h))
    accepted = 0
    for i in range(len(drafts) + 1):
        token = run.choose(rows[i])
        if run.end is not None or i == len(drafts) or token != drafts[i]:
            break
        accepted += 1
    surplus = len(drafts) - accepted
    if surplus and not target.take_back(surplus):
        raise EngineError(f"{surplus} draft tokens could not be taken back")
    if surplus:
        for drafter in job.drafters:
            drafter.truncate(len(target.tokens))
    run.drafted += len(drafts)
    run.accepted += accepted
    run.cycles += 1
    job.proposer.judged(len(drafts), accepted, run.output[before:])
    return token


def _tell(job: Job, tokens: Sequence[int], hidden: "NDArray[np.float32] | None") -> None:
    for drafter in job.drafters:
        drafter.observe(tokens, hidden)
