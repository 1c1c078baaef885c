"""Starts processes from one thread that lives as long as we do.

The kernel's parent-death signal, which `bwrap --die-with-parent` asks for, follows the *thread*
that forked: a command started from a short-lived worker thread would be killed with that thread.
"""

import os
import queue
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, TypeVar

from tools.sandbox.caps import drop_all
from tools.sandbox.watch import kill_tree

T = TypeVar("T")

Work = queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]]

_lock = threading.Lock()
_queues: dict[tuple[int, bool], Work] = {}


def on_spawner(call: Callable[[], T]) -> T:
    """Run `call` on the spawner thread of this process and return what it returns."""
    return _hand_over(call, _lasting("sandbox-spawner", privileged=True))


def without_privileges(call: Callable[[], T]) -> T:
    """The same on a thread that has given up every capability. Raises OSError if it could not."""
    return _hand_over(call, _lasting("sandbox-unprivileged", privileged=False))


def _lasting(name: str, *, privileged: bool) -> Work:
    key = (os.getpid(), privileged)  # a forked child has no threads of ours: it gets its own
    with _lock:
        if key not in _queues:
            work: Work = queue.SimpleQueue()
            threading.Thread(target=_serve, args=(work,), name=name, daemon=True).start()
            if not privileged:
                _hand_over(drop_all, work)
            _queues[key] = work
        return _queues[key]


def _hand_over(call: Callable[[], T], work: Work) -> T:
    future: Future[T] = Future()
    work.put((call, future))
    return future.result()


def _serve(work: Work) -> None:
    while True:
        call, future = work.get()
        try:
            future.set_result(call())
        except BaseException as error:  # handed to the caller, who raises it
            future.set_exception(error)


class PopenChild:
    """A `Child` over subprocess, in a session of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdout: IO[bytes] = process.stdout
        self.stderr: IO[bytes] = process.stderr
        self.pid = process.pid

    def ended(self) -> bool:
        """Without reaping: until `returncode` the number cannot be given to another process."""
        if self._process.returncode is not None:
            return True
        if not hasattr(os, "waitid"):  # macOS
            return self._process.poll() is not None
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, flags) is not None

    def kill(self) -> None:
        if self._process.returncode is None:
            kill_tree(self.pid)

    def returncode(self) -> int:
        return self._process.wait()


def popen(
    argv: tuple[str, ...],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    pass_fds: tuple[int, ...] = (),
) -> PopenChild:
    """Start `argv` with no input, both outputs piped. Raises OSError."""
    return on_spawner(
        lambda: PopenChild(
            subprocess.Popen(
                argv,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        )
    )
