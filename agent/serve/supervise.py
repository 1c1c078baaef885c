"""Starts, finds, watches and stops engine workers. They outlive the run that started them.

Per worker, in the runtime directory (0700): `<key>.sock`, `.log`, `.json` (pid and what it runs)
and `.lock`. The key names the model file and the settings, so a changed model gets a new worker.
"""

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.errors import EngineError
from agent.types import Endpoint

__all__ = ["WorkerStatus", "ensure_worker", "stop_all", "stop_worker", "worker_status"]

_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")
_KEPT_PREFIXES = ("LC_", "XDG_", "LD_", "DYLD_", "CUDA_", "HIP_", "ROCR_", "GGML_", "OMP_")
"""The worker gets no API keys: it has no use for them."""
_SOCKET_LIMIT = 100
"""Unix socket paths are cut off at about 104 bytes."""
_LOG_LINES = 3

STAGE, SELF_TEST = "stage: ", "self-test"
"""How a worker's log names what comes next."""
_KERNEL_SIGNALS = {signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE}
"""What wrong machine code ends in."""

_children: dict[int, "subprocess.Popen[bytes]"] = {}
"""Workers this process started: kept so that a dead one is reaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One worker on record. `health` is its own JSON text; None when it does not answer."""

    key: str
    model: Path
    socket: Path
    pid: int
    alive: bool
    health: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    folder: Path
    key: str

    def file(self, suffix: str) -> Path:
        return self.folder / f"{self.key}.{suffix}"

    @property
    def socket(self) -> Path:
        path = self.file("sock")
        if len(str(path).encode()) < _SOCKET_LIMIT:
            return path
        short = hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]
        folder = Path(tempfile.gettempdir()) / f"pointsman-{os.getuid()}-{short}"
        return _private(folder) / f"{self.key}.sock"


def ensure_worker(
    model: Path,
    *,
    runtime_dir: Path,
    context: int = 8192,
    threads: int | None = None,
    idle_s: float = 900.0,
    kv: str = "auto",
    decisions: Path | None = None,
    start_s: float = 300.0,
    notify: Callable[[str], None] = lambda _: None,
) -> Endpoint:
    """The endpoint of a healthy worker for `model`, started or restarted where needed.

    `decisions`: a file to which every decoding decision is appended (see engine/replay.py).
    `notify` is told when a worker had died, with the reason. Raises EngineError with the worker's
    own words when it cannot be started.
    """
    model = model.resolve()
    place = _Place(_private(runtime_dir), _key(model, context, threads, kv, decisions))
    endpoint = Endpoint(base_url="http://worker/v1", uds=place.socket)
    if _health(place.socket):
        return endpoint
    with _locked(place.file("lock"), start_s):
        if _health(place.socket):  # someone else has started it meanwhile
            return endpoint
        record = _record(place)
        if record:
            _kill(record["pid"], place)
            if place.socket.exists():  # one that ends by itself takes its socket away
                notify(f"the engine worker had died: {_last_words(place)}; starting it again")
        _bring_up(model, place, _Run(context, threads, idle_s, kv, decisions), start_s, notify)
    return endpoint


@dataclass(frozen=True, slots=True)
class _Run:
    """How a worker is run."""

    context: int
    threads: int | None
    idle_s: float
    kv: str
    decisions: Path | None = None
    plain_cpu: bool = False


def _bring_up(
    model: Path, place: _Place, run: _Run, start_s: float, notify: Callable[[str], None]
) -> None:
    """Start a worker; once more without the fast CPU kernels where these end its self-test."""
    from agent.serve import cpupath

    folder = _cache()
    run = replace(run, plain_cpu=cpupath.is_avoided(folder, model))
    process = _start(model, place, run)
    try:
        _wait_until_healthy(process, place, start_s)
    except _KernelCrash as crash:
        if run.plain_cpu:
            raise
        cpupath.remember(folder, model, crash.signal)
        notify(
            f"the fast CPU kernels of llama.cpp crash here ({crash.signal} in the self-test of"
            f" {model.name}): it runs without them from now on"
        )
        process = _start(model, place, replace(run, plain_cpu=True))
        _wait_until_healthy(process, place, start_s)


class _KernelCrash(EngineError):
    """The worker ended by a signal while it tested itself."""

    def __init__(self, message: str, *, signal: str, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.signal = signal


def stop_worker(
    model: Path,
    *,
    runtime_dir: Path,
    context: int = 8192,
    threads: int | None = None,
    kv: str = "auto",
    decisions: Path | None = None,
) -> bool:
    """End the worker of `model` with these settings; whether there was one."""
    key = _key(model.resolve(), context, threads, kv, decisions)
    place = _Place(_private(runtime_dir), key)
    return _stop(place)


def stop_all(runtime_dir: Path) -> int:
    """End every worker on record; how many there were."""
    folder = _private(runtime_dir)
    return sum(_stop(_Place(folder, file.stem)) for file in sorted(folder.glob("*.json")))


def worker_status(runtime_dir: Path) -> tuple[WorkerStatus, ...]:
    """Every worker on record."""
    found = []
    for file in sorted(_private(runtime_dir).glob("*.json")):
        place = _Place(file.parent, file.stem)
        record = _record(place)
        if record is None:
            continue
        status = WorkerStatus(
            key=place.key,
            model=Path(record["model"]),
            socket=place.socket,
            pid=record["pid"],
            alive=_is_worker(record["pid"], place),
            health=_health(place.socket),
        )
        found.append(status)
    return tuple(found)


def _key(model: Path, context: int, threads: int | None, kv: str, decisions: Path | None) -> str:
    try:
        facts = model.stat()
    except OSError as error:
        raise EngineError(f"{model}: {error.strerror or error}") from error
    text = f"{model}:{facts.st_size}:{facts.st_mtime_ns}:{context}:{threads}:{kv}"
    text += f":{decisions}" if decisions else ""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _private(folder: Path) -> Path:
    """The directory, ours alone. Raises EngineError when it is somebody else's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.lstat()
    if folder.is_symlink() or facts.st_uid != os.getuid():
        raise EngineError(f"{folder} does not belong to this user")
    if facts.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


@contextlib.contextmanager
def _locked(path: Path, timeout_s: float) -> Iterator[None]:
    deadline = time.monotonic() + timeout_s
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise EngineError("another process keeps starting the engine") from error
                time.sleep(0.05)
        yield


def _cache() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("pointsman")


def _start(model: Path, place: _Place, run: _Run) -> "subprocess.Popen[bytes]":
    cache = _cache()
    argv = [sys.executable, "-P", "-m", "agent.serve.worker", "--model", str(model)]
    argv += ["--socket", str(place.socket), "--cache", str(cache / "calibration")]
    argv += ["--prefixes", str(cache / "prefixes")]
    argv += ["--context", str(run.context), "--idle", str(run.idle_s)]
    argv += ["--kv", run.kv]
    argv += ["--threads", str(run.threads)] if run.threads else []
    argv += ["--plain-cpu"] if run.plain_cpu else []
    argv += ["--decisions", str(run.decisions)] if run.decisions else []
    kept = {
        k: v for k, v in os.environ.items() if k in _KEPT_VARIABLES or k.startswith(_KEPT_PREFIXES)
    }
    with place.file("log").open("wb") as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=place.folder,
            env={**kept, "GGML_NO_BACKTRACE": "1", "PYTHONUNBUFFERED": "1"},
        )
    _children[process.pid] = process
    text = json.dumps({"pid": process.pid, "model": str(model)})
    place.file("json").write_text(text, encoding="utf-8")
    return process


def _wait_until_healthy(process: "subprocess.Popen[bytes]", place: _Place, start_s: float) -> None:
    deadline = time.monotonic() + start_s
    pause = 0.01
    while not _health(place.socket):
        if process.poll() is not None:
            _forget(place)
            raise _ended(process, place)
        if time.monotonic() > deadline:
            _kill(process.pid, place)
            _forget(place)
            raise EngineError(f"the engine worker was not ready after {start_s:.0f} s")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.25)


def _ended(process: "subprocess.Popen[bytes]", place: _Place) -> EngineError:
    """Why a worker ended while it was starting."""
    remedy = f"its log: {place.file('log')}"
    number = -(process.returncode or 0)
    if number in _KERNEL_SIGNALS and _stage(place) == SELF_TEST:
        name = signal.Signals(number).name
        return _KernelCrash(
            f"the engine worker ended by {name} in its self-test", signal=name, remedy=remedy
        )
    return EngineError(
        f"the engine worker ended while starting: {_last_words(place)}", remedy=remedy
    )


def _stage(place: _Place) -> str:
    """The last stage that the log names."""
    found = [x for x in _log(place).splitlines() if x.startswith(STAGE)]
    return found[-1].removeprefix(STAGE).strip() if found else ""


def _log(place: _Place) -> str:
    try:
        return place.file("log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _last_words(place: _Place) -> str:
    """The last lines of the log: the worker's own reason, or the library's."""
    lines = [line.strip() for line in _log(place).splitlines()]
    lines = [line for line in lines if line and not line.startswith(STAGE)]
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return "; ".join(told[-1:] or lines[-_LOG_LINES:])[:600] or "it was killed or ran out of memory"


def _record(place: _Place) -> dict[str, Any] | None:
    try:
        raw = json.loads(place.file("json").read_text(encoding="utf-8"))
        return {"pid": int(raw["pid"]), "model": str(raw["model"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_worker(pid: int, place: _Place) -> bool:
    """Whether the process is our worker, not another that got its number."""
    import psutil

    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        _children.pop(pid, None)
        return False
    try:
        return str(place.socket) in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def _kill(pid: int, place: _Place) -> None:
    """SIGTERM, then SIGKILL after two seconds; nothing when it is not our worker."""
    for sign, patience_s in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
        if not _is_worker(pid, place):
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and _is_worker(pid, place):
            time.sleep(0.02)
    child = _children.pop(pid, None)
    if child is not None:
        child.wait(timeout=5)


def _stop(place: _Place) -> bool:
    record = _record(place)
    if record is None:
        return False
    there = _is_worker(record["pid"], place)
    _kill(record["pid"], place)
    _forget(place)
    return there


def _forget(place: _Place) -> None:
    place.file("json").unlink(missing_ok=True)
    place.socket.unlink(missing_ok=True)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("worker", timeout=2.0)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.sock.close()
            raise


def _health(path: Path) -> str | None:
    """The worker's health as JSON text; None when it does not answer."""
    if not path.exists():
        return None
    connection = _Connection(path)
    try:
        connection.request("GET", "/health")
        response = connection.getresponse()
        body = response.read().decode("utf-8", "replace")
        return body if response.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
