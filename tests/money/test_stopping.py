"""The gateway when it is told to stop, and when a provider misbehaves."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import (
    Cancelled,
    EngineError,
    ProviderUnavailable,
    RateLimited,
)
from agent.events import (
    RequestFinished,
    RequestStarted,
    TextDelta,
)
from agent.ledger import Budgets
from agent.providers.openai_compatible import OpenAICompatibleProvider
from agent.providers.scripted import ScriptedProvider, Turn
from agent.types import (
    CancelToken,
    Completion,
    DecodeStats,
    Endpoint,
    OnText,
    Request,
    Route,
)
from tests.loopback import dialects, faults, serve
from tests.money.bench import FAST, Against, Bench
from tests.providers.asks import Never, after, ask


def test_cancel_during_an_answer(against: Against) -> None:
    slow = faults.drip(dialects.anthropic("hello world"), 0.3)
    bench, _ = against(slow)
    with pytest.raises(Cancelled):
        bench.run("frontier", after(0.5))
    assert bench.states() == ["unknown"]


def test_cancel_before_anything(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    bench = Bench(tmp_path, ScriptedProvider([Turn()]))
    with pytest.raises(Cancelled):
        bench.run("local", cancel)
    assert bench.states() == []


def test_cancel_while_waiting_to_try_again(tmp_path: Path) -> None:
    cancel = threading.Event()
    bench = Bench(tmp_path, ScriptedProvider([RateLimited("slow", billed="no"), Turn(text="x")]))
    bench.gateway._sleep = lambda _: cancel.set()
    bench.gateway._retry = replace(FAST, base_s=5.0)
    with pytest.raises(Cancelled):
        bench.run("local", cancel)
    assert bench.states() == ["released"]


class Deaf(ScriptedProvider):
    """Does not look at its cancel token."""

    def complete(self, request: Request, on_text: OnText, cancel: CancelToken) -> Completion:
        on_text("one ")
        self.hold = threading.Event()
        self.hold.wait(20)
        return super().complete(request, on_text, cancel)


def test_a_deaf_provider_is_left_behind(tmp_path: Path) -> None:
    provider = Deaf([Turn(text="late")])
    bench = Bench(tmp_path, provider, retry=replace(FAST, attempt_timeout_s=0.2, max_attempts=1))
    with pytest.raises(ProviderUnavailable, match="no complete answer within"):
        bench.run("local")
    assert bench.states() == ["unknown"]
    provider.hold.set()


def test_a_consumer_that_stops_listening_leaves_no_open_row(tmp_path: Path) -> None:
    for stop_at, state in ((RequestStarted, "released"), (TextDelta, "unknown")):
        place = tmp_path / state
        bench = Bench(place, ScriptedProvider([Turn(pieces=("a ", "b ", "c "))]))
        route = Route(location="local", provider="p", model="m", reason="a test")
        stream = bench.gateway.complete(ask(), route, step_id="s", cancel=Never())
        for event in stream:
            if isinstance(event, stop_at):
                break
        stream.close()
        assert bench.states() == [state]


def test_an_engine_that_does_not_start_is_released(tmp_path: Path) -> None:
    def broken(_: Request) -> Turn:
        raise EngineError("worker gone")

    bench = Bench(tmp_path, ScriptedProvider([broken]))
    with pytest.raises(EngineError):
        bench.run("local")
    assert bench.states() == ["released"]


def test_a_defect_in_a_provider_is_not_hidden(tmp_path: Path) -> None:
    def defect(_: Request) -> Turn:
        raise ZeroDivisionError("a defect")

    bench = Bench(tmp_path, ScriptedProvider([defect]))
    with pytest.raises(ZeroDivisionError):
        bench.run("local")
    assert bench.states() == ["unknown"]


def test_a_worker_on_a_unix_socket_is_metered_too(tmp_path: Path) -> None:
    stats = {
        "strategy": "mtp", "prefill_tokens": 40, "prefill_s": 0.5, "decode_tokens": 20,
        "decode_s": 1.0, "drafted": 12, "accepted": 9, "cycles": 6,
    }  # fmt: skip
    with serve([dialects.openai("L1", extension={"decode": stats})], unix=True) as server:
        worker = OpenAICompatibleProvider(
            endpoint=lambda: Endpoint(base_url=f"{server.url}/v1", uds=server.uds),
            model="mini", context_window=2048, location="local", name="worker",
            dialect="pointsman",
        )  # fmt: skip
        bench = Bench(tmp_path, worker, budgets=Budgets(run_usd_micro=0))
        bench.run("local", privacy="local_only")
    (row,) = bench.ledger.rows()
    assert row.decode == DecodeStats(**stats)  # type: ignore[arg-type]
    assert (row.usd_micro, row.usage.input, row.usage.output) == (0, 12, 4)
    assert bench.of(RequestFinished)[0].decode == row.decode
    assert bench.ledger.totals("run1").tokens_local == 16
