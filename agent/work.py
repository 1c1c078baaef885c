"""What one run has in hand: its dependencies, fixed, and its findings, which grow."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent.config import Strategy
from agent.errors import BudgetExceeded, Cancelled
from agent.types import (
    CancelToken,
    EditFormatName,
    Location,
    Plan,
    Privacy,
    Route,
    StepKind,
    Task,
    Totals,
)
from tools.errors import SandboxError
from tools.types import Coverage, Hit, Sandbox, Suspect, TestCommand, TestRun

if TYPE_CHECKING:
    from agent.gateway import Gateway
    from agent.router import Place
    from tools.index import Index
    from tools.journal import Journal
    from tools.trials import Quicktry
    from tools.workspace import Workspace


class Runner(Protocol):
    """Runs the tests of one workspace (tools.testrun.TestRunner)."""

    @property
    def command(self) -> TestCommand: ...

    def run(
        self,
        ids: tuple[str, ...] = (),
        *,
        timeout_s: float = 120.0,
        per_test_timeout_s: float = 30.0,
        fail_fast: bool = False,
    ) -> TestRun: ...

    def coverage(
        self,
        ids: tuple[str, ...],
        *,
        timeout_s: float = 240.0,
        per_test_timeout_s: float = 60.0,
    ) -> tuple[TestRun, Coverage]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """Bounds of one run; the money is bounded by the gateway."""

    max_attempts: int = 2
    max_steps: int = 8
    max_wall_s: float = 1800.0
    max_tokens: int = 2_000_000
    test_timeout_s: float = 300.0
    per_test_timeout_s: float = 30.0
    zero_token: bool = True
    zero_token_s: float = 60.0
    zero_token_candidates: int = 600
    zero_token_ranker: bool = True
    """Whether candidates are tried in the learned order where that is expected to save time."""
    workers: int = 2
    seed: int | None = None
    """Of every request; None: the model's own."""
    temperature: float | None = None
    """Of every request; None: as the step asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What the loop must know of a model to talk to it."""

    name: str
    window: int
    edit_format: EditFormatName
    beam: int = 0
    strategy: Strategy = "auto"
    """How the user wants it decoded; engines other than ours do as they do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What the router is asked: a step, what it carries, and how it went so far."""

    step_kind: StepKind
    privacy: Privacy
    prompt_tokens: int
    failures: tuple[tuple[Location, int], ...] = ()
    """Failed attempts at this step, by location."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One attempt at a step, as the ledger keeps what became of it."""

    step_id: str
    request_id: str
    step_kind: StepKind
    location: Location
    model: str
    input_tokens: int
    """Of the request's context."""
    output_tokens: int
    """Of the accepted patch; 0 for an attempt that was refused."""


class Lessons(Protocol):
    """Keeps what execution says about attempts. Each attempt counts once, also when resumed."""

    def judged(self, tried: Tried, *, succeeded: bool) -> None: ...

    def saved(self, tried: Tried) -> None:
        """Estimate what one hosted request for this verified step would have cost."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """Everything a run needs, wired by app.py. Callables build what must be built per run."""

    run_id: str
    run_dir: Path
    root: Path
    base_commit: str | None
    limits: RunLimits
    sandbox: Sandbox
    index: "Index"
    journal: "Journal"
    gateway: "Gateway"
    cancel: CancelToken
    places: "tuple[Place, ...]"
    files: Callable[[], Sequence[str]]
    make_workspace: Callable[[Path], "Workspace"]
    find_runner: Callable[["Workspace", tuple[str, ...]], Runner]
    """With extra arguments for pytest. Raises TestCommandError where there are no tests to run."""
    built_runner: Callable[["Workspace"], Runner]
    """Runs a reproduction we built: pytest, whatever the repository uses."""
    quick: Callable[[Sequence[str], tuple[str, ...]], "Quicktry | None"]
    """The batch runner for some failing tests, where one can be used."""
    route: Callable[[Ask, frozenset[Location], Location | None], Route]
    """(question, locations that are down, where an escalation is latched) → Route."""
    facts: Callable[[Location], ModelFacts]
    privacy: Callable[[Sequence[str]], Privacy]
    lessons: Lessons
    totals: Callable[[], Totals]
    budget_usd_micro: int | None
    clock: Callable[[], float] = time.monotonic


@dataclass(slots=True, kw_only=True)
class Work:
    """The findings of a run so far. Only the loop and its stages write to it."""

    task: Task
    deps: Deps
    workspace: "Workspace"
    started: float
    runner: Runner | None = None
    baseline: TestRun | None = None
    """The whole suite before any change, the built reproduction included."""
    has_suite: bool = False
    extra_args: tuple[str, ...] = ()
    """What pytest needs beyond the test command to run here at all."""
    targets: tuple[str, ...] = ()
    """Test ids that show the problem: red before, to be green after."""
    unexecuted: SandboxError | None = None
    """Why nothing may be executed: there is no sandbox, or the user switched it off."""
    built: str | None = None
    """Path of the reproduction we wrote into the workspace; not part of the patch."""
    built_source: str = ""
    failure: str = ""
    """What the targets say, as a model is told it."""
    suspects: tuple[Suspect, ...] = ()
    hits: tuple[Hit, ...] = ()
    plan: Plan | None = None
    accepted: list[Tried] = field(default_factory=list)
    """Attempts whose patches are in the workspace."""
    latched: Location | None = None
    """Where an escalation went: later steps stay there."""
    down: set[Location] = field(default_factory=set)
    """Locations that failed in this run."""
    toolless: set[Location] = field(default_factory=set)
    """Locations whose server refused a request because of its tools."""
    last_failure: str = ""
    """What the last failed attempt was told."""
    unserved: str = ""
    """Why the router had no location for a step."""
    refuted: set[str] = field(default_factory=set)
    """Fingerprints of edits that tests refused: nobody tries them again."""
    standing: set[str] = field(default_factory=set)
    """Fingerprints of edits that satisfy the tests: proposing one again proves nothing."""
    rivals: int = 0
    """Plausible changes that tests cannot tell apart, whoever made them."""
    offered: str = ""
    """Diff of a patch that was found but not verified."""
    test_s: float = 0.0
    test_runs: int = 0
    model_s: float = 0.0
    requests: int = 0
    notes: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise when the user interrupted or the run's time is up. Called between actions."""
        if self.deps.cancel.is_set():
            raise Cancelled("interrupted; the working tree is as it was")
        if self.deps.clock() - self.started > self.deps.limits.max_wall_s:
            raise BudgetExceeded(
                f"the run's time limit of {self.deps.limits.max_wall_s:g} s is reached",
                remedy="raise it with --max-time SECONDS or limits.max_wall_s in the configuration",
            )

    def check_tokens(self) -> None:
        """Raise when the run's token limit is reached. Called before anything is sent."""
        totals = self.deps.totals()
        if totals.tokens_in + totals.tokens_out >= self.deps.limits.max_tokens:
            raise BudgetExceeded(
                f"the run's limit of {self.deps.limits.max_tokens:,} tokens is reached",
                remedy="raise it with --max-tokens N",
            )

    def remaining_s(self) -> float:
        return max(1.0, self.deps.limits.max_wall_s - (self.deps.clock() - self.started))

    def count(self, run: TestRun) -> TestRun:
        """Account for a test run."""
        self.test_runs += 1
        self.test_s += run.duration_s
        return run

    def next_request_id(self) -> str:
        self.requests += 1
        return f"{self.deps.run_id}/r{self.requests}"
