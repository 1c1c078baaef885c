"""Every fault, in both dialects: a typed error in bounded time, and the right `billed`."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.errors import (
    AuthError,
    Cancelled,
    ContextOverflow,
    PointsmanError,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from agent.providers.anthropic import AnthropicProvider
from agent.providers.http import HttpLimits
from agent.providers.openai_compatible import OpenAICompatibleProvider
from agent.types import Endpoint, Provider
from tests.loopback import Loopback, Reply, dialects, faults, serve
from tests.providers.asks import Never, after, ask

LIMITS = HttpLimits(total_s=1.0, body_bytes=1 << 20)
MakeProvider = Callable[[Loopback], Provider]


def anthropic(server: Loopback) -> Provider:
    return AnthropicProvider(
        api_key="k", model="m", context_window=100_000, base_url=server.url, limits=LIMITS
    )


def openai(server: Loopback) -> Provider:
    endpoint = Endpoint(base_url=server.url)
    return OpenAICompatibleProvider(
        endpoint=lambda: endpoint,
        model="m",
        context_window=100_000,
        location="frontier",
        name="hosted",
        limits=LIMITS,
    )


BOTH = pytest.mark.parametrize(
    ("make", "good"),
    [(anthropic, dialects.anthropic("hello world")), (openai, dialects.openai("hello world"))],
    ids=["anthropic", "openai"],
)


def fail(make: MakeProvider, reply: Reply, cancel: Any = None) -> tuple[PointsmanError, float]:
    """The error of one attempt and how long it took. Exactly one request is ever sent."""
    began = time.monotonic()
    with serve([reply, reply]) as server, pytest.raises(PointsmanError) as caught:
        make(server).complete(ask(), lambda _: None, cancel or Never())
    assert len(server.received) == 1
    return caught.value, time.monotonic() - began


@BOTH
@pytest.mark.parametrize(
    ("reply", "error", "billed"),
    [
        (faults.rate_limited(), RateLimited, "no"),
        (faults.overloaded(), RateLimited, "no"),
        (faults.status(503), RateLimited, "no"),
        (faults.status(500), ProviderUnavailable, "unknown"),
        (faults.status(504), ProviderUnavailable, "unknown"),
        (faults.status(401), AuthError, "no"),
        (faults.status(403), AuthError, "no"),
        (faults.status(400), RequestRejected, "no"),
        (faults.status(400, "context_length_exceeded"), ContextOverflow, "no"),
        (faults.status(404), RequestRejected, "no"),
        (faults.status(413), ContextOverflow, "no"),
        (faults.empty(), ProviderUnavailable, "unknown"),
        (faults.html(), ProviderUnavailable, "unknown"),
    ],
)
def test_bodies_and_statuses(
    make: MakeProvider, good: Reply, reply: Reply, error: type[ProviderError], billed: str
) -> None:
    got, _ = fail(make, reply)
    assert isinstance(got, ProviderError)
    assert (type(got), got.billed) == (error, billed)


@BOTH
def test_retry_after_is_reported_and_not_slept(make: MakeProvider, good: Reply) -> None:
    got, took = fail(make, faults.rate_limited("3600"))
    assert isinstance(got, RateLimited)
    assert got.retry_after_s == 3600
    assert took < 2


@BOTH
def test_a_stream_that_is_cut_or_ends_anywhere_is_never_an_answer(
    make: MakeProvider, good: Reply
) -> None:
    for keep in range(len(good.pieces)):
        for broken in (faults.cut(good, keep), faults.ended(good, keep)):
            got, _ = fail(make, broken)
            assert isinstance(got, ProviderUnavailable), keep
            assert got.billed == "unknown"


def test_the_whole_stream_is_an_answer() -> None:
    """The control of the test above."""
    for make, good in ((anthropic, dialects.anthropic("hi")), (openai, dialects.openai("hi"))):
        with serve([good]) as server:
            assert make(server).complete(ask(), lambda _: None, Never()).text == "hi"


def test_a_clean_end_inside_a_tool_call() -> None:
    call = [("t1", "write", '{"path": "a.py", "text": "x"}')]
    for make, whole in (
        (anthropic, dialects.anthropic(tools=call)),
        (openai, dialects.openai(tools=call)),
    ):
        for keep in range(1, len(whole.pieces)):
            got, _ = fail(make, faults.ended(whole, keep))
            assert isinstance(got, ProviderUnavailable), keep


@BOTH
def test_malformed_and_reordered_events(make: MakeProvider, good: Reply) -> None:
    for broken in (faults.malformed(good, 1), faults.reordered(good)):
        got, _ = fail(make, broken)
        assert isinstance(got, ProviderUnavailable)
        assert got.billed == "unknown"


def test_negative_usage_makes_the_cost_unknown() -> None:
    bad = [
        (anthropic, dialects.anthropic("x", usage={"input_tokens": -5})),
        (openai, dialects.openai("x", usage={"prompt_tokens": -5, "completion_tokens": 1})),
        (openai, dialects.openai("x", usage={"prompt_tokens": "many", "completion_tokens": 1})),
    ]
    for make, reply in bad:
        got, _ = fail(make, reply)
        assert isinstance(got, ProviderUnavailable)
        assert "reported" in str(got)
        assert got.billed == "unknown"


@BOTH
def test_a_slow_drip_meets_the_total_deadline(make: MakeProvider, good: Reply) -> None:
    got, took = fail(make, faults.drip(replace(good, pieces=good.pieces * 10), 0.2))
    assert isinstance(got, ProviderUnavailable)
    assert "within 1 s" in str(got)
    assert took < 3.0


@BOTH
def test_a_server_that_says_nothing_meets_it_too(make: MakeProvider, good: Reply) -> None:
    got, _ = fail(make, faults.hang(1.5))
    assert "within 1 s" in str(got)


@BOTH
def test_huge_and_compressed_bodies_are_refused(make: MakeProvider, good: Reply) -> None:
    got, _ = fail(make, faults.huge(4 << 20))
    assert "more than 1048576 bytes" in str(got)
    got, _ = fail(make, faults.gzip_bomb())
    assert "compressed" in str(got)


@BOTH
def test_a_redirect_is_not_followed(make: MakeProvider, good: Reply) -> None:
    with serve([good]) as elsewhere:
        got, _ = fail(make, faults.redirect(f"{elsewhere.url}/v1/messages"))
        assert isinstance(got, RequestRejected)
        assert "redirect" in str(got)
        assert elsewhere.received == []


@BOTH
def test_cancel_is_heard_while_waiting(make: MakeProvider, good: Reply) -> None:
    got, took = fail(make, faults.hang(0.9), after(0.2))
    assert isinstance(got, Cancelled)
    assert took < 1.5


def test_an_error_event_inside_a_stream_may_have_been_billed() -> None:
    whole = dialects.anthropic("hello")
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}'
    error = b"event: error\ndata: " + body + b"\n\n"
    got, _ = fail(anthropic, replace(whole, pieces=(*whole.pieces[:3], error)))
    assert isinstance(got, RateLimited)
    assert got.billed == "unknown"


@BOTH
def test_error_texts_carry_no_terminal_controls(make: MakeProvider, good: Reply) -> None:
    got, _ = fail(make, faults.status(400, "\x1b]52;c;aGk=\x07\u202eevil"))
    assert not any(ord(c) < 32 or c in "\x7f\u202e" for c in str(got))


@BOTH
def test_the_environment_changes_nothing(
    make: MakeProvider, good: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:9"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "ANTHROPIC_BASE_URL"):
        monkeypatch.setenv(name, nowhere)
        monkeypatch.setenv(name.lower(), nowhere)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "someone-else")
    monkeypatch.setenv("ANTHROPIC_PROFILE", "no-such-profile")
    with serve([good]) as server:
        assert make(server).complete(ask(), lambda _: None, Never()).text == "hello world"
    assert "someone-else" not in str(server.received[0].headers)


@BOTH
def test_threads_and_sockets_do_not_pile_up(make: MakeProvider, good: Reply) -> None:
    before = threading.active_count()
    with serve([good, faults.cut(good, 1), faults.rate_limited()] * 3) as server:
        provider = make(server)
        for _ in range(3):
            provider.complete(ask(), lambda _: None, Never())
            for _ in range(2):
                with pytest.raises(ProviderError):
                    provider.complete(ask(), lambda _: None, Never())
    assert [t.name for t in threading.enumerate() if t.name.startswith("watch-")] == []
    assert threading.active_count() <= before + 1  # a server thread may still be ending
