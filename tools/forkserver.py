"""Run by the target's interpreter inside the sandbox, alone: tries many edits in one process.

Starting pytest costs 0.3-0.5 s; forking a process that has it loaded costs a few milliseconds.

    python forkserver.py JOBS.json

JOBS: {"root", "kind": "pytest"|"unittest", "args": [...], "flags": {module: [...]}, "ids": [...],
"paths": [...], "fallback": [...], "timeout_s", "jobs": [{"path", "content": base64}, ...]}.

One JSON object per line goes to stdout: {"ready": true, "baseline_s": s} or {"ready": false,
"why": text}, then {"i": n, "outcome": "green"|"red"|"timeout"|"crash", "s": s} for each job. Green:
every id ran and passed.

Standard library only, Python 3.8 and later; imports nothing of ours. Each candidate is written to
the work tree, which must be a copy that may be spoilt, and is taken back after its run.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

PREFIX = "@pointsman "
NEVER_PRELOAD = ("_pytest", "pytest", "py", "xdist", "coverage", "pytest_cov", "hypothesis")


def say(fd: int, **values: Any) -> None:
    os.write(fd, (PREFIX + json.dumps(values) + "\n").encode())


class Recorder:
    """A pytest plugin that keeps what passed and whether anything did not."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = set(ids)
        self.passed: set[str] = set()
        self.bad = False

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if item.nodeid in self.ids]

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.bad = True
        elif report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.bad = True


def run_pytest(job: dict[str, Any]) -> bool:
    import pytest

    recorder = Recorder(job["ids"])
    found = importlib.util.find_spec
    flags = [x for module, given in job["flags"].items() if found(module) for x in given]
    args = [*job["args"], *flags, "-x", "-q", "-p", "no:cacheprovider", "--tb=no"]
    # A file that cannot be collected is red if it holds our tests and nothing to us otherwise.
    code = int(pytest.main(args, plugins=[recorder]))
    if code in (3, 4):
        raise RuntimeError("pytest could not run: its own error or a wrong option")
    return not recorder.bad and recorder.ids <= recorder.passed


def run_unittest(job: dict[str, Any]) -> bool:
    import unittest

    suite = unittest.defaultTestLoader.loadTestsFromNames(job["ids"])
    result = unittest.TestResult()
    result.failfast = True
    suite.run(result)
    ran = result.testsRun >= len(job["ids"]) and not result.skipped
    return ran and result.wasSuccessful()


def child(job: dict[str, Any], pipe: int, report_modules: bool) -> None:
    """Never returns. Writes one byte, 1 for green, and if asked the modules that were loaded."""
    os.setsid()
    seconds = int(job["timeout_s"]) + 2
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    green: bool | None = None
    try:
        green = run_pytest(job) if job["kind"] == "pytest" else run_unittest(job)
    except BaseException:  # a process boundary: whatever comes out of the code under test
        green = None
    finally:
        names = sorted(sys.modules) if report_modules else []
        origins = [(n, getattr(sys.modules.get(n), "__file__", None)) for n in names]
        os.write(pipe, (json.dumps([green, origins])).encode())
        os._exit(0)


def attempt(
    job: dict[str, Any], report_modules: bool = False
) -> tuple[str, float, list[tuple[str, str | None]]]:
    """Fork, run, wait: (outcome, seconds, modules)."""
    started = time.monotonic()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        child(job, write, report_modules)
    os.close(write)
    deadline, outcome = started + job["timeout_s"], ""
    chunks: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        ready = select.select([read], [], [], max(left, 0))[0] if left > 0 else []
        if not ready:
            outcome = "timeout"
            break
        chunk = os.read(read, 1 << 16)
        if not chunk:
            break
        chunks.append(chunk)
        try:
            # A process the test started may hold the pipe open: the end of the JSON is enough.
            json.loads(b"".join(chunks))
        except ValueError:
            continue
        break
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(read)
    modules: list[tuple[str, str | None]] = []
    if not outcome:
        try:
            green, modules = json.loads(b"".join(chunks))
            outcome = {True: "green", False: "red", None: "crash"}[green]
        except ValueError:
            outcome = "crash"
    return outcome, time.monotonic() - started, modules


def load_plugins(empty: Path) -> None:
    """Let pytest load its installed plugins once, by collecting nothing in an empty place.

    Half of a start of pytest is their imports. Only pytest itself may import them: it rewrites
    their assertions, and warns about modules that came earlier.
    """
    import pytest

    os.chdir(empty)
    quiet, kept = os.open(os.devnull, os.O_RDWR), [os.dup(1), os.dup(2)]
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        pytest.main(["--collect-only", "-q", "--rootdir=.", "-c", os.devnull, "."])
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for fd in (quiet, *kept):
            os.close(fd)


def preload(modules: list[tuple[str, str | None]], root: str) -> None:
    """Import what the tests needed from outside the repository, so that forks share it."""
    root = os.path.realpath(root) + os.sep
    for name, origin in modules:
        if not origin or os.path.realpath(origin).startswith(root):
            continue
        if name.split(".")[0] in NEVER_PRELOAD or "pytest" in name:
            continue
        if Path(origin).name.startswith(("test_", "conftest")) or name in sys.modules:
            continue
        with contextlib.suppress(Exception):
            if importlib.util.find_spec(name) is not None:
                importlib.import_module(name)


def with_candidate(
    job: dict[str, Any], item: dict[str, str], serial: int
) -> tuple[str, float, list[tuple[str, str | None]]]:
    """Run with one file replaced; the file's bytes and times are put back."""
    path = Path(job["root"], item["path"])
    original, stat = path.read_bytes(), path.stat()
    try:
        path.write_bytes(base64.b64decode(item["content"]))
        # Bytecode is trusted by whole seconds and size: a time of its own keeps each from the next.
        os.utime(path, (stat.st_atime, int(stat.st_mtime) + 10 * (serial + 1)))
        return attempt(job)
    finally:
        path.write_bytes(original)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def main() -> int:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    out = os.dup(1)
    sys.path[0:1] = job["paths"]
    sys.path += job["fallback"]
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        importlib.import_module(job["kind"])
    except ImportError as error:
        say(out, ready=False, why=str(error))
        return 3
    if job["kind"] == "pytest":
        load_plugins(Path(sys.argv[1]).parent)
    os.chdir(job["root"])
    before, seconds, modules = attempt(job, report_modules=True)
    if before != "red":
        say(out, ready=False, why=f"the failing tests are {before} here")
        return 3
    preload(modules, job["root"])
    sys.argv[:] = [job["kind"]]
    # Forks then share these pages: a collection would touch, and so copy, every one.
    gc.collect()
    gc.freeze()
    before, warm, _ = attempt(job)
    if before != "red":
        say(out, ready=False, why=f"the failing tests are {before} after preloading")
        return 3
    job["timeout_s"] = min(job["timeout_s"], max(2.0, 5 * warm + 1))
    say(out, ready=True, baseline_s=warm, cold_s=seconds)
    for serial, item in enumerate(job["jobs"]):
        outcome, seconds, _ = with_candidate(job, item, serial)
        say(out, i=serial, outcome=outcome, s=round(seconds, 4))
    return 0


if __name__ == "__main__":
    sys.exit(main())
