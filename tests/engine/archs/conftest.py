"""One tiny model of each architecture: written once per session."""

from pathlib import Path

import pytest

from tests.engine.archs import arch_gguf


@pytest.fixture(scope="session")
def architectures(
    tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]
) -> dict[str, Path]:
    """By name; qwen35 is the model of the other engine tests."""
    folder = tmp_path_factory.mktemp("architectures")
    names = arch_gguf.ARCHITECTURES
    made = {a: arch_gguf.write(folder / f"{a}.gguf", a) for a in names}
    return {**made, "qwen35": tiny_models["f32"]}
