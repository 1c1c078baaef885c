"""The gateway: each HTTP attempt is exactly one ledger row, whatever happens."""

from pathlib import Path
from typing import Any

import pytest

from agent.errors import (
    AuthError,
    BudgetExceeded,
    LedgerError,
    ProviderUnavailable,
    RateLimited,
)
from agent.events import (
    CompletionRecorded,
    Notice,
    RequestFinished,
    RequestStarted,
    Spent,
    TextDelta,
)
from agent.gateway import RetryPolicy, fingerprint
from agent.ledger import Budgets, Ledger
from agent.providers.base import decode_completion
from agent.providers.scripted import ScriptedProvider, Turn
from tests.loopback import Reply, dialects, faults, serve
from tests.money.bench import Against, Bench, hosted
from tests.providers.asks import ask


def test_one_answer(against: Against) -> None:
    bench, server = against(dialects.anthropic("hello world", output_tokens=50))
    done = bench.run("frontier")
    assert done.text == "hello world"
    kinds = [type(e) for e in bench.events if not isinstance(e, TextDelta)]
    assert kinds == [RequestStarted, RequestFinished, CompletionRecorded, Spent]
    assert "".join(e.text for e in bench.of(TextDelta)) == "hello world"
    (row,) = bench.ledger.rows()
    assert (row.state, row.usd_micro, row.usage.output) == ("settled", 10 * 4 + 50 * 20, 50)
    assert row.entry.reserved_usd_micro is not None
    assert row.entry.reserved_usd_micro >= row.usd_micro
    (recorded,) = bench.of(CompletionRecorded)
    assert recorded.fingerprint == fingerprint(ask())
    assert decode_completion(recorded.completion_json) == done
    assert bench.of(Spent)[0].totals == bench.ledger.totals("run1")
    assert len(server.received) == 1


def test_the_reservation_is_committed_before_anything_is_sent(tmp_path: Path) -> None:
    states: list[list[str]] = []

    def look(_: Any) -> Reply:
        with Ledger(tmp_path / "ledger.sqlite") as other:
            states.append([r.state for r in other.rows()])
        return dialects.anthropic("x")

    with serve(look) as server:
        Bench(tmp_path, hosted(server)).run("frontier")
    assert states == [["reserved"]]


def test_a_storm_is_one_row_per_attempt(against: Against) -> None:
    bench, server = against(
        faults.rate_limited(), faults.overloaded(), faults.cut(dialects.anthropic("half"), 3),
        dialects.anthropic("whole"),
    )  # fmt: skip
    assert bench.run("frontier").text == "whole"
    assert bench.states() == ["released", "released", "unknown", "settled"]
    assert [r.entry.attempt for r in bench.ledger.rows()] == [1, 2, 3, 4]
    assert len(server.received) == 4
    assert [e.status for e in bench.of(RequestFinished)] == bench.states()
    assert len(bench.of(Notice)) == 3
    worst = bench.ledger.rows()[2].entry.reserved_usd_micro
    assert bench.ledger.totals("run1").reserved_usd_micro == worst


def test_it_gives_up_and_raises_the_last_error(against: Against) -> None:
    bench, server = against(*[faults.overloaded()] * 9)
    with pytest.raises(RateLimited, match="529"):
        bench.run("frontier")
    assert bench.states() == ["released"] * 4
    assert len(server.received) == 4
    assert bench.ledger.used("run", "run1") == 0


def test_backoff_doubles_and_retry_after_is_honoured(against: Against) -> None:
    policy = RetryPolicy(base_s=0.1, attempt_timeout_s=10)
    bench, _ = against(
        faults.overloaded(), faults.overloaded(), faults.rate_limited("2"),
        dialects.anthropic("x"), retry=policy,
    )  # fmt: skip
    bench.run("frontier")
    assert sum(bench.waits) == pytest.approx(0.1 + 0.2 + 2.0)
    assert max(bench.waits) <= 0.1  # in slices, so that Ctrl-C is heard


def test_a_retry_after_of_an_hour_is_not_waited_for(against: Against) -> None:
    bench, server = against(faults.rate_limited("3600"), dialects.anthropic("x"))
    with pytest.raises(RateLimited):
        bench.run("frontier")
    assert bench.waits == []
    with pytest.raises(ProviderUnavailable, match="left alone for another 3600 s"):
        bench.run("frontier")
    assert len(server.received) == 1
    bench.now = 3601.0
    assert bench.run("frontier").text == "x"


def test_the_breaker_opens_and_lets_one_through(against: Against) -> None:
    policy = RetryPolicy(max_attempts=2, base_s=0.0, breaker_failures=4, attempt_timeout_s=10)
    bench, server = against(*[faults.status(500)] * 5, dialects.anthropic("x"), retry=policy)
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            bench.run("frontier")
    assert len(server.received) == 4
    bench.now = 31.0
    with pytest.raises(ProviderUnavailable):
        bench.run("frontier")
    assert len(server.received) == 5
    bench.now = 62.0
    assert bench.run("frontier").text == "x"
    assert bench.states() == ["unknown"] * 5 + ["settled"]


def test_a_refused_key_is_not_tried_again(against: Against) -> None:
    bench, server = against(faults.status(401))
    with pytest.raises(AuthError):
        bench.run("frontier")
    assert (bench.states(), len(server.received)) == (["released"], 1)


@pytest.mark.parametrize("budget", [0, 100])
def test_a_budget_that_does_not_hold_it_sends_nothing(against: Against, budget: int) -> None:
    bench, server = against(
        dialects.anthropic("x"), budgets=Budgets(run_usd_micro=budget)
    )  # fmt: skip
    with pytest.raises(BudgetExceeded):
        bench.run("frontier")
    assert (bench.states(), server.received, bench.events) == ([], [], [])


def test_a_budget_of_zero_allows_local_work(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ScriptedProvider([Turn(text="x")]), budgets=Budgets(run_usd_micro=0))
    assert bench.run("local").text == "x"
    (row,) = bench.ledger.rows()
    assert (row.state, row.usd_micro, row.entry.reserved_usd_micro) == ("settled", 0, 0)


def test_without_a_ledger_nothing_is_sent(against: Against) -> None:
    bench, server = against(dialects.anthropic("x"))
    bench.ledger.close()
    with pytest.raises(LedgerError):
        bench.run("frontier")
    assert server.received == []
