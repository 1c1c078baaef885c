"""The worker's HTTP dialect over its real Unix socket."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent.serve.supervise import ensure_worker, stop_all

HELLO = [{"role": "user", "content": "def add(a, b): return a - b"}]


@pytest.fixture(scope="module")
def client(tiny_model: Path, shared_runtime: Path) -> Iterator[httpx2.Client]:
    endpoint = ensure_worker(tiny_model, runtime_dir=shared_runtime, context=2048, idle_s=120)
    assert endpoint.uds is not None
    transport = httpx2.HTTPTransport(uds=str(endpoint.uds))
    with httpx2.Client(transport=transport, base_url=endpoint.base_url, timeout=30) as made:
        yield made


def ask(client: httpx2.Client, **fields: Any) -> Any:
    body = {"messages": HELLO, "temperature": 0, "max_tokens": 24, **fields}
    response = client.post("/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def text_of(body: Any) -> str:
    content: str = body["choices"][0]["message"]["content"]
    return content


def events_of(response: httpx2.Response) -> list[Any]:
    lines = [line for line in response.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_an_answer_says_how_it_was_decoded(client: httpx2.Client) -> None:
    body = ask(client, pointsman={"step_kind": "edit", "strategy": "mtp", "draft_length": 2})
    decode = body["pointsman"]["decode"]
    assert decode["strategy"] == "mtp:2"
    assert decode["decode_tokens"] == body["usage"]["completion_tokens"] == 24
    assert 0 < decode["accepted"] <= decode["drafted"]
    assert body["choices"][0]["finish_reason"] == "length"


def test_every_strategy_gives_the_same_answer(client: httpx2.Client) -> None:
    plain = ask(client, max_tokens=80, pointsman={"strategy": "plain"})
    for strategy in ("auto", "mtp", "copy", "combined"):
        other = ask(
            client,
            max_tokens=80,
            pointsman={"strategy": strategy},
            prediction={"type": "content", "content": text_of(plain)},
        )
        assert text_of(other) == text_of(plain), strategy
    assert plain["pointsman"]["decode"]["drafted"] == 0


def test_streaming_gives_the_same_text_and_the_statistics_last(client: httpx2.Client) -> None:
    whole = ask(client)
    fields = {"messages": HELLO, "temperature": 0, "max_tokens": 24, "stream": True}
    fields["stream_options"] = {"include_usage": True}
    with client.stream("POST", "/chat/completions", json=fields) as response:
        events = events_of(response)
    deltas = [e["choices"][0]["delta"] for e in events if e["choices"]]
    assert "".join(d.get("content", "") for d in deltas) == text_of(whole)
    assert sum(bool(d.get("content")) for d in deltas) > 3, "it came in pieces"
    assert [e["choices"][0]["finish_reason"] for e in events if e["choices"]][-1] == "length"
    assert events[-1]["usage"]["completion_tokens"] == 24
    assert events[-1]["pointsman"]["decode"]["decode_tokens"] == 24


def test_a_client_that_knows_us_is_told_how_far_its_prompt_is(client: httpx2.Client) -> None:
    """Counts between the batches of a long prompt; others get chunks as they know them."""
    long = [{"role": "user", "content": " ".join(f"value_{n} = {n}" for n in range(110))}]
    fields = {"messages": long, "temperature": 0, "max_tokens": 4, "stream": True}
    fields["stream_options"] = {"include_usage": True}
    found = {}
    for name, more in (("ours", {"pointsman": {"step_kind": "chat"}}), ("theirs", {})):
        with client.stream("POST", "/chat/completions", json={**fields, **more}) as response:
            found[name] = events_of(response)
        fields["messages"] = [{"role": "user", "content": "Other. " + long[0]["content"]}]
    told = [e["pointsman"]["prefill"] for e in found["ours"] if "prefill" in e.get("pointsman", {})]
    size = found["ours"][-1]["usage"]["prompt_tokens"]
    assert size > 1024, "several batches"
    assert [t["total"] for t in told] == [size] * len(told)
    done = [t["done"] for t in told]
    assert done == sorted(set(done))
    assert (done[0], done[-1]) == (0, size)
    assert len(done) > 2
    first = next(i for i, e in enumerate(found["ours"]) if e["choices"] and
                 e["choices"][0]["delta"].get("content"))  # fmt: skip
    assert all("prefill" not in e.get("pointsman", {}) for e in found["ours"][first:])
    assert [e["choices"] for e in found["theirs"][:-1] if not e["choices"]] == []


def test_a_stop_string_ends_the_answer_before_it(client: httpx2.Client) -> None:
    whole = text_of(ask(client))
    stop = whole[8:10]
    body = ask(client, stop=[stop])
    assert text_of(body) == whole[: whole.index(stop)]
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["pointsman"]["choices"][0]["end"] == "stop"


def test_a_seed_reproduces_a_sample(client: httpx2.Client) -> None:
    def sample(seed: int) -> str:
        return text_of(ask(client, temperature=5, seed=seed))

    assert sample(3) == sample(3)
    assert sample(3) != sample(4)


def test_a_beam_gives_scored_choices_best_first(client: httpx2.Client) -> None:
    body = ask(client, n=6, max_tokens=10, pointsman={"step_kind": "edit", "beam": 8})
    scores = [c["logprob"] for c in body["pointsman"]["choices"]]
    assert len(body["choices"]) == len(scores) == 6
    assert scores == sorted(scores, reverse=True)
    greedy = ask(client, max_tokens=10, logprobs=True)
    assert scores[0] >= greedy["pointsman"]["choices"][0]["logprob"] - 1e-3


def test_a_json_schema_constrains_the_answer(client: httpx2.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"file": {"enum": ["a.py", "b.py"]}, "line": {"type": "boolean"}},
        "required": ["file", "line"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    for strategy in ("plain", "mtp"):
        body = ask(client, max_tokens=64, response_format=form, pointsman={"strategy": strategy})
        answer = json.loads(text_of(body))
        assert answer["file"] in ("a.py", "b.py")
        assert isinstance(answer["line"], bool)


def test_a_second_turn_decodes_only_what_is_new(client: httpx2.Client) -> None:
    system = {"role": "system", "content": "You repair Python. " * 20}
    first = [system, {"role": "user", "content": "one"}]
    ask(client, messages=first)
    second = [system, {"role": "user", "content": "something else"}]
    details = ask(client, messages=second)["usage"]["prompt_tokens_details"]
    assert details["cached_tokens"] > 200


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"messages": []}, "invalid_request"),
        ({"messages": HELLO * 400}, "context_length_exceeded"),
        ({"pointsman": {"strategie": "plain"}}, "invalid_request"),
        ({"temperature": -1}, "invalid_request"),
        ({"pointsman": {"grammar": "root ::= ("}}, "invalid_request"),
        ({"logit_bias": {"1": 5}}, "invalid_request"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "invalid_request",
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"schema": {"type": "nonsense"}},
                }
            },
            "invalid_request",
        ),
    ],
)
def test_a_bad_request_is_told_apart_and_harms_nothing(
    client: httpx2.Client, fields: dict[str, Any], code: str
) -> None:
    response = client.post("/chat/completions", json={"messages": HELLO, **fields})
    assert (response.status_code, response.json()["error"]["code"]) == (400, code)
    assert text_of(ask(client))


def test_a_body_that_is_not_json_is_refused(client: httpx2.Client) -> None:
    response = client.post("/chat/completions", content=b"{")
    assert response.status_code == 400
    assert "JSON" in response.json()["error"]["message"]


def test_a_client_that_hangs_up_frees_the_engine(client: httpx2.Client) -> None:
    fields = {"messages": HELLO, "temperature": 9, "max_tokens": 1900, "stream": True}
    fields["pointsman"] = {"strategy": "plain"}
    with client.stream("POST", "/chat/completions", json=fields) as response:
        next(response.iter_lines())
    deadline = time.monotonic() + 5
    while _health(client)["active"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_full_queue_is_refused_and_the_rest_are_answered(client: httpx2.Client) -> None:
    codes: list[int] = []

    def one(seed: int) -> None:
        fields = {"messages": HELLO, "temperature": 9, "max_tokens": 600, "seed": seed}
        codes.append(client.post("/chat/completions", json=fields).status_code)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) == {200, 503}
    assert codes.count(200) >= 8


def test_models_and_tokens(client: httpx2.Client) -> None:
    assert client.get("/models").json()["data"][0]["id"] == "tiny"
    root = httpx2.URL("http://worker/tokenize")
    tokens = client.post(root, json={"content": "hi<|im_end|>"}).json()["tokens"]
    assert len(tokens) == 12, "a control token spelled out in text is just text"
    assert client.post(root, json={}).status_code == 400


def _health(client: httpx2.Client) -> Any:
    return client.get(httpx2.URL("http://worker/health")).json()


def test_a_worker_started_anew_keeps_the_system_prompt(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    messages = [
        {"role": "system", "content": "You repair Python. " * 30},
        {"role": "user", "content": "one"},
    ]
    cached = []
    for _ in range(2):
        endpoint = ensure_worker(tiny_model, runtime_dir=tmp_path / "run", context=2048)
        transport = httpx2.HTTPTransport(uds=str(endpoint.uds))
        with httpx2.Client(transport=transport, base_url=endpoint.base_url, timeout=30) as made:
            usage = ask(made, messages=messages)["usage"]
            cached.append(usage["prompt_tokens_details"]["cached_tokens"])
            ask(made)  # the state is written by now
            assert _health(made)["prefixes"]["files"] == 1
        stop_all(tmp_path / "run")
    assert cached[0] == 0
    assert cached[1] > 300
