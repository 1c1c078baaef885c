"""Model files are read by their headers; whatever is wrong with one is said, never crashes."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import models
from agent.errors import EngineError


def test_a_header_tells_what_a_model_is(tiny_models: dict[str, Path]) -> None:
    info = models.inspect(tiny_models["q8_0"])
    assert (info.architecture, info.context, info.quantisation) == ("qwen35", 4096, "Q8_0")
    assert info.has_mtp
    assert info.hybrid
    assert 200_000 < info.parameters < 300_000
    assert not models.inspect(tiny_models["headless"]).has_mtp


@pytest.mark.parametrize("keep", [0, 3, 20, 200, 5000, -1000])
def test_a_cut_off_file_is_refused(tiny_models: dict[str, Path], tmp_path: Path, keep: int) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_models["f32"].read_bytes()[:keep])
    with pytest.raises(EngineError, match=r"cut\.gguf"):
        models.inspect(cut)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 9000), value=st.binary(min_size=1, max_size=8))
def test_a_damaged_header_gives_facts_or_an_engine_error(
    tiny_models: dict[str, Path], tmp_path: Path, at: int, value: bytes
) -> None:
    data = bytearray(tiny_models["headless"].read_bytes()[:60_000])
    data[at : at + len(value)] = value
    path = tmp_path / "mutated.gguf"
    path.write_bytes(data + bytes(1_000_000))
    with contextlib.suppress(EngineError):
        assert models.inspect(path).size == path.stat().st_size


def test_names_find_files(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "models"
    assert models.resolve("qwen3.5-4b", folder) is None
    folder.mkdir()
    file = folder / "Qwen3.5-4B-Q4_K_M.gguf"
    file.write_bytes(tiny_models["f32"].read_bytes())
    (folder / "broken.gguf").write_bytes(b"no model")
    assert models.resolve("qwen3.5-4b", folder) == file
    assert models.resolve("qwen3.5-4", folder) is None, "half a word is another model"
    assert models.resolve(str(file), folder) == file.resolve()
    assert models.resolve("Qwen3.5-4B-Q4_K_M.gguf", folder) == file.resolve()
    names = [i.path for i in models.installed(folder)]
    assert file in names
    assert folder / "broken.gguf" not in names


def test_a_file_is_imported_by_a_link(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "models"
    link = models.import_model(tiny_models["f32"], folder)
    assert link.is_symlink()
    assert models.import_model(tiny_models["f32"], folder) == link, "twice is once"
    other = tmp_path / "f32.gguf"
    other.write_bytes(tiny_models["q8_0"].read_bytes())
    with pytest.raises(EngineError, match="there already"):
        models.import_model(other, folder)
