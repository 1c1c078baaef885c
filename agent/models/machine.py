"""What this machine has for a model: memory, graphics memory, and how fast memory is read.

NVIDIA cards are found by `nvidia-smi`, if it is there. Other makes are not looked for.
"""

import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

__all__ = ["Gpu", "Machine", "gpu_install_command", "gpus", "look"]

_MIB = 2**20
_SAMPLE_BYTES = 96 * _MIB
"""Per array of the bandwidth test: more than the caches of most machines."""

_GPU_GB_S = (
    ("B200", 8000), ("H200", 4800), ("H100", 3350), ("A100", 1555), ("V100", 900),
    ("L40", 864), ("A40", 696), ("A6000", 768), ("A5000", 768), ("A4000", 448), ("A10", 600),
    ("L4", 300), ("T4", 320), ("P40", 347),
    ("5090", 1792), ("5080", 960), ("5070 Ti", 896), ("5070", 672), ("5060", 448),
    ("4090", 1008), ("4080", 717), ("4070", 504), ("4060", 272),
    ("3090", 936), ("3080", 760), ("3070", 448), ("3060", 360),
)  # fmt: skip
"""Memory bandwidth by the data sheets, of variants the slowest; nvidia-smi does not tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One card. Bytes; `bandwidth` in bytes/s, None where it is not known."""

    name: str
    total: int
    free: int
    bandwidth: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Bytes and bytes/s. `gpu_build`: whether the installed llama.cpp can use a GPU."""

    ram_total: int
    ram_free: int
    bandwidth: float
    cores: int
    gpus: tuple[Gpu, ...] = ()
    gpu_build: bool = False


def look(cache_dir: Path) -> Machine:
    """Look at this machine. Its bandwidth is measured once (about 0.5 s), kept in `cache_dir`."""
    import psutil

    memory = psutil.virtual_memory()
    found = gpus()
    return Machine(
        ram_total=memory.total,
        ram_free=memory.available,
        bandwidth=_bandwidth(cache_dir / "bandwidth.json", memory.total),
        cores=psutil.cpu_count(logical=False) or 1,
        gpus=found,
        gpu_build=bool(found) and _gpu_build(),
    )


def gpus() -> tuple[Gpu, ...]:
    """The NVIDIA cards that answer now."""
    return tuple(_nvidia())


def gpu_install_command() -> str:
    """Replaces a CPU-only llama.cpp by one for NVIDIA GPUs, in the environment we run in."""
    package = f"'llama-cpp-python=={metadata.version('llama-cpp-python')}'"
    options = "--no-deps --no-binary llama-cpp-python"
    if util.find_spec("pip") is not None:
        install = f"'{sys.executable}' -m pip install --force-reinstall --no-cache-dir {options}"
    else:
        install = f"uv pip install --python '{sys.executable}' --reinstall --no-cache {options}"
    return f'CMAKE_ARGS="-DGGML_CUDA=on" {install} {package}'


# --------------------------------------------------------------------------- graphics


def _nvidia() -> Iterator[Gpu]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return
    query = "--query-gpu=name,memory.total,memory.free"
    try:
        told = subprocess.run(
            [tool, query, "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=10, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):  # a driver that does not answer is no GPU
        return
    for line in told.splitlines():
        name, *sizes = (part.strip() for part in line.split(","))
        if len(sizes) == 2 and all(size.isdecimal() for size in sizes):
            total, free = (int(size) * _MIB for size in sizes)
            yield Gpu(name=name, total=total, free=free, bandwidth=_known_bandwidth(name))


def _known_bandwidth(name: str) -> float | None:
    for word, gb_s in _GPU_GB_S:
        if re.search(rf"(?<![0-9A-Z]){word}(?![0-9])", name):
            return gb_s * 1e9
    return None


def _gpu_build() -> bool:
    from agent.engine.llama import gpu_build

    return gpu_build()


# --------------------------------------------------------------------------- memory


def _bandwidth(cache: Path, ram: int) -> float:
    """Bytes/s, measured at the first call on this machine and read from `cache` afterwards.

    A figure taken while other work kept the cores busy is replaced at the next quiet moment.
    """
    cores = os.cpu_count() or 1
    key = f"{platform.node()}:{platform.machine()}:{cores}:{ram}:1"
    busy = os.getloadavg()[0] > cores
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
        if known["machine"] == key and (busy or not known["busy"]):
            return float(known["bytes_per_s"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    measured = _measure(min(_SAMPLE_BYTES, ram // 16))
    text = json.dumps({"machine": key, "bytes_per_s": measured, "busy": busy})
    with contextlib.suppress(OSError):  # measured again next time
        cache.parent.mkdir(parents=True, exist_ok=True)
        scratch = cache.with_suffix(f".{os.getpid()}")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(cache)
    return measured


def _measure(size: int) -> float:
    """Copy `size` bytes, with one thread and with one per core; what is read and what is written
    both count. The best of six: other work on the machine only ever slows a copy.
    """
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    import psutil

    source = np.ones(size, dtype=np.uint8)
    target = np.zeros(size, dtype=np.uint8)
    best = float("inf")
    for workers in {1, psutil.cpu_count(logical=False) or 1}:
        pairs = zip(np.array_split(target, workers), np.array_split(source, workers), strict=True)
        parts = list(pairs)
        with ThreadPoolExecutor(workers) as pool:
            for _ in range(3):
                started = time.perf_counter()
                list(pool.map(lambda pair: np.copyto(*pair), parts))
                best = min(best, time.perf_counter() - started)
    return 2 * size / best
