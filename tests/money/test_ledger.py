"""The ledger on real SQLite files."""

import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.errors import BudgetExceeded, ConfigError, LedgerError
from agent.ledger import Budgets, Entry, Ledger, StepRecord
from agent.prices import Estimate
from agent.types import DecodeStats, Totals, Usage

ENTRY = Entry(
    run_id="run1", repo_key="repo", step_id="s1", step_kind="edit", request_id="r1", attempt=1,
    location="frontier", provider="anthropic", model="claude-opus-5-5",
    reserved_usd_micro=1000, reason="because",
)  # fmt: skip
FREE = Budgets()
NOON = 1_750_000_000.0


def entry(**changes: Any) -> Entry:
    return replace(ENTRY, **changes)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state" / "ledger.sqlite")


def test_a_row_keeps_everything(ledger: Ledger) -> None:
    row = ledger.reserve(ENTRY, FREE)
    assert ledger.rows()[0].state == "reserved"
    usage = Usage(
        input=1, cache_read=2, cache_write_5m=3, cache_write_1h=4, output=5, thinking=6, raw="{}"
    )
    decode = DecodeStats(
        strategy="mtp", prefill_tokens=1, prefill_s=0.1, decode_tokens=2, decode_s=0.2, drafted=4
    )
    ledger.settle(row, usage=usage, usd_micro=700, duration_s=1.5, decode=decode)
    (got,) = ledger.rows(run_id="run1")
    assert (got.id, got.state, got.usd_micro, got.usage, got.decode) == (
        row, "settled", 700, usage, decode,
    )  # fmt: skip
    assert replace(got.entry, reason="because") == ENTRY
    assert got.reason == "because"
    assert got.closed_at is not None
    assert not got.orphaned
    assert ledger.totals("run1") == Totals(
        usd_micro=700, tokens_in=10, tokens_out=11, requests=1
    )  # fmt: skip
    assert ledger.totals("another") == Totals()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM attempt",
        "UPDATE attempt SET usd_micro = 0",
        "UPDATE attempt SET state = 'reserved'",
        "UPDATE attempt SET state = 'released'",
        "INSERT INTO attempt SELECT * FROM attempt WHERE id = -1 UNION ALL"
        " SELECT 99, state, reserved_at, day, run_id, repo_key, step_id, step_kind, request_id,"
        " attempt, location, provider, model, pid, pid_started, reserved_usd_micro, closed_at,"
        " usd_micro, input, cache_read, cache_write_5m, cache_write_1h, output, thinking, raw,"
        " decode, duration_s, reason FROM attempt",
    ],
)
def test_history_cannot_be_rewritten(ledger: Ledger, statement: str) -> None:
    ledger.settle(ledger.reserve(ENTRY, FREE), usage=Usage(), usd_micro=700, duration_s=1)
    before = ledger.rows()
    other = sqlite3.connect(ledger.path)
    with pytest.raises(sqlite3.IntegrityError):
        other.execute(statement)
    other.close()
    assert ledger.rows() == before


@pytest.mark.parametrize("column", ["reserved_usd_micro", "run_id", "model", "pid", "day"])
def test_a_reservation_cannot_be_changed_while_closing(ledger: Ledger, column: str) -> None:
    ledger.reserve(ENTRY, FREE)
    other = sqlite3.connect(ledger.path)
    with pytest.raises(sqlite3.IntegrityError, match="fixed"):
        other.execute(f"UPDATE attempt SET state = 'settled', {column} = 1")
    other.close()


def test_a_row_closes_once(ledger: Ledger) -> None:
    row = ledger.reserve(ENTRY, FREE)
    ledger.release(row, reason="refused")
    with pytest.raises(LedgerError, match="closes once"):
        ledger.settle(row, usage=Usage(), usd_micro=1, duration_s=0)
    with pytest.raises(LedgerError, match="not in the ledger"):
        ledger.release(row + 1, reason="no such row")


def test_budgets_count_settled_reserved_and_unknown_but_not_released(ledger: Ledger) -> None:
    budget = Budgets(run_usd_micro=3000)
    ledger.settle(ledger.reserve(ENTRY, budget), usage=Usage(), usd_micro=400, duration_s=1)
    ledger.unknown(ledger.reserve(ENTRY, budget), reason="cut")
    ledger.release(ledger.reserve(ENTRY, budget), reason="429")
    ledger.reserve(ENTRY, budget)
    assert ledger.used("run", "run1") == 2400
    with pytest.raises(BudgetExceeded) as caught:
        ledger.reserve(ENTRY, budget)
    assert str(caught.value) == (
        "the run budget of $0.0030 does not hold this request: $0.0024 used, up to $0.0010 more"
    )
    ledger.reserve(entry(reserved_usd_micro=600), budget)  # exactly fits
    ledger.reserve(entry(run_id="run2"), budget)  # another run has its own
    assert len(ledger.rows()) == 6


def test_day_and_month_budgets(ledger: Ledger) -> None:
    day, month = Budgets(day_usd_micro=1500), Budgets(month_usd_micro=2500)
    ledger.reserve(ENTRY, day, now=NOON)
    with pytest.raises(BudgetExceeded, match="the day budget"):
        ledger.reserve(entry(run_id="run2"), day, now=NOON + 60)
    ledger.reserve(ENTRY, day, now=NOON + 86_400)
    with pytest.raises(BudgetExceeded, match="the month budget"):
        ledger.reserve(ENTRY, month, now=NOON + 2 * 86_400)
    ledger.reserve(ENTRY, month, now=NOON + 40 * 86_400)


def test_budget_zero_refuses_what_costs_and_allows_what_does_not(ledger: Ledger) -> None:
    nothing = Budgets(run_usd_micro=0)
    with pytest.raises(BudgetExceeded):
        ledger.reserve(entry(reserved_usd_micro=1), nothing)
    with pytest.raises(BudgetExceeded, match=r"price of .* is unknown"):
        ledger.reserve(entry(reserved_usd_micro=None), nothing)
    ledger.reserve(entry(location="local", reserved_usd_micro=0), nothing)
    assert len(ledger.rows()) == 1


def test_an_unknown_price_is_counted_as_unknown(ledger: Ledger) -> None:
    row = ledger.reserve(entry(reserved_usd_micro=None), FREE)
    ledger.settle(row, usage=Usage(input=5), usd_micro=None, duration_s=1)
    ledger.reserve(entry(reserved_usd_micro=None), FREE)
    totals = ledger.totals("run1")
    assert (totals.usd_micro, totals.unpriced) == (0, 2)
    assert [g.unpriced for g in ledger.summary(("model",))] == [2]


def test_summaries(ledger: Ledger) -> None:
    for model, location, usd in (("a", "frontier", 5), ("a", "frontier", 6), ("m", "local", 0)):
        row = ledger.reserve(entry(model=model, location=location), FREE, now=NOON)
        ledger.settle(row, usage=Usage(input=10, output=2), usd_micro=usd, duration_s=2)
    by_model = ledger.summary(("model", "location"))
    assert [(g.key, g.requests, g.usd_micro, g.usage.input, g.local_s) for g in by_model] == [
        (("a", "frontier"), 2, 11, 20, 0.0),
        (("m", "local"), 1, 0, 10, 2.0),
    ]
    assert ledger.totals("run1").tokens_local == 12
    assert ledger.summary(("day",), since="2100-01-01") == ()
    with pytest.raises(ConfigError, match="colour"):
        ledger.summary(("colour",))  # type: ignore[arg-type]


def test_savings_are_for_verified_steps_and_count_rejected_tries_as_cost(ledger: Ledger) -> None:
    for usd in (5, 7):
        row = ledger.reserve(ENTRY, FREE)
        ledger.settle(row, usage=Usage(), usd_micro=usd, duration_s=1)
    ledger.settle(
        ledger.reserve(entry(step_id="s2"), FREE), usage=Usage(), usd_micro=50, duration_s=1
    )
    frontier = Estimate(model="opus", usd_micro=900, input_tokens=100, output_tokens=20)
    cheapest = Estimate(model="haiku", usd_micro=None, input_tokens=100, output_tokens=20)
    for _ in range(2):  # a resumed run verifies a step again: it counts once
        ledger.record_estimates(run_id="run1", step_id="s1", frontier=frontier, cheapest=cheapest)
    found = {s.basis: s for s in ledger.savings("run1")}
    assert (found["frontier"].usd_micro, found["frontier"].spent_usd_micro) == (900, 12)
    assert (found["cheapest"].usd_micro, found["cheapest"].steps) == (None, 1)
    assert ledger.savings("run2") == ()


def test_outcomes_become_history(ledger: Ledger) -> None:
    for succeeded in (True, True, False):
        ledger.record_outcome(
            run_id="r", step_id="s", step_kind="edit", location="local", model="m",
            succeeded=succeeded,
        )  # fmt: skip
    expected = StepRecord(location="local", step_kind="edit", succeeded=2, failed=1)
    assert ledger.history() == (expected,)


def test_reservations_of_dead_processes_are_seen_and_closed(ledger: Ledger) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from agent.ledger import *; from tests.money.test_ledger import ENTRY\n"
        "Ledger(Path(sys.argv[1])).reserve(ENTRY, Budgets()); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(ledger.path)], check=False, timeout=60)
    mine = ledger.reserve(ENTRY, FREE)
    assert [r.orphaned for r in ledger.rows()] == [True, False]
    (orphan,) = ledger.close_orphans()
    assert [(r.id, r.state) for r in ledger.rows()] == [(orphan, "unknown"), (mine, "reserved")]
    assert ledger.used("run", "run1") == 2000
    assert ledger.close_orphans() == ()


def test_the_file_is_private_and_durable(ledger: Ledger) -> None:
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    assert ledger.path.parent.stat().st_mode & 0o777 == 0o700
    mode = ledger._db.execute("PRAGMA journal_mode").fetchone()[0]
    assert mode == ("wal" if sqlite3.sqlite_version_info >= (3, 51, 3) else "truncate")
    assert ledger._db.execute("PRAGMA synchronous").fetchone()[0] == 2


@pytest.mark.parametrize("kind", ["directory", "garbage", "newer", "file_as_parent"])
def test_an_unusable_ledger_says_where_and_what_to_do(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ledger.sqlite"
    if kind == "directory":
        path.mkdir()
    elif kind == "garbage":
        path.write_bytes(b"not a database, whatever its name says" * 50)
    elif kind == "newer":
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 99")
        db.close()
    else:
        path.write_bytes(b"")
        path = path / "ledger.sqlite"
    with pytest.raises(LedgerError) as caught:
        Ledger(path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy is not None


def test_a_full_disk_stops_the_reservation(ledger: Ledger) -> None:
    pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LedgerError, match="full"):
        fill(ledger, 200)
    assert ledger.used("run", "run1") == 1000 * len(ledger.rows())


def fill(ledger: Ledger, rows: int) -> None:
    for number in range(rows):
        ledger.reserve(entry(reason="x" * 400, request_id=str(number)), FREE)


class Slow(Ledger):
    """Pauses between looking at the budget and reserving: the window in which others race."""

    def _check(self, entry: Entry, budgets: Budgets, day: str) -> None:
        super()._check(entry, budgets, day)
        time.sleep(0.2)


def test_looking_and_reserving_are_one_transaction(tmp_path: Path) -> None:
    budget = Budgets(run_usd_micro=1000)
    with Slow(tmp_path / "l.sqlite") as one, Slow(tmp_path / "l.sqlite") as two:
        with ThreadPoolExecutor(2) as pool:
            tries = [pool.submit(each.reserve, ENTRY, budget) for each in (one, two)]
        refused = [type(t.exception()) for t in tries if t.exception() is not None]
        assert refused == [BudgetExceeded]
        assert one.used("run", "run1") == 1000
