"""The gateway: each HTTP attempt is exactly one ledger row, whatever happens."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.errors import (
    AuthError,
    BudgetExceeded,
    Cancelled,
    EngineError,
    LedgerError,
    PolicyError,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from agent.events import (
    CompletionRecorded,
    Event,
    Notice,
    RequestFinished,
    RequestStarted,
    Spent,
    TextDelta,
)
from agent.gateway import Gateway, RetryPolicy, fingerprint
from agent.ledger import Budgets, Ledger
from agent.prices import Prices
from agent.providers.anthropic import AnthropicProvider
from agent.providers.base import decode_completion
from agent.providers.http import HttpLimits
from agent.providers.openai_compatible import OpenAICompatibleProvider
from agent.providers.scripted import ScriptedProvider, Turn
from agent.types import (
    CancelToken,
    Completion,
    DecodeStats,
    Endpoint,
    Location,
    Message,
    OnText,
    Provider,
    Request,
    Route,
    ToolCall,
    Usage,
)
from tests.loopback import Loopback, Reply, dialects, faults, serve
from tests.providers.asks import Never, after, ask

SECRET = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3gH6"
FAST = RetryPolicy(base_s=0.01, attempt_timeout_s=10)


class Bench:
    """A gateway on a real ledger; `run` drives one request to its end."""

    def __init__(self, path: Path, *providers: Provider, **options: Any) -> None:
        from tools.secrets import Redactor

        self.ledger = Ledger(path / "ledger.sqlite")
        self.waits: list[float] = []
        self.events: list[Event] = []
        self.now = 0.0
        settings: dict[str, Any] = {
            "budgets": Budgets(), "retry": FAST, "jitter": lambda: 1.0,
            "redact": Redactor(key=b"run1"), "monotonic": lambda: self.now, **options,
        }  # fmt: skip
        self.gateway = Gateway(
            ledger=self.ledger,
            providers={p.location: p for p in providers},
            prices=Prices(),
            run_id="run1",
            repo_key="repo",
            sleep=self.waits.append,
            **settings,
        )

    def run(
        self, location: Location | None, cancel: CancelToken | None = None, **changes: Any
    ) -> Completion:
        route = Route(location=location, provider="p", model="m", reason="a test")
        stream = self.gateway.complete(
            ask(**changes), route, step_id="s1", cancel=cancel or Never()
        )
        while True:
            try:
                self.events.append(next(stream))
            except StopIteration as stop:
                done = stop.value
                assert isinstance(done, Completion)
                return done

    def states(self) -> list[str]:
        return [r.state for r in self.ledger.rows()]

    def of(self, kind: type) -> list[Any]:
        return [e for e in self.events if isinstance(e, kind)]


def hosted(server: Loopback, **limits: Any) -> AnthropicProvider:
    return AnthropicProvider(
        api_key="k", model="claude-opus-5-5", context_window=1_000_000, base_url=server.url,
        limits=HttpLimits(**{"total_s": 5.0, **limits}),
    )  # fmt: skip


@pytest.fixture
def against(tmp_path: Path) -> Iterator[Callable[..., tuple[Bench, Loopback]]]:
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(*replies: Reply, **options: Any) -> tuple[Bench, Loopback]:
            server = stack.enter_context(serve(replies))
            return Bench(tmp_path, hosted(server), **options), server

        yield make


Against = Callable[..., tuple[Bench, Loopback]]


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


# --------------------------------------------------------------------------- egress


@pytest.mark.parametrize(
    ("privacy", "location", "allowed"),
    [
        ("open", "frontier", True), ("open", "onprem", True), ("open", "local", True),
        ("onprem_ok", "frontier", False), ("onprem_ok", "onprem", True),
        ("onprem_ok", "local", True), ("local_only", "frontier", False),
        ("local_only", "onprem", False), ("local_only", "local", True),
        ("no such label", "frontier", False), ("no such label", "local", False),
    ],
)  # fmt: skip
def test_labels_fail_closed(
    tmp_path: Path, privacy: Any, location: Location, allowed: bool
) -> None:
    provider = ScriptedProvider([Turn(text="x")], location=location)
    bench = Bench(tmp_path, provider)
    if allowed:
        assert bench.run(location, privacy=privacy).text == "x"
        return
    with pytest.raises(PolicyError, match="labelled"):
        bench.run(location, privacy=privacy)
    assert (provider.seen, bench.states()) == ([], [])


def test_a_provider_in_the_wrong_place_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.gateway._providers["local"] = ScriptedProvider([Turn()], location="frontier")
    with pytest.raises(PolicyError):
        bench.run("local", privacy="local_only")


def test_no_route_and_no_provider(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="a test"):
        Bench(tmp_path).run(None)
    with pytest.raises(PolicyError, match="no provider is configured for onprem"):
        Bench(tmp_path).run("onprem")


def secretive() -> dict[str, Any]:
    return {
        "messages": (Message(role="user", content=f"TOKEN = '{SECRET}'"),),
        "copy_sources": (SECRET,),
    }


def test_secrets_stay_here_and_come_back_in_the_answer(tmp_path: Path) -> None:
    def echo(request: Request) -> Turn:
        shown = request.messages[0].content.split("'")[1]
        pieces = (f"use {shown[:9]}", shown[9:20], f"{shown[20:]}!")
        call = ToolCall(id="1", name="t", arguments=f'{{"k": "{shown}"}}')
        return Turn(pieces=pieces, tool_calls=(call,), usage=Usage(input=1, output=1))

    provider = ScriptedProvider([echo], name="anthropic", model="claude-opus-5-5",
                                location="frontier")  # fmt: skip
    bench = Bench(tmp_path, provider)
    done = bench.run("frontier", **secretive())
    assert SECRET not in str(provider.seen)
    assert done.text == f"use {SECRET}!"
    assert done.tool_calls[0].arguments == f'{{"k": "{SECRET}"}}'
    assert "".join(e.text for e in bench.of(TextDelta)) == done.text
    (recorded,) = bench.of(CompletionRecorded)
    assert SECRET not in recorded.completion_json
    assert SECRET.encode() not in bench.ledger.path.read_bytes()


def test_a_local_model_sees_the_text_as_it_is_but_the_record_does_not(tmp_path: Path) -> None:
    provider = ScriptedProvider([lambda r: Turn(text=r.messages[0].content)])
    bench = Bench(tmp_path, provider)
    assert SECRET in bench.run("local", **secretive()).text
    assert SECRET not in bench.of(CompletionRecorded)[0].completion_json


def test_a_key_of_several_lines_is_hidden_inside_json_too(tmp_path: Path) -> None:
    pem = f"-----BEGIN PRIVATE KEY-----\n{SECRET[4:]}\n-----END PRIVATE KEY-----"
    text = json.dumps({"key": pem})
    call = ToolCall(id="1", name="t", arguments=text)
    provider = ScriptedProvider([Turn(text=text, tool_calls=(call,))])
    shelf: dict[str, Completion] = {}
    bench = Bench(tmp_path, provider, recorded=shelf.get)
    asked = {"json_schema": "{}", "messages": (Message(role="user", content=f"see\n{pem}\n"),)}
    done = bench.run("local", **asked)
    (event,) = bench.of(CompletionRecorded)
    assert SECRET[4:] not in event.completion_json
    shelf[event.fingerprint] = decode_completion(event.completion_json)
    assert bench.run("local", **asked) == done


def test_an_error_that_quotes_the_prompt_does_not_leak(tmp_path: Path) -> None:
    error = ProviderUnavailable(f"bad prompt: {SECRET}")
    bench = Bench(tmp_path, ScriptedProvider([error] * 4))
    with pytest.raises(ProviderError):
        bench.run("local", **secretive())
    assert SECRET not in str(bench.events)
    assert SECRET.encode() not in bench.ledger.path.read_bytes()


# --------------------------------------------------------------------------- replay


def test_a_recorded_answer_costs_nothing(tmp_path: Path) -> None:
    shelf: dict[str, Completion] = {}
    provider = ScriptedProvider([lambda r: Turn(text=r.messages[0].content)])
    first = Bench(tmp_path, provider, recorded=shelf.get)
    done = first.run("local", **secretive())
    (event,) = first.of(CompletionRecorded)
    shelf[event.fingerprint] = decode_completion(event.completion_json)
    again = Bench(tmp_path, provider, recorded=shelf.get)  # another process: same run, same key
    served = again.run("local", id="another id", **secretive())
    assert served.text == done.text
    assert [type(e) for e in again.events] == [TextDelta]
    assert (len(provider.seen), len(again.ledger.rows())) == (1, 1)


def test_a_record_of_another_model_is_not_served(tmp_path: Path) -> None:
    provider = ScriptedProvider([Turn(text="fresh")], model="new")
    done = Completion(
        text="stale", stop_reason="end", usage=Usage(), model="old", provider="scripted",
        location="local", duration_s=0,
    )  # fmt: skip
    bench = Bench(tmp_path, provider, recorded=lambda _: done)
    assert bench.run("local").text == "fresh"


def test_fingerprints() -> None:
    base = fingerprint(ask())
    assert fingerprint(ask(id="other")) == base
    for change in ({"seed": 1}, {"max_tokens": 99}, {"messages": ()}, {"privacy": "local_only"}):
        assert fingerprint(ask(**change)) != base


# --------------------------------------------------------------------------- stopping


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
