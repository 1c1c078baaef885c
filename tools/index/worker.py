"""Parsing in processes of their own, for repositories with hundreds of files to parse.

tree-sitter holds the interpreter lock, so threads do not help. A grammar is C code: should a file
crash it, only a worker dies, the file is read by the regex tier, and the work goes on.

Plain subprocesses, not `multiprocessing`: nothing depends on how the main program was started.
"""

import gc
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.index import files
from tools.index.build import Draft, Flow
from tools.index.extract import extract, read, rough
from tools.index.records import pack

__all__ = ["Answers", "Parsed", "Workers", "main"]

Task = tuple[str, str, int]
"""Path, language, bytes."""
Parsed = tuple[str, str, bytes]
"""Path, blob id of what was read, stored record; for a file that is not fit, `!` and the reason in
place of the blob id, and no record."""

_FRAME = struct.Struct("<40sI")
_SIZES = struct.Struct(f"<{len(Draft._fields)}Q")
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]);"
    "from tools.index.worker import main; main()"
)


class Workers:
    """As many processes as there are processors, started before it is known what they will do.

    They load their libraries (0.1 s) while the files are read and hashed.
    """

    def __init__(self) -> None:
        self._number = len(os.sched_getaffinity(0)) if _AFFINITY else os.cpu_count() or 1
        self._number = max(1, min(self._number, 8))
        self._ready = [_start() for _ in range(self._number)]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._ready:
            process.kill()
            process.communicate()

    def parse(self, root: Path, tasks: Sequence[Task], done: Callable[[int], None]) -> "Answers":
        """Records of many files; files that have gone meanwhile are left out.

        `done(n)` is called as files are finished.
        """
        shares = _shares(sorted(tasks), self._number)
        with ThreadPoolExecutor(self._number) as pool:
            answers = list(pool.map(lambda share: self._drive(root, share, done), shares))
        drafts = [a.drafts[0] for a in answers if a.drafts]
        return Answers(
            [parsed for a in answers for parsed in a.files],
            tuple(drafts) if len(drafts) == len(shares) else (),
        )

    def _drive(self, root: Path, tasks: list[Task], done: Callable[[int], None]) -> "Answers":
        """One share of the work; a file on which a worker dies is read by the regex tier."""
        found: list[Parsed] = []
        all_tasks = len(tasks)
        while tasks:
            finished = 0
            with self._ready.pop() if self._ready else _start() as process:
                for parsed in _answers(process, root, tasks):
                    finished += 1
                    done(1)
                    if parsed[1]:
                        found.append(parsed)
                if finished == all_tasks and (draft := _draft(process)) is not None:
                    return Answers(found, (draft,))
            if finished < len(tasks):
                path, language, _ = tasks[finished]
                source = files.read(root, path)
                if source is not None:
                    blob = files.identity(source)
                    fit = blob[0] != "!"
                    record = extract([(source, language)], rough)[0] if fit else b""
                    found.append((path, blob, record))
                finished += 1
            tasks = tasks[finished:]
        return Answers(found, ())


@dataclass(frozen=True, slots=True)
class Answers:
    """What the workers made of the files, sorted by path."""

    files: list[Parsed]
    drafts: tuple[Draft, ...]
    """The columns of all files that have a record, in order; none if a worker died."""


def _shares(tasks: list[Task], number: int) -> list[list[Task]]:
    """Consecutive tasks that take about as long together."""
    costs = [_START_COST + size * _COSTS.get(language, 1.5) for _, language, size in tasks]
    share = (sum(costs) or 1) / number
    shares: list[list[Task]] = [[] for _ in range(number)]
    before = 0.0
    for task, cost in zip(tasks, costs, strict=True):
        shares[min(number - 1, int((before + cost / 2) / share))].append(task)
        before += cost
    return shares


_START_COST = 2000.0
_COSTS = {"python": 1.0, "text": 0.4}
"""Of a byte, and of a file before its first; a tree costs more than rows."""


_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    # Memory of arrays is used again instead of given back to the system: 3 % of a worker's time.
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
}
_AFFINITY = hasattr(os, "sched_getaffinity")


def _start() -> "subprocess.Popen[bytes]":
    home = str(Path(__file__).resolve().parents[2])
    # Not the current directory: it may be a repository with a package called `tools`.
    trusted = [home, *(p for p in sys.path if Path(p).is_absolute() and p != home)]
    command = [sys.executable, "-I", "-S", "-c", _START, json.dumps(trusted)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/",
        env=os.environ | _ENVIRONMENT,
    )  # fmt: skip


def _answers(process: "subprocess.Popen[bytes]", root: Path, tasks: list[Task]) -> Iterator[Parsed]:
    """What one worker answers, in the order of its tasks, until it ends or dies."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps([str(root), [t[:2] for t in tasks]]).encode())
        process.stdin.close()
    except BrokenPipeError:
        return
    for path, _, _ in tasks:
        header = process.stdout.read(_FRAME.size)
        if len(header) < _FRAME.size:
            return
        blob, size = _FRAME.unpack(header)
        record = process.stdout.read(size)
        if len(record) < size:
            return
        yield path, blob.rstrip(b"\0").decode(), record


def _draft(process: "subprocess.Popen[bytes]") -> Draft | None:
    """What a worker sends at its end; None if it dies instead."""
    assert process.stdout is not None
    head = process.stdout.read(_SIZES.size)
    if len(head) < _SIZES.size:
        return None
    columns = [process.stdout.read(size) for size in _SIZES.unpack(head)]
    complete = tuple(map(len, columns)) == _SIZES.unpack(head)
    return Draft(*columns) if complete else None


def main() -> None:
    """The worker: tasks on standard input; on standard output one frame a file, and at the end the
    draft of all. A file that has gone has an empty blob id.
    """
    import numpy as np  # noqa: F401  # while the tasks are being listed

    import tools.index.pyscan  # noqa: F401

    gc.disable()  # nothing here refers to itself, and looking for it takes 4 % of the time
    root, tasks = json.load(sys.stdin)
    out, flow = sys.stdout.buffer, Flow()
    for batch in _batches(Path(root), tasks):
        blobs = ["" if source is None else files.identity(source) for source, _ in batch]
        fit = [
            (source or b"", lang)
            for (source, lang), b in zip(batch, blobs, strict=True)
            if b[:1] not in ("", "!")
        ]
        records = iter(read(fit))
        for blob in blobs:
            stored = b""
            if blob[:1] not in ("", "!"):
                record = next(records)
                flow.add(record)
                stored = pack(record)
            out.write(_FRAME.pack(blob.encode(), len(stored)))
            out.write(stored)
    draft = flow.draft()
    out.write(_SIZES.pack(*map(len, draft)))
    out.writelines(draft)
    out.flush()


def _batches(
    root: Path, tasks: Sequence[tuple[str, str]]
) -> Iterator[list[tuple[bytes | None, str]]]:
    """Bytes and languages of the files, a megabyte at a time; no bytes for one that has gone."""
    batch: list[tuple[bytes | None, str]] = []
    size = 0
    for path, language in tasks:
        source = files.read(root, path)
        batch.append((source, language))
        size += len(source or b"")
        if size > _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


_BATCH = 1 << 20
