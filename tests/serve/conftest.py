"""A tiny model and a runtime directory whose workers are ended after each test."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.serve.supervise import stop_all

_MAKER = Path(__file__).parent.parent / "engine" / "tiny_gguf.py"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("tiny_gguf", _MAKER)
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    sys.modules["tiny_gguf"] = maker
    spec.loader.exec_module(maker)
    path: Path = maker.write(tmp_path_factory.mktemp("model") / "tiny.gguf")
    return path


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
