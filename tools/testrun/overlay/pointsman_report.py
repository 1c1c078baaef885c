"""Runs inside the target's interpreter (3.8 and newer): the report, time limits and line tracing.

Imports the standard library only, and all of it before the repository is put on `sys.path`.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any

HARD_FACTOR = 1.5
HARD_EXTRA_S = 2.0
"""A test that survives SIGALRM this much longer hangs in C: the process is ended."""
MESSAGE_CHARS = 4000
INTERNAL = ("_pytest", "pluggy", "pointsman_report.py", "pointsman_pytest.py", "unittest")


class TestTimeout(BaseException):
    """Raised in the test by SIGALRM. Not an Exception: tests catch those."""

    __test__ = False


class Config:
    """What the runner asked for, from the JSON file named on the command line."""

    def __init__(self, path: str) -> None:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            data = json.load(file)
        self.root: str = data["root"]
        self.report: str = data["report"]
        self.hang: str = data["hang"]
        self.paths: list[str] = data["paths"]
        self.fallback: list[str] = data["fallback"]
        self.args: list[str] = data["args"]
        self.flags: dict[str, list[str]] = data["flags"]
        self.ids: set[str] = set(data["ids"])
        self.skip: set[str] = set(data["skip"])
        self.per_test_s: float = data["per_test_s"]
        self.coverage: bool = data["coverage"]

    def wants(self, test_id: str) -> bool:
        """Whether a test was asked for: by its id, or by the class, function or file it is in."""
        if test_id in self.skip:
            return False
        if not self.ids or test_id in self.ids:
            return True
        return any(test_id.startswith((i + "[", i + "::", i + ".")) for i in self.ids)


def prepare_paths(config: Config) -> None:
    """The repository first, our copies of missing packages last; the same for subprocesses."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[:] = [
        *config.paths,
        *(p for p in sys.path if p not in config.paths and p not in ("", here)),
        *config.fallback,
    ]
    os.environ["PYTHONPATH"] = os.pathsep.join(config.paths)


class Report:
    """One JSON object per line, flushed: what was written survives a crash of the process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._fd = os.open(config.report, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._pid = os.getpid()
        os.set_inheritable(self._fd, False)

    def write(self, **record: Any) -> None:
        if os.getpid() == self._pid:  # a test that forked must not report twice
            line = json.dumps(record) + "\n"
            os.write(self._fd, line.encode("utf-8", "backslashreplace"))

    def case(self, test_id: str, outcome: str, duration: float, error: Any = None) -> None:
        message, frames = ("", []) if error is None else describe(error, self._config.root)
        self.write(
            kind="case",
            id=test_id,
            outcome=outcome,
            duration=duration,
            message=message,
            frames=frames,
        )


def describe(error: BaseException, root: str) -> tuple[str, list[list[Any]]]:
    """Message and frames (path, line, function) of an exception, outermost first."""
    cause = error.__cause__
    if type(error).__name__ == "CollectError" and cause is not None:
        error = cause
    try:
        text = "%s: %s" % (type(error).__name__, error)  # noqa: UP031
    except Exception:  # an exception of the repository whose __str__ fails
        text = type(error).__name__
    frames = list(walk(error.__traceback__, root))
    if isinstance(error, SyntaxError) and error.filename:
        frames.append([relative(error.filename, root), error.lineno or 1, "<module>"])
    return text[:MESSAGE_CHARS], frames


def walk(trace: TracebackType | None, root: str) -> Iterator[list[Any]]:
    while trace is not None:
        code = trace.tb_frame.f_code
        if not internal(code.co_filename):
            yield [relative(code.co_filename, root), trace.tb_lineno, code.co_name]
        trace = trace.tb_next


def internal(path: str) -> bool:
    parts = path.replace(os.sep, "/").split("/")
    if path.startswith("<frozen"):
        return True
    return any(name in parts for name in INTERNAL) and not path.startswith("<")


def relative(path: str, root: str) -> str:
    """Relative to the root, with slashes, for a file below it; else as it is."""
    full = os.path.realpath(path)
    if full.startswith(root + os.sep):
        return full[len(root) + 1 :].replace(os.sep, "/")
    return path


class Clock:
    """The time limit of one test: an exception from SIGALRM, then the end of the process."""

    def __init__(self, config: Config) -> None:
        self._limit = config.per_test_s
        self._hang = open(config.hang, "w", encoding="utf-8")  # noqa: PTH123
        self.expired = False

    def start(self) -> None:
        self.expired = False
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self._limit, 0.5)
        hard = self._limit * HARD_FACTOR + HARD_EXTRA_S
        faulthandler.dump_traceback_later(hard, exit=True, file=self._hang)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.expired = True
        raise TestTimeout("the test took longer than %g s" % self._limit)  # noqa: UP031


class Lines:
    """Which lines of files below the root are executed between `start` and `stop`.

    Uses `sys.monitoring` where there is one (3.12): each line then reports once per test, and
    code outside the root reports nothing. Else `sys.settrace`, which leaves such code untraced.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._names: dict[str, str | None] = {}
        self._seen: dict[str, set[int]] = {}
        self._on = False
        self._monitoring: Any = getattr(sys, "monitoring", None)
        self._tool = -1
        self._ignored = tuple(
            os.path.realpath(path) + os.sep
            for path in {sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), sys.prefix}
            if path and os.path.realpath(path) != root
        )

    def _name(self, filename: str) -> str | None:
        if filename not in self._names:
            path = "" if filename.startswith("<") else os.path.realpath(filename)
            below = path.startswith(self._root + os.sep) and not path.startswith(self._ignored)
            self._names[filename] = relative(filename, self._root) if below else None
        return self._names[filename]

    def start(self) -> None:
        self._seen = {}
        self._on = True
        if self._monitoring is not None:
            self._start_monitoring()
            return
        threading.settrace(self._call)
        sys.settrace(self._call)

    def stop(self) -> dict[str, list[int]]:
        self._on = False
        if self._monitoring is not None:
            self._monitoring.set_events(self._tool, 0)
        else:
            sys.settrace(None)
            threading.settrace(None)
        return {name: sorted(lines) for name, lines in self._seen.items()}

    def _start_monitoring(self) -> None:
        monitoring = self._monitoring
        if self._tool < 0:
            self._tool = next(i for i in (4, 3, 5, 2, 1) if monitoring.get_tool(i) is None)
            monitoring.use_tool_id(self._tool, "pointsman")
            monitoring.register_callback(self._tool, monitoring.events.LINE, self._line)
        monitoring.set_events(self._tool, monitoring.events.LINE)
        monitoring.restart_events()

    def _line(self, code: CodeType, line: int) -> Any:
        name = self._name(code.co_filename)
        if name is not None and self._on:
            self._seen.setdefault(name, set()).add(line)
        return self._monitoring.DISABLE

    def _call(self, frame: FrameType, _event: str, _arg: Any) -> Callable[..., Any] | None:
        name = self._name(frame.f_code.co_filename)
        if name is None or not self._on:
            return None
        lines = self._seen.setdefault(name, set())

        def local(inner: FrameType, event: str, _arg: Any) -> Any:
            if event == "line":
                lines.add(inner.f_lineno)
            return local

        return local
