"""`agent serve` as its clients see it: a real process, the real Anthropic SDK, OpenAI over HTTP."""

import json
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from agent.serve.supervise import stop_all, worker_status
from tests.loopback.server import Loopback
from tests.serve.served import SECRET, Served, served

HELLO = [{"role": "user", "content": "hello"}]
STOP: dict[str, Any] = {
    "name": "stop",
    "description": "stop it",
    "input_schema": {
        "type": "object",
        "properties": {"now": {"type": "boolean"}},
        "required": ["now"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def front(
    tiny_model: Path, paid: Loopback, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    home, runtime = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("rt")
    words = ("--local-model", str(tiny_model))
    keys = {"ANTHROPIC_API_KEY": "sk-ant-test", "POINTSMAN_ANTHROPIC_BASE_URL": paid.url}
    with served(home, runtime, *words, **keys) as running:
        yield running
    stop_all(runtime / "pointsman")


@pytest.fixture
def sdk(front: Served) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key=front.token, base_url=front.url, max_retries=0) as client:
        yield client


# --------------------------------------------------------------------------- who may ask


def test_only_the_holder_of_the_token_is_answered(front: Served) -> None:
    with httpx2.Client(base_url=front.url) as http:
        for path in ("/v1/models", "/health", "/nowhere"):
            assert http.get(path).status_code == 401
        wrong = http.get("/v1/models", headers={"authorization": "Bearer x"})
        assert wrong.json()["error"]["code"] == "invalid_api_key"
        right = http.get("/v1/models", headers={"x-api-key": front.token})
        assert right.status_code == 200


@pytest.mark.parametrize(
    ("header", "value"),
    [("host", "evil.example"), ("host", "evil.example:80"), ("host", "127.0.0.1.evil.example"),
     ("origin", "https://evil.example"), ("origin", "null"), ("origin", "http://127.0.0.1")],
)  # fmt: skip
def test_web_pages_and_other_names_are_refused_even_with_it(
    front: Served, header: str, value: str
) -> None:
    with front.http as http:
        assert http.get("/v1/models", headers={header: value}).status_code == 403


def test_the_token_is_private_and_survives_the_server(front: Served, tmp_path: Path) -> None:
    from agent.serve.front.run import token

    file = front.home / "state" / "pointsman" / "serve.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert front.token in front.errors.read_text(), "shown once, when it was made"
    assert token(file) == (front.token, False)
    mine = tmp_path / "t"
    first, new = token(mine)
    assert new
    mine.chmod(0o644)
    second, new = token(mine)
    assert new, "others could have read it"
    assert first != second
    assert token(mine, new=True)[0] != second


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "example.org"])
def test_only_loopback_is_listened_on(host: str) -> None:
    from agent.errors import PolicyError
    from agent.serve.front.run import listen

    with pytest.raises(PolicyError, match="loopback"):
        listen(host, 0)


# --------------------------------------------------------------------------- OpenAI


def test_a_chat_is_answered_locally_and_written_down(front: Served) -> None:
    body = front.chat(model=_local(front)).json()
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert body["pointsman"]["location"] == "local"
    assert body["usage"]["completion_tokens"] <= 16
    (row, *_) = front.rows()
    assert (row.state, row.entry.location, row.entry.repo_key) == ("settled", "local", "serve")
    assert row.usage.output == body["usage"]["completion_tokens"]


def test_a_stream_says_the_same_and_ends_with_usage(front: Served) -> None:
    model = _local(front)
    fields = {"model": model, "temperature": 0, "max_tokens": 24}
    whole = front.chat(**fields).json()["choices"][0]["message"]["content"]
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    with front.http as http, http.stream(
        "POST", "/v1/chat/completions", json={"messages": HELLO, **fields, **stream}
    ) as response:  # fmt: skip
        lines = [x.removeprefix("data: ") for x in response.iter_lines() if x.startswith("data")]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(x) for x in lines[:-1]]
    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]
    assert "".join(d.get("content", "") for d in deltas) == whole
    assert chunks[-1]["usage"]["completion_tokens"] == 24
    assert chunks[-1]["pointsman"]["decode"]["decode_tokens"] == 24
    assert len({c["id"] for c in chunks}) == 1


def test_choices_schemas_tools_and_predictions_reach_the_engine(front: Served) -> None:
    model = _local(front)
    assert len(front.chat(model=model, n=3).json()["choices"]) == 3
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}  # fmt: skip
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    body = front.chat(model=model, response_format=form, max_tokens=64).json()
    assert isinstance(json.loads(body["choices"][0]["message"]["content"])["ok"], bool)
    tool = {"type": "function", "function": {"name": "stop", "parameters": STOP["input_schema"]}}
    body = front.chat(model=model, tools=[tool], tool_choice="required", max_tokens=100).json()
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    call = body["choices"][0]["message"]["tool_calls"][0]["function"]
    assert isinstance(json.loads(call["arguments"])["now"], bool)
    plain = front.chat(model=model, temperature=0, max_tokens=60).json()
    text = plain["choices"][0]["message"]["content"]
    repeat = front.chat(
        model=model, temperature=0, max_tokens=60, pointsman={"strategy": "copy"},
        prediction={"type": "content", "content": text},
    ).json()  # fmt: skip
    assert repeat["choices"][0]["message"]["content"] == text
    assert repeat["pointsman"]["decode"]["accepted"] > 10


def test_models_are_listed_for_both_dialects(front: Served, sdk: anthropic.Anthropic) -> None:
    with front.http as http:
        ids = [m["id"] for m in http.get("/v1/models").json()["data"]]
        assert http.get(f"/v1/models/{ids[-1]}").json()["object"] == "model"
        assert http.get("/v1/models/none").status_code == 404
    assert ids[0] == "auto"
    assert len(ids) == 3
    assert [m.id for m in sdk.models.list()] == ids


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"messages": []}, 400, "invalid_request"),
        ({"model": "gpt-nonsense"}, 404, "model_not_found"),
        ({"tool_choice": "required"}, 400, "invalid_request"),
        ({"messages": [{"role": "user", "content": "x" * 90_000}]}, 400, "context_length_exceeded"),
        ({"pointsman": {"step_kind": "dance"}}, 400, "invalid_request"),
    ],
)
def test_errors_are_of_the_dialect(
    front: Served, fields: dict[str, Any], status: int, code: str
) -> None:
    response = front.chat(**{"model": "local", **fields})
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert response.json()["error"]["code"] == code


# --------------------------------------------------------------------------- Anthropic


def test_the_sdk_talks_to_the_local_model(front: Served, sdk: anthropic.Anthropic) -> None:
    model = _local(front)
    done = sdk.messages.create(model=model, max_tokens=12, messages=HELLO)  # type: ignore[arg-type]
    assert done.content[0].type == "text"
    assert done.stop_reason == "max_tokens"
    assert done.usage.output_tokens == 12
    with sdk.messages.stream(
        model=model, max_tokens=12, messages=HELLO, system="be brief"  # type: ignore[arg-type]
    ) as stream:  # fmt: skip
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert final.content[0].type == "text"
    assert final.content[0].text == text
    counted = sdk.messages.count_tokens(model=model, messages=HELLO, system="be brief")  # type: ignore[arg-type]
    used = final.usage
    assert counted.input_tokens == used.input_tokens + (used.cache_read_input_tokens or 0)


def test_the_sdk_gets_tool_calls_and_sends_results(front: Served, sdk: anthropic.Anthropic) -> None:
    model = _local(front)
    asked: dict[str, Any] = {"model": model, "max_tokens": 100, "tools": [STOP]}
    forced = {"type": "tool", "name": "stop"}
    with sdk.messages.stream(messages=HELLO, tool_choice=forced, **asked) as stream:  # type: ignore[arg-type]
        final = stream.get_final_message()
    (call,) = final.content
    assert call.type == "tool_use"
    assert isinstance(call.input, dict)
    assert final.stop_reason == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "done"}
    turns: Any = [
        *HELLO,
        {"role": "assistant", "content": final.content},
        {"role": "user", "content": [result, {"type": "text", "text": "and now?"}]},
    ]
    after = sdk.messages.create(messages=turns, tool_choice={"type": "none"}, **asked)
    assert after.role == "assistant"


def test_the_sdk_gets_errors_it_knows(front: Served, sdk: anthropic.Anthropic) -> None:
    good: dict[str, Any] = {"model": "local", "max_tokens": 8, "messages": HELLO}
    cases: tuple[tuple[dict[str, Any], type[anthropic.APIStatusError]], ...] = (
        ({"model": "claude-nonsense"}, anthropic.NotFoundError),
        ({"max_tokens": 0}, anthropic.BadRequestError),
        ({"tools": [{"type": "web_search_20260209", "name": "web"}]}, anthropic.BadRequestError),
        ({"messages": [*HELLO, {"role": "assistant", "content": "I"}]}, anthropic.BadRequestError),
    )
    for change, kind in cases:
        with pytest.raises(kind):
            sdk.messages.create(**{**good, **change})
    picture: Any = {"role": "user", "content": [{"type": "image", "source": {
        "type": "base64", "media_type": "image/png", "data": "AAAA"}}]}  # fmt: skip
    with pytest.raises(anthropic.BadRequestError, match="only text"):
        sdk.messages.create(**{**good, "messages": [picture]})
    stranger = anthropic.Anthropic(api_key="wrong", base_url=front.url, max_retries=0)
    with pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(**good)


# --------------------------------------------------------------------------- routes and money


def test_what_no_local_model_can_do_goes_to_the_paid_one_and_is_paid(
    front: Served, paid: Loopback, sdk: anthropic.Anthropic
) -> None:
    done = sdk.messages.create(model="auto", max_tokens=50, messages=HELLO)  # type: ignore[arg-type]
    assert done.content[0].type == "text"
    assert done.content[0].text == "four words of answer"
    (row, *_) = front.rows()
    assert (row.entry.location, row.state) == ("frontier", "settled")
    assert row.entry.reserved_usd_micro is not None
    assert row.usd_micro is not None
    assert 0 < row.usd_micro < row.entry.reserved_usd_micro
    body = front.chat(model="auto", tools=[{"type": "function", "function": {
        "name": "stop", "parameters": STOP["input_schema"]}}]).json()  # fmt: skip
    assert body["choices"][0]["message"]["tool_calls"][0]["id"] == "toolu_1"
    assert body["pointsman"]["location"] == "frontier"
    assert "strict" not in paid.received[-1].body["tools"][0]


def test_secrets_stay_here_and_come_back(front: Served, paid: Loopback) -> None:
    asked = [{"role": "user", "content": f"secret {SECRET}?"}]
    body = front.chat(model="auto", messages=asked).json()
    assert SECRET not in paid.received[-1].raw.decode()
    assert SECRET in body["choices"][0]["message"]["content"]


def test_a_label_keeps_a_request_here(front: Served, paid: Loopback) -> None:
    before = len(paid.received)
    response = front.chat(model="auto", pointsman={"privacy": "local_only"})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "policy")
    assert response.headers["x-should-retry"] == "false"
    assert len(paid.received) == before


def test_an_overloaded_upstream_is_told_and_not_hammered(front: Served, paid: Loopback) -> None:
    before = len(paid.received)
    response = front.chat(model="auto", messages=[{"role": "user", "content": "overload"}])
    assert (response.status_code, response.json()["error"]["code"]) == (429, "rate_limited")
    assert len(paid.received) == before + 1
    assert front.rows()[0].state == "released"


# --------------------------------------------------------------------------- ends


def test_a_client_that_leaves_frees_the_engine_and_closes_its_row(front: Served) -> None:
    fields = {"model": _local(front), "max_tokens": 3500, "temperature": 1.5, "stream": True}
    with front.http as http, http.stream(
        "POST", "/v1/chat/completions", json={"messages": HELLO, **fields}
    ) as response:  # fmt: skip
        said = (x for x in response.iter_lines() if '"content": ' in x)
        next(x for x in said if '"content": ""' not in x)  # the first chunk is before the request
        assert front.rows()[0].state == "reserved"
    deadline = time.monotonic() + 10
    while front.rows()[0].state == "reserved":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert front.rows()[0].state == "unknown"
    assert front.chat(model=_local(front)).status_code == 200


def test_clients_at_once_are_all_answered(front: Served) -> None:
    codes: list[int] = []

    def one() -> None:
        codes.append(front.chat(model=_local(front), max_tokens=40).status_code)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 6


def test_a_worker_that_dies_is_replaced_for_the_next_request(front: Served) -> None:
    import os
    import signal

    (worker,) = worker_status(front.home.parent / _runtime(front) / "pointsman")
    os.kill(worker.pid, signal.SIGKILL)
    body = front.chat(model=_local(front)).json()
    assert body["pointsman"]["location"] == "local"
    assert "the engine worker had died" in front.errors.read_text()


def _local(front: Served) -> str:
    with front.http as http:
        data = http.get("/v1/models").json()["data"]
    return str(next(m["id"] for m in data if m["owned_by"] == "local"))


def _runtime(front: Served) -> str:
    names = [p.name for p in front.home.parent.iterdir() if p.name.startswith("rt")]
    return names[0]
