"""Units in processes of this machine: each thread of a pool waits for one process at a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from threading import Lock

from agent.paths import cache_dir, data_dir
from evals.result import RESULT, UNIT, Result, Unit, load_unit_result, write_json
from evals.unit import PREDICTION, failed

__all__ = ["ProcessExecutor", "run_one"]

GRACE_S = 780.0
"""Beyond the agent's own limit, for grading and its control run."""
LOG = "log.txt"


@dataclass(slots=True)
class ProcessExecutor:
    """`workers` units at a time. Leaving the iteration early ends the processes."""

    workers: int = 1
    grace_s: float = GRACE_S

    def map(self, units: Iterable[tuple[Unit, Path]]) -> Iterator[Result]:
        running = Running()
        pool = ThreadPoolExecutor(max_workers=max(self.workers, 1))
        left = iter(units)
        waiting: set[Future[Result]] = set()
        try:
            while True:
                for unit, directory in islice(left, max(self.workers, 1) - len(waiting)):
                    waiting.add(pool.submit(run_one, unit, directory, self.grace_s, running))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            running.end()
            pool.shutdown(wait=True)


class Running:
    """The processes that are under way, for the one who gives up."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()

    def add(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._processes.add(process)

    def remove(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._processes.discard(process)

    def end(self) -> None:
        with self._lock:
            for process in self._processes:
                _end(process)


def run_one(
    unit: Unit, directory: Path, grace_s: float = GRACE_S, running: Running | None = None
) -> Result:
    """A unit in a process of its own; its result, which is also in `directory` if it can be."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / PREDICTION).unlink(missing_ok=True)
        write_json(directory / UNIT, asdict(unit))
        code = _waited(unit, directory, grace_s, running or Running())
        result = load_unit_result(directory / RESULT)
        if result is None:
            result = _cut_off(unit, directory, code)
            write_json(directory / RESULT, asdict(result))
    except OSError as error:  # a full disk, say: what cannot be written is not a result
        return failed(unit, f"{directory.name} cannot be written: {error.strerror or error}")
    return result


def _waited(unit: Unit, directory: Path, grace_s: float, running: Running) -> int | None:
    """The exit code; None where the process had to be ended."""
    with (directory / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "evals.unit", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(directory),
            start_new_session=True,
        )
    running.add(process)
    try:
        return process.wait(unit.max_wall_s + grace_s)
    except subprocess.TimeoutExpired:
        _end(process)
        return None
    finally:
        running.remove(process)


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
