"""A process that spends through the ledger until it is killed or refused.

    python -m tests.money.spender LEDGER LOG naive|ledger BUDGET COST

Writes one byte to LOG at the moment a real request would leave: what was truly billed.
"""

import os
import sqlite3
import sys
from pathlib import Path

from agent.errors import BudgetExceeded
from agent.ledger import Budgets, Entry, Ledger
from agent.types import Usage

RUN = "run"


def entry(cost: int) -> Entry:
    return Entry(
        run_id=RUN, repo_key="repo", step_id="s", step_kind="edit", request_id="r", attempt=1,
        location="frontier", provider="anthropic", model="m", reserved_usd_micro=cost,
    )  # fmt: skip


def with_ledger(path: Path, log: int, budget: int, cost: int) -> None:
    ledger = Ledger(path)
    while True:
        try:
            row = ledger.reserve(entry(cost), Budgets(run_usd_micro=budget))
        except BudgetExceeded:
            return
        os.write(log, b".")
        ledger.settle(row, usage=Usage(), usd_micro=cost, duration_s=0)


def naive(path: Path, log: int, budget: int, cost: int) -> None:
    """Check, send, then add: the control."""
    db = sqlite3.connect(path, timeout=30, isolation_level=None)
    db.execute("CREATE TABLE IF NOT EXISTS spent (cost INTEGER)")
    while True:
        used = db.execute("SELECT COALESCE(SUM(cost), 0) FROM spent").fetchone()[0]
        if used + cost > budget:
            return
        os.write(log, b".")
        db.execute("INSERT INTO spent VALUES (?)", (cost,))


def main() -> None:
    path, log_path, how, budget, cost = sys.argv[1:]
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    run = naive if how == "naive" else with_ledger
    run(Path(path), log, int(budget), int(cost))


if __name__ == "__main__":
    main()
