"""Reads what the scripts in `overlay/` reported. The file was in the hands of the tests."""

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from tools.types import Frame, TestCase, TestOutcome

MAX_BYTES = 256 << 20
OUTCOMES = frozenset(get_args(TestOutcome))
PYTHON_FRAME = re.compile(r'^\s*File "(.+?)", line (\d+),? in (.+)$', re.MULTILINE)


@dataclass(slots=True, kw_only=True)
class Results:
    """One report, possibly of a process that did not reach its end."""

    cases: dict[str, TestCase] = field(default_factory=dict)
    lines: dict[str, dict[str, frozenset[int]]] = field(default_factory=dict)
    uncollected: list[str] = field(default_factory=list)
    running: str = ""
    """The test that had begun and not ended."""
    broken: str = ""
    """Why the test framework itself could not start."""
    collected: int | None = None
    exit: int | None = None
    """Exit code as the framework gave it; None if the process ended before it."""


def read_regular(path: Path, limit: int) -> bytes:
    """Up to `limit` bytes of a regular file; empty for a link, a FIFO, or nothing at all."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return b""
        return file.read(limit)


def read_report(path: Path) -> Results:
    """Unreadable lines are skipped: a torn last line is what a crash leaves."""
    results = Results()
    for line in read_regular(path, MAX_BYTES).splitlines():
        try:
            record = json.loads(line)
            _take(results, record)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return results


def _take(results: Results, record: dict[str, Any]) -> None:
    kind = record["kind"]
    if kind == "begin":
        results.running = str(record["id"])
    elif kind == "case":
        case = _case(record)
        results.cases[case.id] = case
        results.running = "" if results.running == case.id else results.running
    elif kind == "lines":
        files = record["lines"].items()
        results.lines[str(record["id"])] = {str(p): frozenset(map(int, n)) for p, n in files}
    elif kind == "collect-error":
        results.uncollected.append(str(record["id"]))
    elif kind == "collected":
        results.collected = int(record["count"])
    elif kind == "broken":
        results.broken = str(record["message"])
    elif kind == "end":
        results.exit = int(record["exit"])


def _case(record: dict[str, Any]) -> TestCase:
    if record["outcome"] not in OUTCOMES:
        raise ValueError(record["outcome"])
    return TestCase(
        id=str(record["id"]),
        outcome=record["outcome"],
        duration_s=float(record["duration"]),
        message=str(record["message"]),
        frames=tuple(
            Frame(path=str(p), line=int(n), function=str(f)) for p, n, f in record["frames"]
        ),
    )


def printed_frames(text: str, root: Path) -> tuple[Frame, ...]:
    """Frames of the last traceback in a program's output."""
    last = text.rpartition("Traceback (most recent call last)")[2]
    return tuple(_frames(last, root))


def dumped_frames(text: str, root: Path) -> tuple[Frame, ...]:
    """Frames of faulthandler's dump of the main thread, which comes innermost first."""
    main = text.rpartition("(most recent call first)")[2]
    return tuple(reversed(list(_frames(main, root))))


def _frames(text: str, root: Path) -> Iterator[Frame]:
    for name, line, function in PYTHON_FRAME.findall(text):
        path = Path(name)
        if path.is_absolute() and root in path.parents:
            name = path.relative_to(root).as_posix()
        yield Frame(path=name, line=int(line), function=function.strip())
