"""One tiny model of each architecture: written once per session."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "arch_gguf", Path(__file__).with_name("arch_gguf.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["arch_gguf"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def architectures(
    tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]
) -> dict[str, Path]:
    """By name; qwen35 is the model of the other engine tests."""
    maker = _maker()
    folder = tmp_path_factory.mktemp("architectures")
    made = {a: maker.write(folder / f"{a}.gguf", a) for a in maker.ARCHITECTURES}
    return {**made, "qwen35": tiny_models["f32"]}
