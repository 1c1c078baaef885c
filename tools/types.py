"""Values that pass between the tools, and from the tools to the agent.

Paths inside a repository are `str`, relative to its root, with `/` separators.
Line numbers are 1-based. Durations are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

# --------------------------------------------------------------------------- commands


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one sandboxed command may use."""

    wall_s: float = 120.0
    memory_mb: int = 4096
    """Resident memory of the whole process tree."""
    processes: int = 256
    output_bytes: int = 4 << 20
    """Kept per stream; the middle is dropped and said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """One finished command. `stopped` says why we ended it, if we did."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes
    duration_s: float
    stopped: Literal["", "timeout", "memory", "processes", "cancelled"] = ""
    peak_rss_mb: float = 0.0


class Cancel(Protocol):
    """Set when the user interrupts; a running command is killed within two tenths of a second."""

    def is_set(self) -> bool: ...


class Sandbox(Protocol):
    """Runs one command where it can do no harm.

    Raises SandboxError if the command could not be started; a command that fails, times out or is
    killed for memory is a CommandResult.
    """

    @property
    def name(self) -> str: ...

    def run(
        self,
        argv: tuple[str, ...],
        *,
        cwd: Path,
        env: Mapping[str, str],
        limits: Limits,
        writable: tuple[Path, ...] = (),
        readable: tuple[Path, ...] = (),
        network: bool = False,
        cancel: Cancel | None = None,
    ) -> CommandResult:
        """`cwd` must lie inside one of `writable`, else it is read-only too."""
        ...


# --------------------------------------------------------------------------- tests

TestKind = Literal["pytest", "unittest", "command"]
TestOutcome = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed", "timeout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCommand:
    """How the tests of a repository are run."""

    __test__ = False
    kind: TestKind
    argv: tuple[str, ...]
    """Complete; for pytest without node ids and report options, which the runner adds."""
    source: str
    """Where it was found: `--test`, `pyproject.toml [tool.pytest.ini_options]`, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One traceback entry. `path` is relative for files of the repository, absolute otherwise."""

    path: str
    line: int
    function: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCase:
    """One test. `id` is what selects it again: a pytest node id or a dotted unittest name."""

    __test__ = False
    id: str
    outcome: TestOutcome
    duration_s: float = 0.0
    message: str = ""
    """Exception and its last lines; empty when passed."""
    frames: tuple[Frame, ...] = ()
    """Outermost first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRun:
    """One run of a test command. `status` never mixes infrastructure with failure."""

    __test__ = False
    command: TestCommand
    cases: tuple[TestCase, ...]
    status: Literal["passed", "failed", "no_tests", "collection_error", "timeout", "infra"]
    exit_code: int
    output: str
    """Tail of stdout and stderr together, decoded with replacement."""
    duration_s: float

    @property
    def failing(self) -> tuple[str, ...]:
        return tuple(c.id for c in self.cases if c.outcome in ("failed", "error", "timeout"))

    @property
    def passing(self) -> tuple[str, ...]:
        return tuple(c.id for c in self.cases if c.outcome in ("passed", "xfailed", "xpassed"))

    def case(self, test_id: str) -> TestCase | None:
        return next((c for c in self.cases if c.id == test_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Lines executed per test: test id -> path -> line numbers."""

    lines: Mapping[str, Mapping[str, frozenset[int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A place that may be at fault. `score` orders suspects of one list; larger is likelier."""

    path: str
    line: int | None
    symbol: str | None
    score: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A single-edit repair: lines `line..end_line` of `path` become `after`."""

    path: str
    line: int
    end_line: int
    before: str
    after: str
    operator: str
    """Name of the edit operator, e.g. `comparison`."""
    tier: int
    """Cost tier: 0 is tried first."""
    suspicion: float = 0.0


# --------------------------------------------------------------------------- edits


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """Whole contents before and after, bytes exactly. `None`: the file does not exist there."""

    path: str
    before: bytes | None
    after: bytes | None
    mode: int | None = None
    """Permission bits for a created file; None keeps what is there (0o644 for a new file)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A set of file changes that is applied whole or not at all."""

    changes: tuple[FileChange, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(c.path for c in self.changes)


class FileReader(Protocol):
    """Reads a file of the repository; None if there is no such regular file."""

    def __call__(self, path: str) -> bytes | None: ...


class EditFormat(Protocol):
    """A prompt fragment, a parser, and errors written for a model.

    `parse` returns the changes the answer asks for, or raises an EditError.
    """

    @property
    def name(self) -> str: ...

    def parse(self, answer: str, read: FileReader) -> Patch: ...


# --------------------------------------------------------------------------- index


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """A definition. `name` is qualified within its file: `Class.method`."""

    path: str
    name: str
    kind: Literal["class", "function", "method", "constant", "module", "type"]
    line: int
    end_line: int
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A search result with the reason it is there."""

    path: str
    symbol: str | None
    line: int
    end_line: int
    score: float
    reasons: tuple[str, ...] = field(default=())
