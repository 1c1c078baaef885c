"""A tiny model and a runtime directory whose workers are ended after each test."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.serve.supervise import stop_all
from tests.engine import tiny_gguf
from tests.loopback import dialects, faults
from tests.loopback.server import Loopback, Received, Reply
from tests.loopback.server import serve as loopback


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "run"
    yield folder
    stop_all(folder)


@pytest.fixture(scope="module")
def shared_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("run")
    yield folder
    stop_all(folder)


def upstream(got: Received) -> Reply:
    """A paid API: echoes what it was asked, or calls the tool it was given."""
    if got.body.get("tools"):
        return dialects.anthropic("", tools=[("toolu_1", "stop", '{"now": true}')])
    text = json.dumps(got.body["messages"][-1]["content"])
    if "overload" in text:
        return faults.overloaded()
    if "secret" in text:
        return dialects.anthropic(f"it is {text}")
    return dialects.anthropic("four words of answer")


@pytest.fixture(scope="module")
def paid() -> Iterator[Loopback]:
    with loopback(upstream) as server:
        yield server
