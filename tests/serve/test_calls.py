"""Tool choice, constrained arguments and thinking, over the worker's socket and in its parts."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent.engine.callgrammar import after_open, forced
from agent.engine.grammar import CallGrammar, Grammar
from agent.engine.llama import Model
from agent.errors import RequestRejected
from agent.serve.parts import PartStream, part
from agent.serve.supervise import ensure_worker

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"enum": ["Lima", "Oslo"]},
                "days": {"type": "boolean"},
            },
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
STOP = {
    "type": "function",
    "function": {
        "name": "stop",
        "parameters": {"type": "object", "properties": {"now": {"type": "boolean"}},
                       "required": ["now"], "additionalProperties": False},
    },
}  # fmt: skip
HELLO = [{"role": "user", "content": "weather?"}]


@pytest.fixture(scope="module")
def client(tiny_model: Path, shared_runtime: Path) -> Any:
    endpoint = ensure_worker(tiny_model, runtime_dir=shared_runtime, context=2048, idle_s=120)
    transport = httpx2.HTTPTransport(uds=str(endpoint.uds))
    with httpx2.Client(transport=transport, base_url=endpoint.base_url, timeout=30) as made:
        yield made


def ask(client: httpx2.Client, **fields: Any) -> httpx2.Response:
    body = {"messages": HELLO, "max_tokens": 200, "seed": 5, **fields}
    return client.post("/chat/completions", json=body)


@pytest.mark.parametrize("strategy", ["plain", "mtp"])
def test_a_required_call_is_made_and_fits_its_schema(client: httpx2.Client, strategy: str) -> None:
    body = ask(
        client,
        tools=[WEATHER, STOP],
        tool_choice="required",
        parallel_tool_calls=False,
        pointsman={"strategy": strategy},
    ).json()
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == ""
    (call,) = choice["message"]["tool_calls"]
    arguments = json.loads(call["function"]["arguments"])
    if call["function"]["name"] == "get_weather":
        assert arguments["city"] in ("Lima", "Oslo")
        assert isinstance(arguments["days"], bool)
    else:
        assert isinstance(arguments["now"], bool)


def test_a_named_tool_is_the_one_that_is_called_in_every_choice(client: httpx2.Client) -> None:
    named = {"type": "function", "function": {"name": "stop"}}
    fields = {"tools": [WEATHER, STOP], "tool_choice": named, "n": 3}
    body = ask(client, **fields).json()
    names = [c["message"]["tool_calls"][0]["function"]["name"] for c in body["choices"]]
    assert names == ["stop"] * 3
    with client.stream(
        "POST", "/chat/completions",
        json={"messages": HELLO, "max_tokens": 200, "stream": True, "seed": 5, **fields},
    ) as response:  # fmt: skip
        lines = [x.removeprefix("data: ") for x in response.iter_lines() if x.startswith("data: {")]
    found = [c for line in lines for c in json.loads(line)["choices"]]
    calls = {c["index"]: c["delta"]["tool_calls"] for c in found if "tool_calls" in c["delta"]}
    assert sorted(calls) == [0, 1, 2]
    assert {c[0]["function"]["name"] for c in calls.values()} == {"stop"}


def test_no_choice_and_a_choice_of_nothing(client: httpx2.Client) -> None:
    body = ask(client, tools=[WEATHER], tool_choice="none", max_tokens=8).json()
    assert "tool_calls" not in body["choices"][0]["message"]
    for fields in (
        {"tool_choice": "required"},
        {"tools": [STOP], "tool_choice": {"type": "function", "function": {"name": "go"}}},
        {"tools": [{"type": "function"}]},
        {"tools": [STOP], "tool_choice": "required", "response_format": {"type": "json_object"}},
    ):
        response = ask(client, **fields)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


def test_several_choices_under_a_schema(client: httpx2.Client) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}  # fmt: skip
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    body = ask(client, n=4, response_format=form, temperature=3).json()
    found = [json.loads(c["message"]["content"])["ok"] for c in body["choices"]]
    assert len(found) == 4
    assert all(isinstance(x, bool) for x in found)
    refused = ask(client, n=4, response_format=form, pointsman={"beam": 4})
    assert "beam" in refused.json()["error"]["message"]


def test_errors_are_objects_of_the_dialect_everywhere(client: httpx2.Client) -> None:
    for path, status in (("/nothing", 404), ("/chat/completions", 405)):
        response = client.get(path)
        assert response.status_code == status
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_tokens_of_messages_and_back(client: httpx2.Client) -> None:
    root = httpx2.URL("http://worker/tokenize")
    of_chat = client.post(root, json={"messages": HELLO}).json()
    usage = ask(client, max_tokens=1).json()["usage"]
    assert of_chat["count"] == len(of_chat["tokens"]) == usage["prompt_tokens"]
    tokens = client.post(root, json={"content": "naïve — text"}).json()["tokens"]
    back = httpx2.URL("http://worker/detokenize")
    assert client.post(back, json={"tokens": tokens}).json()["content"] == "naïve — text"
    assert client.post(back, json={"tokens": [10**9]}).status_code == 400
    assert client.post(root, json={"content": "x", "messages": HELLO}).status_code == 400


# --------------------------------------------------------------------------- parts


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    made = Model(tiny_model)
    yield made
    made.close()


def accepts(grammar: Grammar | CallGrammar, model: Model, text: str) -> bool:
    """Whether a constraint lets the text through, token by token."""
    for token in model.tokenize(text, special=False):
        if not grammar.allows(token):
            return False
        grammar.accept(token)
    return True


TAGGED = (
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nLima\n</parameter>\n"
    "<parameter=days>\ntrue\n</parameter>\n</function>\n</tool_call>"
)
AS_JSON = (
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": false}}\n'
    "</tool_call>"
)


def test_both_forms_of_a_call_follow_their_schema(model: Model) -> None:
    for form, right, wrong in (
        ("tagged", TAGGED, TAGGED.replace("Lima", "Rome")),
        ("json", AS_JSON, AS_JSON.replace("false", "1")),
    ):
        source = forced([WEATHER], form)  # type: ignore[arg-type]
        for text, expected in ((right, True), (wrong, False)):
            grammar = Grammar(model, source)
            assert accepts(grammar, model, text) is expected, (form, text)
            assert not expected or grammar.allows(model.end_token())
            grammar.close()


def test_a_call_is_not_drowned_in_white_space(model: Model) -> None:
    """A weak model under a grammar prefers the token that is always allowed, to its limit."""
    for white, expected in (("", True), ("\n\n", True), ("\n" * 40, False)):
        grammar = Grammar(model, forced([WEATHER], "json"))
        text = AS_JSON.replace("\n</tool_call>", f"{white}</tool_call>")
        assert accepts(grammar, model, text) is expected, white
        grammar.close()


def test_a_text_parameter_may_hold_anything_but_its_own_end(model: Model) -> None:
    write = {"function": {"name": "write", "parameters": {
        "properties": {"text": {"type": "string"}, "mode": {"type": "integer"}},
        "required": ["text"]}}}  # fmt: skip
    grammar = Grammar(model, forced([write], "tagged"))
    body = "<b>if a < b:</b>\n  </p>\n</para>"
    call = f"<tool_call>\n<function=write>\n<parameter=text>\n{body}\n</parameter>\n</function>\n"
    assert accepts(grammar, model, call + "</tool_call>")
    grammar.close()
    (made,) = part(call + "</tool_call>", tools=[write], thinking=False).calls
    assert json.loads(made.arguments) == {"text": body}


def test_a_free_answer_is_held_to_the_schema_only_inside_a_call(model: Model) -> None:
    for text, expected in (
        (f"Let me {{see}}.\n{TAGGED}\nand\n{TAGGED} done", True),
        (TAGGED.replace("true", "maybe"), False),
        ("<tool_call", True),
    ):
        constraint = CallGrammar(model, after_open([WEATHER], "tagged"))
        assert accepts(constraint, model, text) is expected, text
        constraint.close()


def test_thinking_comes_before_a_forced_call(model: Model) -> None:
    grammar = Grammar(model, forced([WEATHER], "json", thinking=True))
    assert accepts(grammar, model, f"hm, <tool_call> is {{ it\n</think>\n\n{AS_JSON}")
    grammar.close()


def test_a_schema_with_definitions_keeps_them(model: Model) -> None:
    tool = {"function": {"name": "f", "parameters": {
        "$defs": {"P": {"type": "object", "properties": {"x": {"type": "integer"}},
                        "required": ["x"], "additionalProperties": False}},
        "properties": {"at": {"$ref": "#/$defs/P"}}, "required": ["at"]}}}  # fmt: skip
    for form, value in (
        ("json", '<tool_call>{"name": "f", "arguments": {"at": {"x": 3}}}</tool_call>'),
        ("tagged", '<tool_call><function=f>\n<parameter=at>\n{"x": 3}\n</parameter>\n</function>'
                   "</tool_call>"),
    ):  # fmt: skip
        grammar = Grammar(model, forced([tool], form))  # type: ignore[arg-type]
        assert accepts(grammar, model, value), form
        grammar.close()


def test_a_tool_whose_schema_is_nonsense_is_refused() -> None:
    tool = {"function": {"name": "f", "parameters": {"type": "object", "properties": 3}}}
    for form in ("json", "tagged"):
        with pytest.raises(RequestRejected):
            forced([tool], form)  # type: ignore[arg-type]


CASES = [
    ("plain text", False, "", "plain text", 0),
    ("<think>\nwhy\n</think>\n\nbecause", False, "why", "because", 0),
    ("why\nnot</think>so", True, "why\nnot", "so", 0),
    ("endless thought", True, "endless thought", "", 0),
    ("  <thin ice", False, "", "  <thin ice", 0),
    (f"I look.\n{TAGGED}", False, "", "I look.", 1),
    (f"<think>x</think>{TAGGED}\n{AS_JSON}", False, "x", "", 2),
    ("<tool_call>\nbroken\n</tool_call>", False, "", "<tool_call>\nbroken\n</tool_call>", 0),
]


@pytest.mark.parametrize(("text", "thinking", "thought", "said", "calls"), CASES)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_answer_is_told_apart_whole_and_as_it_comes(
    text: str, thinking: bool, thought: str, said: str, calls: int, size: int
) -> None:
    whole = part(text, tools=[WEATHER], thinking=thinking)
    assert (whole.reasoning, whole.content, len(whole.calls)) == (thought, said, calls)
    stream = PartStream(tools=[WEATHER], thinking=thinking)
    deltas = [d for i in range(0, len(text), size) for d in stream.feed(text[i : i + size])]
    rest, found = stream.finish()
    gathered = {"reasoning_content": "", "content": ""}
    for field, piece in (*deltas, *rest):
        gathered[field] += piece
    assert gathered["reasoning_content"] == thought
    assert gathered["content"].strip() == said.strip()
    assert found == whole.calls
