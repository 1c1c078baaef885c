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
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

from tools.index import files
from tools.index.build import Draft, Flow
from tools.index.extract import extract, read, rough
from tools.index.records import pack

__all__ = ["Parsed", "Workers", "main"]

Task = tuple[str, str, int]
"""Path, language, bytes."""
Parsed = tuple[str, str, bytes]
"""Path, blob id of what was read, stored record; for a file that is not fit, `!` and the reason in
place of the blob id, and no record."""

_FRAME = struct.Struct("<40sI")
_DRAFT = b"draft"
"""In place of a blob id."""
_DRAFT_BYTES = 4 << 20
"""Of sources, after which a draft is sent: it is held once, by the process that asked."""
_SIZES = struct.Struct(f"<{len(Draft._fields)}Q")
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]);"
    "from tools.index.worker import main; main()"
)


class Workers:
    """As many processes as there are processors, started before it is known what they will do.

    They load their libraries (0.1 s) while the files are listed; on Linux once for all of them.
    """

    def __init__(self) -> None:
        number = len(os.sched_getaffinity(0)) if _AFFINITY else os.cpu_count() or 1
        self._number = max(1, min(number, 8))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ready: list[_Pipes] = []
        together = self._number if sys.platform == "linux" else 1
        for _ in range(self._number // together):
            self._ready += self._start(together)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for pipes in self._ready:
            pipes.close()
        for process in self._processes:
            try:  # without its pipes a worker ends by itself
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, number: int) -> "list[_Pipes]":
        """Some workers that begin as one process."""
        home = str(Path(__file__).resolve().parents[2])
        # Not the current directory: it may be a repository with a package called `tools`.
        trusted = [home, *(p for p in sys.path if Path(p).is_absolute() and p != home)]
        pairs = [(os.pipe(), os.pipe()) for _ in range(number)]
        theirs = [(tasks[0], answers[1]) for tasks, answers in pairs]
        arguments = map(json.dumps, (trusted, theirs))
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, *arguments], cwd="/",
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                pass_fds=[fd for pair in theirs for fd in pair], env=os.environ | _ENVIRONMENT,
            )  # fmt: skip
        finally:
            for fd in (fd for pair in theirs for fd in pair):
                os.close(fd)
        self._processes.append(process)
        return [_Pipes(tasks[1], answers[0]) for tasks, answers in pairs]

    def parse(self, root: Path, tasks: Sequence[Task], keep: "Keep") -> list[Draft]:
        """Give `keep` every file as it is finished, from several threads; one that has gone
        meanwhile has an empty blob id.

        Returns the columns of all that have a record, in order of path; none if a worker died.
        """
        shares = _shares(sorted(tasks), self._number)
        with ThreadPoolExecutor(self._number) as pool:
            drafts = list(pool.map(lambda share: self._drive(root, share, keep), shares))
        return [d for some in drafts for d in some] if all(drafts) else []

    def _drive(self, root: Path, tasks: list[Task], keep: "Keep") -> list[Draft]:
        """One share of the work; a file on which a worker dies is read by the regex tier."""
        whole = len(tasks)
        while tasks:
            drafts: list[Draft] = []
            finished = 0
            with closing(self._ready.pop() if self._ready else self._start(1)[0]) as pipes:
                for parsed in _answers(pipes, root, tasks, drafts):
                    finished += 1
                    keep(parsed)
                if finished == whole and _draft(pipes, pipes.answers.read(_FRAME.size), drafts):
                    return drafts
            if finished < len(tasks):
                keep(_roughly(root, *tasks[finished][:2]))
                finished += 1
            tasks = tasks[finished:]
        return []


Keep = Callable[[Parsed], None]


def _roughly(root: Path, path: str, language: str) -> Parsed:
    source = files.read(root, path)
    if source is None:
        return path, "", b""
    blob = files.identity(source)
    return path, blob, b"" if blob[0] == "!" else extract([(source, language)], rough)[0]


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


_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""No algebra is done here; its threads would be started all the same."""
_PATIENCE_S = 2.0
_AFFINITY = hasattr(os, "sched_getaffinity")


class _Pipes:
    """Both ends towards one worker."""

    def __init__(self, tasks: int, answers: int) -> None:
        self.tasks, self.answers = os.fdopen(tasks, "wb"), os.fdopen(answers, "rb")

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self.tasks.close()
        self.answers.close()


def _answers(pipes: _Pipes, root: Path, tasks: list[Task], drafts: list[Draft]) -> Iterator[Parsed]:
    """What one worker answers, in the order of its tasks, until it ends or dies."""
    try:
        pipes.tasks.write(json.dumps([str(root), [t[:2] for t in tasks]]).encode())
        pipes.tasks.close()
    except BrokenPipeError:
        return
    for path, _, _ in tasks:
        header = pipes.answers.read(_FRAME.size)
        while _draft(pipes, header, drafts):
            header = pipes.answers.read(_FRAME.size)
        if len(header) < _FRAME.size:
            return
        blob, size = _FRAME.unpack(header)
        record = pipes.answers.read(size)
        if len(record) < size:
            return
        yield path, blob.rstrip(b"\0").decode(), record


def _draft(pipes: _Pipes, header: bytes, drafts: list[Draft]) -> bool:
    """Whether the header is that of a draft, and the draft is complete; it is added then."""
    if not header.startswith(_DRAFT):
        return False
    sizes = pipes.answers.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return False
    columns = [pipes.answers.read(size) for size in _SIZES.unpack(sizes)]
    drafts.append(Draft._make(columns))
    return tuple(map(len, columns)) == _SIZES.unpack(sizes)


def main() -> None:
    """The workers: for each a pair of pipes, named in the arguments."""
    import numpy as np  # noqa: F401  # while the tasks are being listed

    import tools.index.pyscan  # noqa: F401

    gc.disable()  # nothing here refers to itself, and looking for it takes 4 % of the time
    pairs: list[tuple[int, int]] = json.loads(sys.argv[2])
    own = pairs[0]
    others: list[int] = []
    for pair in pairs[1:]:
        # One thread and no locks yet: a fork has all that was loaded, at no cost.
        if (child := os.fork()) == 0:
            own, others = pair, []
            break
        others.append(child)
    for fd in (fd for pair in pairs if pair != own for fd in pair):
        os.close(fd)
    with os.fdopen(own[0], "rb") as tasks, os.fdopen(own[1], "wb") as answers:
        if given := tasks.read():
            root, wanted = json.loads(given)
            _work(root, wanted, answers)
    for child in others:
        os.waitpid(child, 0)


def _work(root: str, tasks: "Sequence[tuple[str, str]]", out: BinaryIO) -> None:
    """One frame a file; drafts of the files before them between the frames, and at the end. A file
    that has gone has an empty blob id."""
    flow, size = Flow(), 0
    for batch in _batches(Path(root), tasks):
        blobs = ["" if source is None else files.identity(source) for source, _ in batch]
        fit = [
            (source or b"", lang)
            for (source, lang), b in zip(batch, blobs, strict=True)
            if b[:1] not in ("", "!")
        ]
        if size > _DRAFT_BYTES:
            _send(flow.draft(), out)
            flow, size = Flow(), 0
        size += sum(len(source) for source, _ in fit)
        records = iter(read(fit))
        for blob in blobs:
            stored = b""
            if blob[:1] not in ("", "!"):
                record = next(records)
                flow.add(record)
                stored = pack(record)
            out.write(_FRAME.pack(blob.encode(), len(stored)))
            out.write(stored)
    _send(flow.draft(), out)


def _send(draft: Draft, out: BinaryIO) -> None:
    out.write(_FRAME.pack(_DRAFT, 0))
    out.write(_SIZES.pack(*map(len, draft)))
    out.writelines(draft)


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


_BATCH = 1 << 19
