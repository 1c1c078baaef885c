"""Tiny random models: written once per session."""

from pathlib import Path

import pytest

from tests.engine import tiny_gguf


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """f32, Q8_0, one without an MTP head, and one whose head is often wrong."""
    folder = tmp_path_factory.mktemp("models")
    shapes = {
        "f32": tiny_gguf.Shape(),
        "q8_0": tiny_gguf.Shape(quantised=True),
        "headless": tiny_gguf.Shape(mtp=False),
        "noisy": tiny_gguf.Shape(noise=0.6, interval=4, seed=11),
    }
    return {name: tiny_gguf.write(folder / f"{name}.gguf", s) for name, s in shapes.items()}
