"""Follows one child to its end: output, deadline, memory and number of the whole process tree."""

import os
import selectors
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Literal, Protocol

from tools.sandbox.output import CappedOutput
from tools.types import Cancel, CommandResult, Limits

Stopped = Literal["", "timeout", "memory", "processes", "cancelled"]

FIRST_SAMPLE_S = 0.02
SAMPLE_S = 0.1
"""A tree sample reads /proc once per process: 100 ms keeps it under 2 % of a core here."""
DRAIN_S = 1.0
"""How long output may still arrive after the command itself has ended."""
CANCELLED_DRAIN_S = 0.05
"""Somebody waits for the prompt to come back."""


class Child(Protocol):
    """A started command, whichever tier started it."""

    @property
    def pid(self) -> int: ...
    @property
    def stdout(self) -> IO[bytes]: ...
    @property
    def stderr(self) -> IO[bytes]: ...
    def ended(self) -> bool: ...
    def kill(self) -> None:
        """End the whole tree now. May be called more than once, also after the end."""
        ...

    def returncode(self) -> int:
        """Reap; negative for a signal. Called once, after `ended` or `kill`."""
        ...


@dataclass(slots=True)
class Tree:
    """What is known of a process tree. `seen` also holds what has since left the tree."""

    pid: int
    rss: int = 0
    peak: int = 0
    count: int = 0

    def sample(self) -> None:
        import psutil

        self.rss = self.count = 0
        with suppress(psutil.Error):
            root = psutil.Process(self.pid)
            for process in (root, *root.children(recursive=True)):
                with suppress(psutil.Error):
                    self.rss += process.memory_info().rss
                    self.count += 1
        self.peak = max(self.peak, self.rss)


def kill_tree(pid: int) -> None:
    """SIGKILL the process group of `pid` and every descendant that can still be found."""
    import psutil

    found: list[psutil.Process] = []
    with suppress(psutil.Error):
        found = psutil.Process(pid).children(recursive=True)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for process in found:
        with suppress(psutil.Error):
            process.kill()


class Watcher:
    """One command from start to CommandResult."""

    def __init__(self, child: Child, limits: Limits, cancel: Cancel | None = None) -> None:
        self._child = child
        self._cancel = cancel
        self._limits = limits
        self._tree = Tree(child.pid)
        self._out = CappedOutput(limits.output_bytes)
        self._err = CappedOutput(limits.output_bytes)
        self._selector = selectors.DefaultSelector()
        self._open = 0

    def follow(self, argv: tuple[str, ...], started: float) -> CommandResult:
        """Blocks until the command has ended. Ends the tree on any exception, also Ctrl-C."""
        stopped: Stopped = ""
        pidfd = _pidfd(self._child.pid)
        try:
            self._register(self._child.stdout, self._out)
            self._register(self._child.stderr, self._err)
            if pidfd is not None:
                self._selector.register(pidfd, selectors.EVENT_READ, None)
            stopped = self._until_end(started + self._limits.wall_s)
            if pidfd is not None:
                self._selector.unregister(pidfd)
            self._child.kill()
            self._drain(CANCELLED_DRAIN_S if stopped == "cancelled" else DRAIN_S)
        except BaseException:
            self._child.kill()
            raise
        finally:
            if pidfd is not None:
                os.close(pidfd)
            self._selector.close()
            self._child.stdout.close()
            self._child.stderr.close()
            code = self._child.returncode()
        return CommandResult(
            argv=argv,
            returncode=code,
            stdout=self._out.value(),
            stderr=self._err.value(),
            duration_s=time.monotonic() - started,
            stopped=stopped,
            peak_rss_mb=self._tree.peak / (1 << 20),
        )

    def _register(self, stream: IO[bytes], sink: CappedOutput) -> None:
        os.set_blocking(stream.fileno(), False)
        self._selector.register(stream, selectors.EVENT_READ, sink.feed)
        self._open += 1

    def _until_end(self, deadline: float) -> Stopped:
        next_sample = time.monotonic() + FIRST_SAMPLE_S
        while not self._child.ended():
            now = time.monotonic()
            if self._cancel is not None and self._cancel.is_set():
                return "cancelled"
            if now >= deadline:
                return "timeout"
            if now >= next_sample:
                self._tree.sample()
                if self._tree.rss > self._limits.memory_mb << 20:
                    return "memory"
                if self._tree.count > self._limits.processes:
                    return "processes"
                next_sample = now + SAMPLE_S
            self._pump(max(0.0, min(next_sample, deadline) - time.monotonic()))
        return ""

    def _pump(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            feed: Callable[[bytes], None] | None = key.data
            if feed is None:
                continue
            try:
                data = os.read(key.fd, 1 << 16)
            except BlockingIOError:
                continue
            if data:
                feed(data)
            else:
                self._selector.unregister(key.fileobj)
                self._open -= 1

    def _drain(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._open and (left := deadline - time.monotonic()) > 0:
            self._pump(left)


def _pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when `pid` ends; None where the system has none."""
    open_pidfd = getattr(os, "pidfd_open", None)
    if open_pidfd is None:
        return None
    try:
        return int(open_pidfd(pid))
    except OSError:
        return None
