"""Model files that are wrong, machines that are too small: an error that says so, every time."""

import contextlib
import random
from pathlib import Path

import pytest

from agent.errors import EngineError
from agent.serve.supervise import ensure_worker, worker_status


@pytest.mark.parametrize("seed", range(5))
def test_a_mutated_file_loads_or_is_refused_and_nothing_hangs(
    tiny_model: Path, runtime: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    data = bytearray(tiny_model.read_bytes())
    for _ in range(24):
        data[chance.randrange(8, 12_000)] = chance.randrange(256)
    bad = tmp_path / "mutated.gguf"
    bad.write_bytes(data)
    with contextlib.suppress(EngineError):  # nothing else may escape
        ensure_worker(bad, runtime_dir=runtime, context=512, start_s=20)
    assert all(w.alive for w in worker_status(runtime))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all\n" * 200, bytes(10_000)])
def test_what_is_no_gguf_is_refused(runtime: Path, tmp_path: Path, content: bytes) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(content)
    with pytest.raises(EngineError, match=r"bad\.gguf"):
        ensure_worker(bad, runtime_dir=runtime, context=512, start_s=20)


def test_an_architecture_nobody_knows_is_named(
    tiny_model: Path, runtime: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "odd.gguf"
    bad.write_bytes(tiny_model.read_bytes().replace(b"qwen35", b"qwen99", 1))
    with pytest.raises(EngineError, match="qwen99"):
        ensure_worker(bad, runtime_dir=runtime, context=512, start_s=20)


LITTLE = """
import sys
if "agent.serve.worker" in " ".join(sys.orig_argv):
    import resource
    resource.setrlimit(resource.RLIMIT_DATA, (90 << 20, 90 << 20))
"""


def test_too_little_memory_is_an_error_with_a_log(
    tiny_model: Path, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(LITTLE)
    monkeypatch.setenv("PYTHONPATH", str(site))
    with pytest.raises(EngineError) as caught:
        ensure_worker(tiny_model, runtime_dir=runtime, context=4096, start_s=30)
    assert "its log" in (caught.value.remedy or "")
    assert worker_status(runtime) == ()


def test_a_cache_of_eight_bits_answers_and_is_another_worker(
    tiny_model: Path, runtime: Path
) -> None:
    from tests.serve.test_supervise import ask

    one = ensure_worker(tiny_model, runtime_dir=runtime, context=1024, kv="f16")
    two = ensure_worker(tiny_model, runtime_dir=runtime, context=1024, kv="q8_0")
    assert one.uds != two.uds
    assert two.uds is not None
    for fields in ({}, {"n": 3}, {"pointsman": {"beam": 4}}, {"pointsman": {"strategy": "mtp"}}):
        answer = ask(two.uds, tokens=12, **fields)
        assert answer.status_code == 200, answer.text
