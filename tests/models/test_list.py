"""`agent models` list, use and import, over real files."""

import json
from pathlib import Path

import pytest

from agent import models, paths
from agent.cli.main import main
from agent.errors import EngineError


@pytest.fixture
def stocked(gguf_bytes: bytes) -> Path:
    folder = paths.models_dir()
    folder.mkdir(parents=True)
    (folder / "Qwen3.5-4B-Q4_K_M.gguf").write_bytes(gguf_bytes)
    (folder / "cut-off.gguf").write_bytes(gguf_bytes[:1_000_000])
    (folder / "gone.gguf").symlink_to(folder / "elsewhere.gguf")
    (folder / ".Qwen3.5-9B-Q4_K_M.gguf.partial").write_bytes(bytes(20_000_000))
    return folder


def test_what_is_not_in_the_table_is_told(
    stocked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list"]) == 0
    shown = capsys.readouterr()
    assert "Qwen3.5-4B-Q4_K_M" in shown.out
    assert "search/replace" in shown.out
    assert "line" in shown.out, "Mini's format"
    assert "cut-off" not in shown.out
    assert "cut-off.gguf cannot be used: cut-off.gguf is cut off" in shown.err
    assert "gone.gguf cannot be used" in shown.err
    assert "Qwen3.5-9B-Q4_K_M.gguf is not whole yet (0.02 GB)" in shown.err
    assert main(["models", "list", "--json"]) == 0
    names = [Path(json.loads(r)["path"]).name for r in capsys.readouterr().out.splitlines()]
    assert set(names) == {"Qwen3.5-4B-Q4_K_M.gguf", "pointsman-mini.gguf"}


def test_use_says_what_to_expect(stocked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "use", "qwen3.5-4b"]) == 0
    told = capsys.readouterr().err
    assert "local.model = qwen3.5-4b" in told
    assert "qwen2, F32, no draft head" in told, "by the file, whatever its name says"
    assert "tokens/s" in told


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("qwen3.5-9b", "agent models pull qwen3.5-9b"), ("my-model", "agent models list")],
)
def test_a_model_that_is_not_here_gets_the_next_command(
    capsys: pytest.CaptureFixture[str], name: str, remedy: str
) -> None:
    assert main(["models", "use", name]) == 2
    assert remedy in capsys.readouterr().err


def test_a_model_in_parts_is_imported_whole(gguf_bytes: bytes, tmp_path: Path) -> None:
    first, second = (tmp_path / f"big-0000{i}-of-00002.gguf" for i in (1, 2))
    first.write_bytes(gguf_bytes)
    folder = tmp_path / "models"
    with pytest.raises(EngineError, match=r"big-00002-of-00002\.gguf is missing"):
        models.import_model(first, folder)
    second.write_bytes(gguf_bytes)
    with pytest.raises(EngineError, match="not the first part"):
        models.import_model(second, folder)
    assert models.import_model(first, folder).name == first.name
    assert sorted(p.name for p in folder.iterdir()) == [first.name, second.name]
    mine = [m.path.name for m in models.installed(folder) if m.path.parent == folder]
    assert mine == [first.name]


def test_a_picture_encoder_is_no_model(tmp_path: Path) -> None:
    import gguf
    import numpy as np

    path = tmp_path / "mmproj-Q8_0.gguf"
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_tensor("v.patch_embd.weight", np.zeros((4, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(EngineError, match="holds no language model"):
        models.import_model(path, tmp_path / "models")
