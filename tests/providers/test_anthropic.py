"""The Anthropic provider through the real SDK, against a loopback server."""

import json
from typing import Any

import pytest

from agent.errors import ContextOverflow, ProviderUnavailable, RequestRejected
from agent.providers.anthropic import AnthropicProvider
from agent.providers.http import HttpLimits
from agent.types import Message, ToolCall, ToolSpec, Usage
from tests.loopback import Loopback, dialects, serve
from tests.providers.asks import Never, ask

SCHEMA = '{"type":"object","properties":{"x":{"type":"string"}},"required":["x"]}'


def provider(server: Loopback, **options: Any) -> AnthropicProvider:
    settings = {"context_window": 200_000, "limits": HttpLimits(total_s=5), **options}
    return AnthropicProvider(
        api_key="sk-test", model="claude-opus-5-5", base_url=server.url, **settings
    )


def test_streams_and_counts_disjoint_buckets() -> None:
    usage = {
        "cache_read_input_tokens": 7,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
    }
    seen: list[str] = []
    with serve([dialects.anthropic("hello world", usage=usage, output_tokens=9)]) as server:
        done = provider(server).complete(ask(), seen.append, Never())
    assert (done.text, done.stop_reason, done.location) == ("hello world", "end", "frontier")
    assert len(seen) == 2
    assert "".join(seen) == done.text
    raw = json.loads(done.usage.raw)
    assert raw["cache_creation"]["ephemeral_1h_input_tokens"] == 10
    assert done.usage == Usage(
        input=10, cache_read=7, cache_write_5m=20, cache_write_1h=10, output=9, raw=done.usage.raw
    )


def test_thinking_tokens_are_part_of_output_there_and_apart_here() -> None:
    events = dialects.anthropic_events("ok", output_tokens=50)
    events[-2]["usage"]["output_tokens_details"] = {"thinking_tokens": 30}
    from tests.loopback import Reply

    with serve([Reply(pieces=dialects.anthropic_sse(events))]) as server:
        done = provider(server).complete(ask(thinking=True), lambda _: None, Never())
    assert (done.usage.output, done.usage.thinking) == (20, 30)
    assert server.received[0].body["thinking"] == {"type": "adaptive"}


def test_what_is_sent() -> None:
    request = ask(
        messages=(
            Message(role="system", content="You plan."),
            Message(role="user", content="Look."),
            Message(
                role="assistant",
                content="",
                tool_calls=(ToolCall(id="t1", name="read", arguments='{"path": "a.py"}'),),
            ),
            Message(role="tool", content="x = 1", tool_call_id="t1"),
            Message(role="user", content="Go on."),
        ),
        json_schema=SCHEMA,
        tools=(ToolSpec(name="read", description="Reads.", schema=SCHEMA),),
        stop=("END",),
    )
    with serve([dialects.anthropic("{}")]) as server:
        provider(server).complete(request, lambda _: None, Never())
    got = server.received[0]
    assert got.path == "/v1/messages"
    assert got.headers["authorization"] == "Bearer sk-test"
    assert got.headers["accept-encoding"] == "identity"
    cache = {"type": "ephemeral", "ttl": "5m"}
    assert got.body == {
        "model": "claude-opus-5-5",
        "max_tokens": 100,
        "stream": True,
        "cache_control": cache,
        "system": [{"type": "text", "text": "You plan.", "cache_control": cache}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look."}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "t1", "name": "read", "input": {"path": "a.py"}}
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "x = 1"},
                    {"type": "text", "text": "Go on."},
                ],
            },
        ],
        "stop_sequences": ["END"],
        "output_config": {"format": {"type": "json_schema", "schema": json.loads(SCHEMA)}},
        "tools": [
            {
                "name": "read",
                "description": "Reads.",
                "input_schema": json.loads(SCHEMA),
                "strict": True,
            }
        ],
    }


def test_tool_calls_come_whole() -> None:
    reply = dialects.anthropic("Reading.", tools=[("t1", "read", '{"path": "a.py"}')])
    with serve([reply]) as server:
        done = provider(server).complete(ask(), lambda _: None, Never())
    assert done.stop_reason == "tool_use"
    assert done.tool_calls == (ToolCall(id="t1", name="read", arguments='{"path": "a.py"}'),)


def test_a_call_cut_by_max_tokens_is_never_acted_on() -> None:
    reply = dialects.anthropic(tools=[("t1", "rm", '{"path": "/')], stop_reason="max_tokens")
    with serve([reply]) as server:
        done = provider(server).complete(ask(), lambda _: None, Never())
    assert (done.stop_reason, done.tool_calls) == ("length", ())


@pytest.mark.parametrize("reason", ["surprise", None])
def test_unknown_stop_reasons_are_errors(reason: str | None) -> None:
    events = dialects.anthropic_events("text")
    events[-2]["delta"]["stop_reason"] = reason
    from tests.loopback import Reply

    with (
        serve([Reply(pieces=dialects.anthropic_sse(events))]) as server,
        pytest.raises(ProviderUnavailable) as caught,
    ):
        provider(server).complete(ask(), lambda _: None, Never())
    assert caught.value.billed == "unknown"


def test_a_full_window_is_an_overflow_that_was_billed() -> None:
    reply = dialects.anthropic("te", stop_reason="model_context_window_exceeded")
    with serve([reply]) as server, pytest.raises(ContextOverflow) as caught:
        provider(server).complete(ask(), lambda _: None, Never())
    assert caught.value.billed == "unknown"


def test_what_cannot_fit_is_refused_before_sending() -> None:
    with serve([]) as server, pytest.raises(ContextOverflow) as caught:
        provider(server, context_window=50).complete(ask(), lambda _: None, Never())
    assert (caught.value.billed, server.received) == ("no", [])


def test_a_broken_schema_is_our_fault_and_not_sent() -> None:
    with serve([]) as server, pytest.raises(RequestRejected, match="not JSON"):
        provider(server).complete(ask(json_schema="{"), lambda _: None, Never())
    assert server.received == []
