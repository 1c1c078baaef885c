"""What may leave, what is hidden on the way, and what is answered from a record."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import (
    PolicyError,
    ProviderError,
    ProviderUnavailable,
)
from agent.events import (
    CompletionRecorded,
    TextDelta,
)
from agent.gateway import fingerprint
from agent.providers.base import decode_completion
from agent.providers.scripted import ScriptedProvider, Turn
from agent.types import (
    Completion,
    Location,
    Message,
    Request,
    ToolCall,
    Usage,
)
from tests.money.bench import Bench
from tests.providers.asks import ask

SECRET = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3gH6"


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
