"""Fit: a roofline over what a machine has, and what the machine is found to have."""

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import models
from agent.cli.main import main
from agent.models import Gpu, Load, Machine, machine

GIB = 2**30
LAPTOP = Machine(ram_total=32 * GIB, ram_free=28 * GIB, bandwidth=50e9, cores=8)
RTX = Gpu(name="NVIDIA GeForce RTX 4090", total=24 * GIB, free=23 * GIB, bandwidth=1008e9)
SMALL_RTX = dataclasses.replace(RTX, name="NVIDIA GeForce RTX 4060", total=8 * GIB, free=7 * GIB,
                                bandwidth=272e9)  # fmt: skip


def load(name: str) -> Load:
    entry = models.find(name)
    assert entry is not None
    return models.load_of(entry)


def with_gpu(*gpus: Gpu, build: bool = True) -> Machine:
    return dataclasses.replace(LAPTOP, gpus=gpus, gpu_build=build)


def test_speed_is_bandwidth_over_the_bytes_of_a_token() -> None:
    plain = Load(weights=3 * GIB, active=3_000_000_000, experts=0, active_experts=0, layers=32,
                 context=262_144, kv=0, state=0)  # fmt: skip
    fit = models.fit(plain, LAPTOP, context=8192)
    assert fit.tokens_per_s == pytest.approx(0.6 * 50e9 / 3e9)
    assert fit.formula.endswith("1 ÷ (3.00 GB ÷ (0.6 × 50 GB/s CPU)) = 10.0 tokens/s")
    with_kv = dataclasses.replace(plain, kv=32_768, state=50_000_000)
    slower = models.fit(with_kv, LAPTOP, context=8192).tokens_per_s
    assert slower == pytest.approx(0.6 * 50e9 / (3e9 + 8192 * 32_768 + 1e8), rel=1e-6)


def test_a_mixture_reads_its_active_weights_only() -> None:
    dense, mixture = load("qwen3.6-27b"), load("qwen3.6-35b-a3b")
    assert mixture.weights > dense.weights
    slow = models.fit(dense, LAPTOP, context=16_384)
    fast = models.fit(mixture, LAPTOP, context=16_384)
    assert slow.fits
    assert fast.fits
    assert (fast.tokens_per_s or 0) > 5 * (slow.tokens_per_s or 0)


def test_what_does_not_fit_gets_a_smaller_context_then_a_no() -> None:
    tight = dataclasses.replace(LAPTOP, ram_free=12 * GIB)
    small = models.fit(load("qwen2.5-coder-14b"), tight, context=32_768)
    assert small.fits
    assert (small.context, small.kv_type) == (16_384, "q8_0")
    none = models.fit(load("qwen3-coder-next"), tight, context=32_768)
    assert not none.fits
    assert none.needed > none.available == tight.ram_free


def test_the_gpu_takes_all_then_all_but_experts_then_some_layers() -> None:
    whole = models.fit(load("qwen3.5-9b"), with_gpu(RTX), context=16_384)
    assert (whole.where, whole.gpu_layers) == ("GPU", 32)
    experts = models.fit(load("qwen3.6-35b-a3b"), with_gpu(SMALL_RTX), context=16_384)
    assert experts.where == "GPU, experts on the CPU"
    assert experts.experts_in_ram
    part = models.fit(load("qwen3.6-27b"), with_gpu(SMALL_RTX), context=16_384)
    assert re.fullmatch(r"\d+ of 64 layers on GPU", part.where)
    alone = models.fit(load("qwen3.6-27b"), LAPTOP, context=16_384)
    assert (part.tokens_per_s or 0) > (alone.tokens_per_s or 0)
    two = models.fit(load("qwen3.6-27b"), with_gpu(RTX, SMALL_RTX), context=16_384)
    assert two.where == "GPU"


def test_a_gpu_the_library_cannot_use_is_left_out() -> None:
    unused = models.fit(load("qwen3.5-9b"), with_gpu(RTX, build=False), context=16_384)
    assert unused.where == "CPU"


def test_an_unknown_gpu_has_no_invented_speed() -> None:
    strange = dataclasses.replace(RTX, name="NVIDIA Thing 9", bandwidth=None)
    fit = models.fit(load("qwen3.5-9b"), with_gpu(strange), context=16_384)
    assert fit.fits
    assert "unknown bandwidth" in fit.formula or fit.where == "CPU"


@given(
    free=st.integers(1, 200 * GIB),
    vram=st.integers(0, 96 * GIB),
    name=st.sampled_from([e.name for e in models.catalogue()]),
    context=st.integers(512, 262_144),
)
def test_a_yes_never_needs_more_than_there_is(
    free: int, vram: int, name: str, context: int
) -> None:
    gpu = dataclasses.replace(RTX, free=vram)
    here = dataclasses.replace(with_gpu(gpu), ram_free=free)
    fit = models.fit(load(name), here, context=context)
    assert fit.context <= context
    if fit.fits:
        assert fit.needed <= fit.available
        assert fit.tokens_per_s is not None
        assert fit.tokens_per_s > 0
    more = dataclasses.replace(here, ram_free=free + 100 * GIB)
    assert not fit.fits or models.fit(load(name), more, context=context).fits


def test_the_best_model_is_the_most_capable_usable_one() -> None:
    found = models.best(LAPTOP, models.catalogue(), context=16_384)
    assert found is not None
    assert found[0].name == "qwen3.6-35b-a3b", "with 32 GB and no GPU"
    on_gpu = models.best(with_gpu(RTX), models.catalogue(), context=16_384)
    assert on_gpu is not None
    assert on_gpu[0].name == "qwen3.8-27b", "with 24 GB of graphics memory, the newest"
    tiny = dataclasses.replace(LAPTOP, ram_free=GIB // 2)
    assert models.best(tiny, models.catalogue(), context=16_384) is None


def test_an_installed_file_is_judged_by_its_tensors(architectures: dict[str, Path]) -> None:
    info = models.inspect(architectures["qwen3moe"])
    got = models.load_of(info)
    assert got.experts == 4 * 3 * 8 * 32 * 64 * 4, "layers, matrices, experts, rows, columns, f32"
    assert got.active_experts == got.experts * 2 // 8
    assert got.active < info.size - got.experts + got.active_experts
    assert info.kv_bytes == 4 * 1 * (32 + 32) * 2
    hybrid = models.inspect(architectures["qwen3next"])
    assert hybrid.state_bytes == 2 * 4 * (64 * 32 + 3 * (64 + 2 * 64))
    assert hybrid.kv_bytes == 2 * 1 * (32 + 32) * 2


# --------------------------------------------------------------------------- the machine


@pytest.fixture
def nvidia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real program named nvidia-smi, that answers as the real one does."""
    folder = tmp_path / "bin"
    folder.mkdir()
    tool = folder / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        'test "$1" = "--query-gpu=name,memory.total,memory.free" || exit 6\n'
        "echo 'NVIDIA GeForce RTX 4090, 24564, 23011'\n"
        "echo 'NVIDIA Unheard Of, 8192, 8000'\n"
        "echo 'NVIDIA GB10, [N/A], [N/A]'\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tool


def test_the_doctor_sees_cards_that_the_library_cannot_use(nvidia: Path) -> None:
    from agent.cli.checks import _gpus

    first, second = _gpus("cpu")
    assert "RTX 4090, 22.5 of 24.0 GiB free; idle" in first.detail
    assert first.state == second.state == "warn"
    assert first.next == models.gpu_install_command()
    assert "GGML_CUDA=on" in first.next
    assert [c.state for c in _gpus("gpu")] == ["ok", "ok"]


def test_the_type_of_the_cache_can_be_fixed() -> None:
    load = models.load_of(models.find("qwen3.5-4b"))  # type: ignore[arg-type]
    machine = models.Machine(ram_total=2**36, ram_free=2**36, bandwidth=2e10, cores=8)
    asked = {kv: models.fit(load, machine, context=32_768, kv=kv) for kv in (None, "f16", "q8_0")}  # type: ignore[arg-type]
    assert [f.kv_type for f in asked.values()] == ["f16", "f16", "q8_0"]
    saved = asked["f16"].needed - asked["q8_0"].needed
    assert abs(saved - load.kv * 32_768 * 30 / 64) < 1e6


def test_cards_are_read_from_nvidia_smi(nvidia: Path, tmp_path: Path) -> None:
    found = models.look(tmp_path)
    assert [(g.name, g.total >> 20, g.free >> 20, g.bandwidth) for g in found.gpus] == [
        ("NVIDIA GeForce RTX 4090", 24564, 23011, 1008e9),
        ("NVIDIA Unheard Of", 8192, 8000, None),
    ]
    nvidia.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed' >&2\nexit 9\n")
    assert models.look(tmp_path).gpus == ()


@pytest.mark.parametrize(
    ("name", "gb_s"),
    [
        ("NVIDIA H200", 4800), ("NVIDIA A100-SXM4-80GB", 1555), ("Tesla T4", 320),
        ("NVIDIA GeForce RTX 5070 Ti", 896), ("NVIDIA RTX A6000", 768), ("NVIDIA L40S", 864),
        ("NVIDIA L4", 300), ("Quadro K2000", None), ("NVIDIA GeForce RTX 3060 Laptop GPU", 360),
    ],
)  # fmt: skip
def test_bandwidth_by_name(name: str, gb_s: int | None) -> None:
    assert machine._known_bandwidth(name) == (gb_s * 1e9 if gb_s else None)


def test_bandwidth_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    first = models.look(tmp_path)
    assert 0.2e9 < first.bandwidth < 2e12
    kept = json.loads((tmp_path / "bandwidth.json").read_text())
    assert kept["bytes_per_s"] == first.bandwidth
    (tmp_path / "bandwidth.json").write_text(json.dumps({**kept, "bytes_per_s": 123e9}))
    assert models.look(tmp_path).bandwidth == 123e9
    (tmp_path / "bandwidth.json").write_text(json.dumps({**kept, "machine": "another"}))
    assert models.look(tmp_path).bandwidth != 123e9
    (tmp_path / "bandwidth.json").write_text(json.dumps({**kept, "busy": True, "bytes_per_s": 1e9}))
    assert models.look(tmp_path).bandwidth != 1e9, "taken while the machine was busy"
    (tmp_path / "bandwidth.json").write_text("{broken")
    assert models.look(tmp_path).bandwidth > 0


def test_a_gpu_with_a_library_for_cpus_is_told_with_the_command(
    nvidia: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "fit"]) == 0
    told = capsys.readouterr().err
    assert "RTX 4090: 22.5 of 24.0 GiB free, 1,008 GB/s" in told
    assert "NVIDIA Unheard Of: 7.8 of 8.0 GiB free, speed unknown" in told
    assert "built without GPU support" in told
    line = next(part.strip() for part in told.splitlines() if "CMAKE_ARGS" in part)
    assert line.startswith('CMAKE_ARGS="-DGGML_CUDA=on" ')
    assert line.endswith("'llama-cpp-python==0.3.36'")
    assert sys.executable in line
    checked = subprocess.run(["sh", "-n", "-c", line], check=False)
    assert checked.returncode == 0, "it can be pasted"


def test_the_worker_places_a_model_as_fit_says(
    architectures: dict[str, Path], nvidia: Path
) -> None:
    from agent.engine.weights import Weights
    from agent.serve.worker import _placed

    asked = argparse.Namespace(model=architectures["qwen3moe"], context=4096, kv="auto")
    assert _placed(asked) == Weights(gpu_layers=0), "cards, and a library that cannot use them"
    nvidia.unlink()
    assert _placed(asked) == Weights(), "no card known: llama.cpp decides"


# --------------------------------------------------------------------------- the command


def test_fit_judges_the_catalogue_and_what_is_here(
    gguf_bytes: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "qwen2.5-coder-7b-instruct-q4_k_m.gguf"
    mine.write_bytes(gguf_bytes)
    assert main(["models", "import", str(mine)]) == 0
    capsys.readouterr()
    assert main(["models", "fit", "--json", "--context", "4096"]) == 0
    rows = {r["name"]: r for r in map(json.loads, capsys.readouterr().out.splitlines())}
    for entry in models.catalogue():
        known = entry.name in ("mini", "qwen2.5-coder-7b")
        assert (entry.name in rows) is not known, "an installed one is judged by its file"
        if not known:
            assert rows[entry.name]["fits"] is (
                rows[entry.name]["needed"] <= rows[entry.name]["available"]
            )
            assert rows[entry.name]["sampling"]["top_p"] == entry.sampling.top_p
    assert rows[mine.stem]["source"] == "installed"
    assert main(["models", "fit"]) == 0
    shown = capsys.readouterr()
    assert "agent models pull NAME" in shown.err
    assert "GB/s measured" in shown.err
    assert "qwen3.6-35b-a3b" in shown.out
    assert main(["models", "fit", "qwen3.5-4b"]) == 0
    assert "read per token: 2.70 GB weights" in capsys.readouterr().err
    assert main(["models", "fit", "gpt-9"]) == 2


def test_the_first_look_says_what_mini_is_and_what_to_get(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models"]) == 0
    told = capsys.readouterr().err
    assert "Pointsman Mini ships with the package" in told
    assert "cannot plan, talk, or write new code" in told
    assert re.search(r"agent models (pull qwen|fit)", told)
    assert main(["models", "use", "none"]) == 0
    capsys.readouterr()
    main(["models"])
    assert "Mini ships" not in capsys.readouterr().err
