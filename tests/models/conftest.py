"""A hub on loopback and model files to put on it."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ENGINE = Path(__file__).parent.parent / "engine"


def _load(name: str, folder: Path = Path(__file__).parent) -> Any:
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def hub() -> Iterator[Any]:
    with _load("hub").serve() as running:
        yield running


@pytest.fixture(scope="session")
def gguf_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A model file of 24 MB: more than the hub client reads at once, so that half of it counts."""
    import gguf
    import numpy as np

    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_name("Test 6M")
    writer.add_context_length(4096)
    writer.add_block_count(2)
    writer.add_embedding_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    data = np.random.default_rng(1).integers(0, 255, (3000, 8192), dtype=np.uint8)
    writer.add_tensor("token_embd.weight", data.view(np.float32).reshape(3000, 2048))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@pytest.fixture(scope="session")
def architectures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny models of the engine's tests, by architecture."""
    maker = _load("arch_gguf", ENGINE / "archs")
    folder = tmp_path_factory.mktemp("architectures")
    return {a: maker.write(folder / f"{a}.gguf", a) for a in ("qwen3moe", "qwen3next")}
