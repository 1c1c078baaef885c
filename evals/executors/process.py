"""Units in processes of this machine: each thread of a pool waits for one process at a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock

from agent.paths import cache_dir, data_dir
from evals.result import RESULT, UNIT, Result, Unit, load_unit_result, write_json
from evals.unit import PREDICTION, failed

__all__ = ["ProcessExecutor"]

GRACE_S = 420.0
"""Beyond the agent's own limit, for grading and its control run."""
LOG = "log.txt"


@dataclass(slots=True)
class ProcessExecutor:
    """`workers` units at a time. Leaving the iteration early ends the processes."""

    workers: int = 1
    grace_s: float = GRACE_S

    def map(self, units: Iterable[tuple[Unit, Path]]) -> Iterator[Result]:
        running: set[subprocess.Popen[bytes]] = set()
        lock = Lock()
        pool = ThreadPoolExecutor(max_workers=max(self.workers, 1))
        try:
            waiting = [pool.submit(self._one, u, d, running, lock) for u, d in units]
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            with lock:
                for process in running:
                    _end(process)
            pool.shutdown(wait=True)

    def _one(
        self, unit: Unit, directory: Path, running: set[subprocess.Popen[bytes]], lock: Lock
    ) -> Result:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / PREDICTION).unlink(missing_ok=True)
        write_json(directory / UNIT, asdict(unit))
        with (directory / LOG).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "evals.unit", str(directory)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(directory),
                start_new_session=True,
            )
        with lock:
            running.add(process)
        try:
            code: int | None = process.wait(unit.max_wall_s + self.grace_s)
        except subprocess.TimeoutExpired:
            code = None
            _end(process)
        finally:
            with lock:
                running.discard(process)
        result = load_unit_result(directory / RESULT)
        if result is None:
            result = _cut_off(unit, directory, code)
            write_json(directory / RESULT, asdict(result))
        return result


def _environment(directory: Path) -> dict[str, str]:
    """The user's, with state directories of the unit's own. Cache and models stay shared: sources,
    environments and GGUF files are read-only to the agent's sandbox or not visible in it."""
    state = directory / "work-state"
    return {
        **os.environ,
        "XDG_STATE_HOME": str(state / "state"),
        "XDG_CONFIG_HOME": str(state / "config"),
        "XDG_CACHE_HOME": str(cache_dir().parent),
        "XDG_DATA_HOME": str(data_dir().parent),
    }


def _cut_off(unit: Unit, directory: Path, code: int | None) -> Result:
    """A process that left no result. An agent that does not keep its own limit has not solved it;
    a worker that is lost, or a grading that hangs, says nothing about the agent."""
    if code is None and not (directory / PREDICTION).exists():
        why = f"the agent did not end within {unit.max_wall_s:g} s and a long grace"
        return replace(failed(unit, why), status="unresolved", exit_reason="hard limit")
    if code is None:
        return failed(unit, "the grading did not end")
    tail = (directory / LOG).read_bytes()[-300:].decode("utf-8", "replace").strip()
    return failed(unit, f"the worker was lost (exit code {code}): {tail}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """The whole process group: a unit starts sandboxes."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
