"""What a search over candidates needs, and what it says: see tools.validate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tools.quicktry import BatchResult
from tools.types import Candidate, Patch, TestRun

__all__ = ["Quicktry", "Runner", "Space", "StoppedBy", "Trial", "Validation", "Verdict"]

Verdict = Literal["red", "worse", "plausible", "broken", "untried"]
StoppedBy = Literal["exhausted", "deadline", "max_runs", "rivals", "sole", "infra"]


class Space(Protocol):
    """A copy of the repository that may be spoilt."""

    @property
    def root(self) -> Path: ...
    def read(self, path: str) -> bytes | None: ...
    def write(self, patch: Patch) -> object: ...
    def reset(self) -> object: ...


class Runner(Protocol):
    """Runs tests in one space; no ids: the whole suite."""

    def run(
        self,
        ids: tuple[str, ...] = (),
        *,
        timeout_s: float,
        per_test_timeout_s: float,
        fail_fast: bool,
    ) -> TestRun: ...


class Quicktry(Protocol):
    """Tries a batch at once; see tools.quicktry.ForkServer."""

    def run(
        self,
        root: Path,
        jobs: Sequence[tuple[str, bytes]],
        ids: Sequence[str],
        *,
        timeout_s: float,
        wall_s: float,
    ) -> BatchResult: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of one candidate. `broken`: it hung, crashed or could not be written."""

    candidate: Candidate
    verdict: Verdict
    run: TestRun | None = None
    """The full run, for plausible candidates and those that made the suite worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The end of a search. Rivals are groups of plausible candidates that differ in meaning."""

    plausible: tuple[Candidate, ...]
    rivals: tuple[tuple[Candidate, ...], ...]
    """Groups of synonyms; two groups or more: the tests cannot tell which is right."""
    sole: bool
    """One group, and the search is settled."""
    settled: bool = False
    """What could be a rival was tried: see `tools.rivals.missing`."""
    untried: float = 1.0
    """Share of the probability that is on candidates which were not tried, where it is known."""
    tried: int
    generated: int
    test_runs: int
    """Runs of a test command or, when batched, of the failing tests."""
    duration_s: float
    stopped_by: StoppedBy
    server: str = ""
    """`forked`, or why the plain runner was used."""
    runs: tuple[TestRun, ...] = ()
    """The full runs of `plausible`, in the same order."""
