"""What was spent: append-only, reserved before it is sent, settled after it is answered."""

from agent.ledger.store import Ledger
from agent.ledger.values import (
    Budgets,
    Entry,
    Estimate,
    GroupBy,
    GroupTotals,
    Row,
    Saving,
    State,
    StepRecord,
)

__all__ = [
    "Budgets",
    "Entry",
    "Estimate",
    "GroupBy",
    "GroupTotals",
    "Ledger",
    "Row",
    "Saving",
    "State",
    "StepRecord",
]
