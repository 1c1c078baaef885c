"""Deadline, memory, processes and output of the whole tree, in every tier and unsandboxed."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tools.sandbox import pick
from tools.sandbox.output import CappedOutput
from tools.types import CommandResult, Limits, Sandbox

Shell = Callable[..., CommandResult]


def survivors(marker: str) -> list[str]:
    """Command lines of living processes that carry `marker`."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or ())
        if marker in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(line)
    return found


def test_deadline_ends_grandchildren(tier: Sandbox, shell: Shell) -> None:
    marker = "98765.4321" + tier.name[:1].replace("b", "1").replace("s", "2")
    script = f"sleep {marker} & (setsid sleep {marker} &) ; (sleep {marker} & wait) & wait"
    result = shell(tier, script, wall_s=1.0)
    assert result.stopped == "timeout"
    assert 1.0 <= result.duration_s < 6.0
    deadline = time.monotonic() + 5
    while survivors(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert survivors(marker) == []


def test_background_process_ends_with_the_command(tier: Sandbox, shell: Shell) -> None:
    marker = "87654.3211" if tier.name == "bwrap" else "87654.3212"
    result = shell(tier, f"setsid sleep {marker} & echo done; exit 3")
    assert (result.returncode, result.stdout, result.stopped) == (3, b"done\n", "")
    assert result.duration_s < 8
    time.sleep(0.2)
    assert survivors(marker) == []


def test_memory_of_the_tree(tier: Sandbox, repo: Path) -> None:
    """Two children, neither over the limit alone."""
    half = "import time; b = bytearray(120 << 20); time.sleep(20)"
    code = f"import subprocess,sys; a=[sys.executable,'-c',{half!r}]; p=subprocess.Popen(a); "
    code += "subprocess.run(a)"
    argv = (sys.executable, "-c", code)

    def run(memory_mb: int, wall_s: float) -> CommandResult:
        limits = Limits(wall_s=wall_s, memory_mb=memory_mb)
        return tier.run(argv, cwd=repo, env={}, limits=limits, writable=(repo,))

    result = run(180, 15)
    assert result.stopped == "memory"
    assert result.peak_rss_mb > 180
    assert run(1000, 1.5).stopped == "timeout"


def test_number_of_processes(tier: Sandbox, repo: Path) -> None:
    """Forty forks, harmless without a limit; with a limit of 12 they cannot all be there."""
    code = (
        "import os,time\n"
        "made=0\n"
        "for _ in range(40):\n"
        "    try:\n"
        "        pid=os.fork()\n"
        "    except OSError:\n"
        "        break\n"
        "    if pid==0:\n"
        "        time.sleep(3); os._exit(0)\n"
        "    made+=1\n"
        "print(made, flush=True)\n"
        "time.sleep(1)\n"
    )

    def run(sandbox: Sandbox, processes: int) -> CommandResult:
        limits = Limits(wall_s=10, processes=processes)
        argv = (sys.executable, "-I", "-c", code)
        return sandbox.run(argv, cwd=repo, env={}, limits=limits, writable=(repo,))

    limited = run(tier, 12)
    assert limited.stopped == "processes" or int(limited.stdout) < 40
    assert run(pick("direct"), 256).stdout == b"40\n"


def test_output_keeps_both_ends(tier: Sandbox, shell: Shell) -> None:
    script = "echo first; yes filler | head -c 3000000; echo last"
    result = shell(tier, script, output_bytes=10_000)
    assert len(result.stdout) < 11_000
    assert result.stdout.startswith(b"first\n")
    assert result.stdout.endswith(b"last\n")
    assert b"bytes dropped" in result.stdout


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_capped_output_counts_what_it_drops(size: int) -> None:
    data = bytes(range(256)) * 3
    capped = CappedOutput(100)
    for start in range(0, len(data), size):
        capped.feed(data[start : start + size])
    assert capped.value() == data[:50] + b"\n[... 668 bytes dropped ...]\n" + data[-50:]
    whole = CappedOutput(len(data))
    whole.feed(data)
    assert whole.value() == data


def test_exit_code_and_signal(tier: Sandbox, shell: Shell) -> None:
    assert shell(tier, "echo out; echo err >&2; exit 9").returncode == 9
    assert shell(tier, "kill -9 $$").returncode in (-9, 137)


def test_started_from_a_short_lived_thread(tier: Sandbox, shell: Shell) -> None:
    """The parent-death signal follows the thread that forked."""
    results: list[CommandResult] = []

    def late() -> None:
        time.sleep(0.1)
        results.append(shell(tier, "sleep 0.4; echo alive"))

    threads = [threading.Thread(target=late) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.stdout for r in results] == [b"alive\n"] * 3


def test_direct_has_limits_too(shell: Shell) -> None:
    direct = pick("direct")
    assert shell(direct, "sleep 60 & wait", wall_s=0.5).stopped == "timeout"
    assert b"dropped" in shell(direct, "yes | head -c 100000", output_bytes=100).stdout
