"""What goes into the ledger and comes out of it."""

from dataclasses import dataclass
from typing import Literal

from agent.types import DecodeStats, Location, StepKind, Usage

__all__ = [
    "Budgets",
    "Entry",
    "Estimate",
    "GroupBy",
    "GroupTotals",
    "Row",
    "Saving",
    "State",
    "StepRecord",
]

State = Literal["reserved", "settled", "released", "unknown"]
GroupBy = Literal["model", "step", "day", "repo", "location", "provider", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """Limits in micro-dollars; None is no limit, 0 refuses every paid call."""

    run_usd_micro: int | None = None
    day_usd_micro: int | None = None
    month_usd_micro: int | None = None

    @property
    def any(self) -> bool:
        return (self.run_usd_micro, self.day_usd_micro, self.month_usd_micro) != (None,) * 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known about an attempt before it is sent."""

    run_id: str
    repo_key: str
    step_id: str
    step_kind: StepKind
    request_id: str
    attempt: int
    location: Location
    provider: str
    model: str
    reserved_usd_micro: int | None
    """Worst case; None: the price is unknown."""
    reason: str = ""
    """Why it went there (the route's reason)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attempt as it stands. `usd_micro` is None until settled, or if the price is unknown."""

    id: int
    state: State
    entry: Entry
    day: str
    """Local date of the reservation, `YYYY-MM-DD`."""
    reserved_at: float
    closed_at: float | None
    usd_micro: int | None
    usage: Usage
    decode: DecodeStats | None
    duration_s: float
    reason: str
    orphaned: bool
    """Still reserved, by a process that is gone: closable to `unknown`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTotals:
    """Sums over the rows of one group. Reserved and unknown rows count at their worst case."""

    key: tuple[str, ...]
    """One value per `by`, in its order."""
    requests: int
    usd_micro: int
    """Settled."""
    open_usd_micro: int
    """Reserved and unknown, at their worst case."""
    unpriced: int
    """Rows whose price is unknown."""
    usage: Usage
    local_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """How often steps of one kind worked out at one location."""

    location: Location
    step_kind: StepKind
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Estimate for verified steps: what one hosted request per step would have cost.

    `usd_micro` None: a price was unknown. `spent_usd_micro` is what the same steps did cost.
    """

    basis: Literal["frontier", "cheapest"]
    model: str
    steps: int
    usd_micro: int | None
    spent_usd_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one hosted request would have cost: an estimate, never money that moved."""

    model: str
    usd_micro: int | None
    input_tokens: int
    output_tokens: int
