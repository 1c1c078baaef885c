"""`agent models` over real files in a models directory."""

import json
from pathlib import Path

import pytest

from agent import paths
from agent.cli.main import main


def gguf(path: Path) -> Path:
    """A header with one tensor, written by the reference library."""
    import numpy as np
    from gguf import GGUFWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(str(path), "qwen35")
    writer.add_context_length(2_048)
    writer.add_block_count(1)
    writer.add_tensor("token_embd.weight", np.zeros((32, 64), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_import_use_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = gguf(tmp_path / "tiny-1m.gguf")
    assert main(["models", "use", "tiny-1m"]) == 2
    assert "is not installed" in capsys.readouterr().err
    assert main(["models", "import", str(file)]) == 0
    assert "next: agent models use tiny-1m" in capsys.readouterr().err
    assert main(["models", "use", "tiny"]) == 0
    capsys.readouterr()
    assert main(["models", "list", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    mine = next(r for r in rows if r["path"].endswith("tiny-1m.gguf"))
    assert mine["used"] is True
    assert mine["context"] == 2_048
    assert [r for r in rows if r["used"]] == [mine]
    assert main(["models"]) == 0
    assert "→" in capsys.readouterr().out


def test_a_file_that_is_no_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + b"\0" * 3)
    assert main(["models", "import", str(bad)]) == 5
    assert capsys.readouterr().err.startswith("error: ")
    assert not paths.models_dir().exists() or not list(paths.models_dir().iterdir())


def test_nothing_in_use_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "use", "none"]) == 0
    assert main(["models", "list"]) == 0
    assert "local.model = none: switched off" in capsys.readouterr().err


def test_no_worker_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert main(["models", "status"]) == 0
    assert main(["models", "stop"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "0 workers ended" in told.err
