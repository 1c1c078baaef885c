"""Runs the tests of a scratch copy, test by test reported, inside a sandbox."""

import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.errors import TestCommandError
from tools.sandbox import interpreter_paths
from tools.testrun.arguments import framework_arguments, pytest_safety
from tools.testrun.imports import source_directories
from tools.testrun.interpreter import target_environment
from tools.testrun.lend import SCRIPTS, Overlay, pytest_overlay
from tools.testrun.results import (
    Results,
    dumped_frames,
    printed_frames,
    read_regular,
    read_report,
)
from tools.testrun.verdict import DIED, status_of
from tools.types import (
    CommandResult,
    Coverage,
    Limits,
    Sandbox,
    TestCase,
    TestCommand,
    TestRun,
)

OUTPUT_CHARS = 20_000
MAX_RESTARTS = 8
"""How many tests may take the whole process with them before a run is given up."""
MEMORY_MB = 4096


@dataclass(slots=True)
class Progress:
    """What is known over the restarts of one run."""

    ids: tuple[str, ...]
    deadline: float
    per_test_s: float
    fail_fast: bool
    coverage: bool
    results: Results = field(default_factory=Results)
    died: list[str] = field(default_factory=list)
    last: CommandResult | None = None
    hang: str = ""
    """What faulthandler wrote when a test could not be interrupted."""


class TestRunner:
    """One command in one scratch copy; may be used any number of times.

    `root` is what is tested, `original_root` the user's tree it was copied from: the packages of
    `root` are imported from `root` even where an editable install points to the original.
    `environ` is the user's environment, from which ours and all credentials are taken out.
    """

    __test__ = False

    def __init__(
        self,
        *,
        sandbox: Sandbox,
        root: Path,
        command: TestCommand,
        interpreter: Path,
        original_root: Path | None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._root = root.resolve()
        self._command = command
        self._interpreter = interpreter
        self._original = original_root.resolve() if original_root else None
        self._environ = dict(environ or {})

    @property
    def command(self) -> TestCommand:
        return self._command

    @property
    def interpreter(self) -> Path:
        """The target's Python."""
        return self._interpreter

    def run(
        self,
        ids: tuple[str, ...] = (),
        *,
        timeout_s: float = 120,
        per_test_timeout_s: float = 30,
        fail_fast: bool = False,
    ) -> TestRun:
        """All tests, or those of `ids`. Raises SandboxError, and TestCommandError if the target's
        Python can run no pytest at all; everything else is a status."""
        progress = Progress(
            ids, time.monotonic() + timeout_s, per_test_timeout_s, fail_fast, coverage=False
        )
        return self._start(progress)

    def coverage(
        self,
        ids: tuple[str, ...] = (),
        *,
        timeout_s: float = 240,
        per_test_timeout_s: float = 60,
    ) -> tuple[TestRun, Coverage]:
        """The same, with the lines each test executed in files below the root.

        Lines executed while modules are imported belong to no test. A `command` has none.
        """
        progress = Progress(
            ids, time.monotonic() + timeout_s, per_test_timeout_s, fail_fast=False, coverage=True
        )
        run = self._start(progress)
        return run, Coverage(lines=progress.results.lines)

    def _start(self, progress: Progress) -> TestRun:
        started = time.monotonic()
        if self._command.kind == "command":
            return self._by_exit_code(progress.deadline - started)
        if not self._interpreter.exists():
            return self._broken(f"the interpreter {self._interpreter} is gone")
        self._until_done(progress)
        return self._conclude(progress, time.monotonic() - started)

    def _until_done(self, progress: Progress) -> None:
        """Starts again behind each test that took the process with it."""
        for _ in range(MAX_RESTARTS + 1):
            left = progress.deadline - time.monotonic()
            if left <= 0:
                return
            found = self._once(progress, left)
            assert progress.last is not None
            merged = progress.results
            merged.cases |= found.cases
            merged.lines |= found.lines
            merged.uncollected = found.uncollected
            merged.exit, merged.broken = found.exit, found.broken
            merged.collected = found.collected if merged.collected is None else merged.collected
            merged.running = found.running
            if not found.running or found.exit is not None:
                return
            merged.cases[found.running] = self._lost(found.running, progress)
            progress.died.append(found.running)
            if progress.last.stopped or progress.fail_fast:
                return

    def _once(self, progress: Progress, timeout_s: float) -> Results:
        kind = self._command.kind
        lent = pytest_overlay(self._interpreter) if kind == "pytest" else Overlay()
        directory = Path(tempfile.mkdtemp(prefix="pointsman-tests-")).resolve()
        try:
            config = directory / "config.json"
            config.write_text(json.dumps(self._config(progress, directory, lent)), "utf-8")
            script = SCRIPTS / f"pointsman_{kind}.py"
            progress.last = self._sandbox.run(
                (str(self._interpreter), str(script), str(config)),
                cwd=self._root,
                env=self._environment(),
                limits=Limits(wall_s=timeout_s, memory_mb=MEMORY_MB),
                writable=(self._root, directory),
                readable=self._readable(lent),
            )
            results = read_report(directory / "report.jsonl")
            progress.hang = read_regular(directory / "hang.txt", 1 << 20).decode(errors="replace")
            return results
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _config(self, progress: Progress, directory: Path, lent: Overlay) -> dict[str, object]:
        done = [name for name in progress.results.cases if name not in progress.results.uncollected]
        args = framework_arguments(self._command, self._root, progress.ids)
        flags: dict[str, list[str]] = {}
        if self._command.kind == "pytest":
            fixed, flags = pytest_safety(args, self._root, directory)
            args = (*args, *fixed, *(("--maxfail=1",) if progress.fail_fast else ()))
        elif progress.fail_fast:
            args = (*args, "-f")
        return {
            "root": str(self._root),
            "report": str(directory / "report.jsonl"),
            "hang": str(directory / "hang.txt"),
            "paths": [str(path) for path in source_directories(self._root)],
            "fallback": [str(lent.directory)] if lent.directory else [],
            "args": list(args),
            "flags": flags,
            "ids": list(progress.ids),
            "skip": done,
            "per_test_s": progress.per_test_s,
            "coverage": progress.coverage,
        }

    def _environment(self) -> dict[str, str]:
        environ = target_environment(self._environ)
        # `make test` and subprocesses of tests then find the same interpreter by its name
        path = f"{self._interpreter.parent}:{environ['PATH']}"
        return environ | {
            "PATH": path,
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def _readable(self, lent: Overlay) -> tuple[Path, ...]:
        paths = [SCRIPTS, *interpreter_paths(self._interpreter), *lent.readable]
        if lent.directory:
            paths.append(lent.directory)
        return tuple(path for path in paths if path.exists())

    def _lost(self, test_id: str, progress: Progress) -> TestCase:
        """The test during which the process ended: by our deadline, or by its own doing."""
        last = progress.last
        assert last is not None
        frames = dumped_frames(progress.hang, self._root)
        if last.stopped == "timeout" or "Timeout (" in progress.hang:
            limit = f"{progress.per_test_s:g} s"
            message = f"Timeout: the test took longer than {limit} and could not be interrupted"
            return TestCase(id=test_id, outcome="timeout", message=message, frames=frames)
        why = f"limit reached: {last.stopped}" if last.stopped else f"exit code {last.returncode}"
        message = f"{DIED} ({why})"
        return TestCase(id=test_id, outcome="error", message=message, frames=frames)

    def _conclude(self, progress: Progress, duration_s: float) -> TestRun:
        last, results = progress.last, progress.results
        if last is None:
            return self._broken("no time was left to start the tests")
        output = (last.stdout + last.stderr).decode(errors="replace")
        run = TestRun(
            command=self._command,
            cases=tuple(self._located(case) for case in results.cases.values()),
            status="infra",
            exit_code=last.returncode,
            output=output[-OUTPUT_CHARS:],
            duration_s=duration_s,
        )
        return replace(run, status=status_of(run, results, last, given_ids=bool(progress.ids)))

    def _located(self, case: TestCase) -> TestCase:
        """unittest keeps the traceback of a module that cannot be imported only as text."""
        if case.outcome == "error" and not case.frames and "Traceback (most" in case.message:
            return replace(case, frames=printed_frames(case.message, self._root))
        return case

    def _by_exit_code(self, timeout_s: float) -> TestRun:
        self._require_program()
        result = self._sandbox.run(
            self._command.argv,
            cwd=self._root,
            env=self._environment(),
            limits=Limits(wall_s=max(timeout_s, 1.0), memory_mb=MEMORY_MB),
            writable=(self._root,),
            readable=interpreter_paths(self._interpreter),
        )
        output = (result.stdout + result.stderr).decode(errors="replace")
        passed = result.returncode == 0 and not result.stopped
        stopped = "timeout" if result.stopped == "timeout" else "failed"
        case = TestCase(
            id=" ".join(self._command.argv),
            outcome="passed" if passed else "timeout" if stopped == "timeout" else "failed",
            duration_s=result.duration_s,
            message="" if passed else output.strip()[-2000:] or f"exit code {result.returncode}",
            frames=() if passed else printed_frames(output, self._root),
        )
        started = result.returncode not in (126, 127)
        return TestRun(
            command=self._command,
            cases=(case,) if started else (),
            status=("passed" if passed else stopped) if started else "infra",  # type: ignore[arg-type]
            exit_code=result.returncode,
            output=output[-OUTPUT_CHARS:],
            duration_s=result.duration_s,
        )

    def _require_program(self) -> None:
        """Raises TestCommandError: a command that cannot be started is the user's to correct."""
        name, path = self._command.argv[0], self._environment()["PATH"]
        there = (self._root / name).exists() if "/" in name else shutil.which(name, path=path)
        if not there:
            raise TestCommandError(
                f"the test command {' '.join(self._command.argv)!r} ({self._command.source}):"
                f" there is no program {name!r}",
                remedy="check it and PATH, or pass another with --test 'COMMAND'",
            )

    def _broken(self, why: str) -> TestRun:
        return TestRun(
            command=self._command, cases=(), status="infra", exit_code=-1, output=why, duration_s=0
        )
