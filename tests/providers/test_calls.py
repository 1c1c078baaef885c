"""Tool calls, thinking and pauses as servers send them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.providers.anthropic import AnthropicProvider
from agent.providers.calls import read_arguments
from agent.types import Completion, Message, Reading, Thought, ToolSpec
from tests.loopback import Loopback, Reply, dialects, serve
from tests.providers.asks import Never, ask
from tests.providers.test_openai_compatible import provider

SCHEMA = json.dumps({"type": "object", "properties": {"path": {"type": "string"}}})
TOOLS = (ToolSpec(name="read", description="Reads.", schema=SCHEMA),)
WANTED = {"path": "a.py"}


def frontier(server: Loopback) -> AnthropicProvider:
    return AnthropicProvider(
        api_key="k", model="claude-opus-5-5", context_window=200_000, base_url=server.url
    )


def streamed(
    deltas: list[dict[str, Any]],
    finish: str = "tool_calls",
    before: Sequence[dict[str, Any]] = (),
) -> Reply:
    """`before`: what our own worker says before the answer."""
    chunks = dialects.openai_chunks("")
    ours = [{**chunks[0], "choices": [], "pointsman": one} for one in before]
    body = [
        {**chunks[0], "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas
    ]
    end = {**chunks[0], "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    return Reply(pieces=dialects.openai_sse([*ours, *body, end, chunks[-1]]))


def one(arguments: Any, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"function": {"name": "read", "arguments": arguments}, **more}]}


def answered(reply: Reply) -> Completion:
    with serve([reply]) as server:
        return provider(server).complete(ask(tools=TOOLS), lambda _: None, Never())


@pytest.mark.parametrize(
    "arguments",
    [
        '{"path": "a.py"}',
        {"path": "a.py"},
        '"{\\"path\\": \\"a.py\\"}"',
        '```json\n{"path": "a.py"}\n```',
        "{'path': 'a.py'}",
        '{"path": "a.py"}}',
        '{"path": "a.py"}{"path": "a.py"}',
        ' \n{"path": "a.py"}\n',
    ],
)
def test_arguments_are_read_as_meant(arguments):
    done = answered(streamed([one(arguments, index=0, id="x")]))
    (call,) = done.tool_calls
    assert (json.loads(call.arguments), call.malformed, call.id) == (WANTED, "", "x")


@pytest.mark.parametrize("arguments", ['{"path": "a.py', "path=a.py", "[1]", '{"a":1}{"a":2}'])
def test_arguments_that_mean_nothing_are_kept_apart_and_never_guessed(arguments):
    done = answered(streamed([one(arguments, index=0, id="x")]))
    (call,) = done.tool_calls
    assert (call.arguments, call.malformed) == ("{}", arguments)


def test_calls_without_ids_or_with_one_index_are_told_apart():
    two = [one('{"path": "a.py"}', index=0, id="x"), one('{"path": "b.py"}', index=0, id="y")]
    done = answered(streamed(two))
    assert [json.loads(c.arguments)["path"] for c in done.tool_calls] == ["a.py", "b.py"]
    bare = answered(streamed([one('{"path": "a.py"}')], finish="stop"))
    assert len(bare.tool_calls) == 1
    assert bare.tool_calls[0].id
    assert bare.stop_reason == "tool_use"


@pytest.mark.parametrize(
    "text",
    [
        'I look.\n<tool_call>\n{"name": "read", "arguments": {"path": "a.py"}}\n</tool_call>',
        "<tool_call>\n<function=read>\n<parameter=path>\na.py\n</parameter>\n</function>\n</tool_call>",
        '{"name": "read", "arguments": {"path": "a.py"}}',
    ],
)
def test_calls_that_a_server_leaves_in_the_text(text):
    done = answered(dialects.openai(text))
    (call,) = done.tool_calls
    assert json.loads(call.arguments) == WANTED
    assert "tool_call" not in done.text


def test_text_that_only_looks_like_a_call_stays_text():
    text = '{"name": "rm", "arguments": {"path": "a.py"}}'
    done = answered(dialects.openai(text))
    assert (done.text, done.tool_calls) == (text, ())


def test_a_call_cut_by_the_length_limit_is_dropped():
    done = answered(streamed([one('{"path": "a.', index=0, id="x")], finish="length"))
    assert (done.tool_calls, done.stop_reason) == ((), "length")


def test_thinking_is_streamed_apart_from_the_text():
    deltas = [{"reasoning_content": "hm"}, {"content": "yes"}]
    seen: list[str] = []
    with serve([streamed(deltas, finish="stop")]) as server:
        done = provider(server).complete(ask(), seen.append, Never())
    assert done.text == "yes"
    assert [(str(s), isinstance(s, Thought)) for s in seen] == [("hm", True), ("yes", False)]


def test_how_far_the_prompt_is_comes_apart_from_the_text():
    chunks = [{"prefill": {"done": 512, "total": 900}}, {"prefill": {"done": 9, "total": "x"}}]
    deltas = [{"content": "yes"}]
    seen: list[str] = []
    with serve([streamed(deltas, finish="stop", before=chunks)]) as server:
        done = provider(server).complete(ask(), seen.append, Never())
    assert done.text == "yes" == "".join(seen)
    assert [(s.done, s.total) for s in seen if isinstance(s, Reading)] == [(512, 900)]


def test_signed_thinking_goes_back_as_it_came():
    reply = dialects.anthropic("I look.", thinking="hm", tools=[("t1", "read", json.dumps(WANTED))])
    seen: list[str] = []
    with serve([reply, dialects.anthropic("done")]) as server:
        done = frontier(server).complete(ask(tools=TOOLS, thinking=True), seen.append, Never())
        turn = Message(
            role="assistant", content=done.text, tool_calls=done.tool_calls, native=done.native
        )
        result = Message(role="tool", content="x = 1", tool_call_id="t1")
        frontier(server).complete(
            ask(messages=(Message(role="user", content="go"), turn, result), tools=TOOLS),
            lambda _: None,
            Never(),
        )
    assert [s for s in seen if isinstance(s, Thought)] == ["hm"]
    assert done.text == "I look."
    assert server.received[1].body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "signed:hm"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "t1", "name": "read", "input": WANTED},
    ]


def test_a_paused_turn_is_no_end():
    with serve([dialects.anthropic("so far", stop_reason="pause_turn")]) as server:
        done = frontier(server).complete(ask(), lambda _: None, Never())
    assert (done.stop_reason, done.native) == ("pause", "")


@pytest.mark.parametrize(("choice", "sent"), [("none", "none"), ("required", "any")])
def test_tool_choice(choice, sent):
    with serve([dialects.anthropic("x")]) as server:
        frontier(server).complete(ask(tools=TOOLS, tool_choice=choice), lambda _: None, Never())
    assert server.received[0].body["tool_choice"] == {"type": sent}


LEAF = st.none() | st.booleans() | st.integers() | st.text()


@given(st.dictionaries(st.text(), st.recursive(LEAF, st.lists, max_leaves=5)))
def test_any_object_is_read_whole(value):
    assert json.loads(read_arguments(json.dumps(value))[0]) == value
    assert json.loads(read_arguments(value)[0]) == value


@given(st.text())
def test_any_text_gives_an_object_or_is_malformed(text):
    arguments, malformed = read_arguments(text)
    assert isinstance(json.loads(arguments), dict)
    assert not malformed or arguments == "{}"
