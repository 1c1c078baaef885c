"""The OpenAI-compatible provider, over TCP and over a Unix socket."""

from typing import Any

import pytest

from agent.errors import EngineError, ProviderUnavailable
from agent.providers.http import HttpLimits
from agent.providers.openai_compatible import OpenAICompatibleProvider
from agent.types import Choice, DecodeHints, DecodeStats, Endpoint, ToolCall, ToolSpec, Usage
from tests.loopback import Loopback, dialects, serve
from tests.providers.asks import Never, ask

STATS = {
    "strategy": "mtp", "prefill_tokens": 40, "prefill_s": 0.5, "decode_tokens": 20,
    "decode_s": 1.0, "drafted": 12, "accepted": 9, "cycles": 6, "from_a_later_version": 1,
}  # fmt: skip


def provider(server: Loopback, **options: Any) -> OpenAICompatibleProvider:
    settings: dict[str, Any] = {
        "context_window": 8192,
        "location": "onprem",
        "name": "vllm",
        "limits": HttpLimits(total_s=5),
        **options,
    }
    endpoint = Endpoint(base_url=f"{server.url}/v1", uds=server.uds, api_key="key")
    return OpenAICompatibleProvider(endpoint=lambda: endpoint, model="qwen", **settings)


def test_streams_over_tcp() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 10},
    }
    seen: list[str] = []
    with serve([dialects.openai("hello world", usage=usage)]) as server:
        done = provider(server).complete(ask(seed=7, temperature=0.0), seen.append, Never())
    assert (done.text, "".join(seen), done.stop_reason) == ("hello world", "hello world", "end")
    assert done.usage == Usage(
        input=40, cache_read=60, output=20, thinking=10, raw=done.usage.raw
    )  # fmt: skip
    got = server.received[0]
    assert got.headers["authorization"] == "Bearer key"
    assert got.path == "/v1/chat/completions"
    assert got.body == {
        "model": "qwen",
        "messages": [
            {"role": "system", "content": "You plan."},
            {"role": "user", "content": "Fix the bug."},
        ],
        "max_tokens": 100,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
        "seed": 7,
    }


def test_our_worker_gets_hints_and_gives_statistics_over_a_unix_socket() -> None:
    hints = DecodeHints(step_kind="edit", edit_format="line", strategy="mtp", draft_length=2)
    extension = {"decode": STATS, "choices": [{"logprob": -1.5}, {"logprob": -2.5}]}
    request = ask(hints=hints, n=2, copy_sources=("a = 1\n", "b = 2\n"))
    with serve([dialects.openai(choices=("L1", "L2"), extension=extension)], unix=True) as server:
        done = provider(server, location="local", dialect="pointsman").complete(
            request, lambda _: None, Never()
        )
    body = server.received[0].body
    assert body["pointsman"] == {
        "step_kind": "edit",
        "edit_format": "line",
        "strategy": "mtp",
        "draft_length": 2,
        "beam": 0,
        "reproducible": False,
    }
    assert body["n"] == 2
    parts = [{"type": "text", "text": t} for t in request.copy_sources]
    assert body["prediction"] == {"type": "content", "content": parts}
    assert done.choices == (Choice(text="L1", logprob=-1.5), Choice(text="L2", logprob=-2.5))
    assert isinstance(done.decode, DecodeStats)
    assert (done.decode.acceptance_rate, done.decode.tokens_per_s) == (0.75, 20.0)


def test_other_servers_get_neither_hints_nor_prediction() -> None:
    with serve([dialects.openai("x")]) as server:
        provider(server).complete(ask(copy_sources=("text",)), lambda _: None, Never())
    assert not {"pointsman", "prediction"} & set(server.received[0].body)


def test_tools_and_schema() -> None:
    schema = '{"type":"object"}'
    reply = dialects.openai(tools=[("c1", "read", '{"path": "a"}'), ("c2", "read", "{}")])
    request = ask(
        tools=(ToolSpec(name="read", description="Reads.", schema=schema),), json_schema=schema
    )
    with serve([reply]) as server:
        done = provider(server).complete(request, lambda _: None, Never())
    assert done.stop_reason == "tool_use"
    assert done.tool_calls == (
        ToolCall(id="c1", name="read", arguments='{"path": "a"}'),
        ToolCall(id="c2", name="read", arguments="{}"),
    )
    body = server.received[0].body
    assert body["tools"][0]["function"]["parameters"] == {"type": "object"}
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_a_paid_api_must_say_what_it_used() -> None:
    chunks = dialects.openai_chunks("x")[:-1]
    from tests.loopback import Reply

    silent = Reply(pieces=dialects.openai_sse(chunks))
    with serve([silent, silent]) as server:
        done = provider(server).complete(ask(), lambda _: None, Never())
        assert done.usage == Usage()
        with pytest.raises(ProviderUnavailable) as caught:
            provider(server, location="frontier").complete(ask(), lambda _: None, Never())
    assert caught.value.billed == "unknown"


def test_a_worker_that_cannot_start_is_an_engine_error() -> None:
    def endpoint() -> Endpoint:
        raise EngineError("the model cannot be loaded")

    broken = OpenAICompatibleProvider(
        endpoint=endpoint, model="m", context_window=8192, location="local", name="worker"
    )
    with pytest.raises(EngineError, match="cannot be loaded"):
        broken.complete(ask(), lambda _: None, Never())


def test_nobody_listening_is_not_billed() -> None:
    with serve([]) as server:
        gone = provider(server)
    with pytest.raises(ProviderUnavailable, match="could not be reached") as caught:
        gone.complete(ask(), lambda _: None, Never())
    assert caught.value.billed == "no"
