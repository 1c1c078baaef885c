"""What happens during a run, as frozen values. The loop yields them; CLI, TUI, serve, evals and
replay consume them. `trajectory.py` writes them as JSONL: every field is JSON-able by
`dataclasses.asdict`. Adding a field with a default keeps old trajectories readable.
"""

from dataclasses import dataclass
from typing import Literal

from agent.router import Place
from agent.types import DecodeStats, Outcome, Plan, Route, Step, StepKind, Task, Totals, Usage
from tools.types import Hit, Suspect, TestCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    run_id: str
    task: Task
    base_commit: str | None
    """None outside git or before the first commit."""
    sandbox: str
    version: str
    places: tuple[Place, ...] = ()
    """What could have answered: replay routes over the same places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stage began; UIs show it until the next one."""

    name: Literal[
        "index", "reproduce", "localize", "enumerate", "plan", "edit", "test", "verify", "apply"
    ]
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a stage is. `total` None: unknown."""

    phase: str
    done: int
    total: int | None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReady:
    files: int
    symbols: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCommandFound:
    __test__ = False
    command: TestCommand
    interpreter: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestsFinished:
    """A test run, summarised. The full output is in the run's directory under `log`."""

    __test__ = False
    purpose: Literal["baseline", "reproduce", "candidate", "step", "verify"]
    status: str
    passed: int
    failed: tuple[str, ...]
    duration_s: float
    tail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduced:
    """The red evidence: existing failing tests, or a test built from the issue, or nothing."""

    kind: Literal["existing", "built", "none"]
    failing: tuple[str, ...]
    reason: str
    test_source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Localized:
    suspects: tuple[Suspect, ...]
    hits: tuple[Hit, ...]
    method: str
    """`trace+ochiai+search`, `search`, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatesTried:
    """The zero-token stage."""

    generated: int
    tried: int
    plausible: int
    test_runs: int
    duration_s: float
    by: str = "enumerate"
    """`enumerate`, `ranker`, `mini`; `rivals`: changes near a proposal that stands alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReady:
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    step_id: str
    step_kind: StepKind
    route: Route


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    step: Step
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    step_id: str
    attempt: int
    status: Literal["done", "failed", "refused", "skipped"]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """Streamed text of the answer being written."""

    step_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStarted:
    """A reservation was committed and an attempt is about to be sent."""

    request_id: str
    attempt: int
    ledger_row: int
    route: Route
    reserved_usd_micro: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinished:
    """An attempt ended and its ledger row is closed."""

    request_id: str
    ledger_row: int
    status: Literal["settled", "released", "unknown"]
    usage: Usage | None
    usd_micro: int | None
    duration_s: float
    error: str = ""
    decode: DecodeStats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRecorded:
    """The answer, recorded before anything parses it. Replay and resume are served from these."""

    request_id: str
    fingerprint: str
    """Hash of everything in the request but its id."""
    completion_json: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditProposed:
    step_id: str
    diff: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRefused:
    """The answer could not become a patch; `message` is what the model is told."""

    step_id: str
    error: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalated:
    reason: str
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something the user should know; never an error of the run itself."""

    message: str
    remedy: str | None = None
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Totals of the run after a change."""

    totals: Totals
    budget_usd_micro: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """Always the last event; a consumer may rely on it."""

    run_id: str
    outcome: Outcome
    totals: Totals
    duration_s: float
    model_s: float
    test_s: float
    test_runs: int


# --------------------------------------------------------------------------- conversations


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    """A turn of a conversation began: the user said something, or an interrupted turn goes on."""

    conversation_id: str
    turn: int
    text: str
    mode: str
    resumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingDelta:
    """Streamed thinking of the answer being written; not part of the answer."""

    step_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted:
    """A tool call is about to be carried out (after its approval, if it needed one)."""

    call_id: str
    name: str
    summary: str
    """One line: `read shop.py 1-40`."""
    argv: tuple[str, ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished:
    """A tool call ended. `output` is what the model is told."""

    call_id: str
    name: str
    ok: bool
    summary: str
    """One line: `40 lines`, `exit 1`, `refused: …`."""
    output: str
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked:
    """The turn waits for the approver. `prefix` is what "always" would remember."""

    call_id: str
    kind: str
    summary: str
    argv: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    exact: bool = False
    """Only this very command would be remembered, not what begins like it."""
    diff: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAnswered:
    call_id: str
    answer: Literal["yes", "always", "no"]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditApplied:
    """A change is in the user's tree, through the journal: `entry_id` takes it back."""

    call_id: str
    entry_id: str
    paths: tuple[str, ...]
    diff: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """The older part of the conversation is now a summary."""

    reason: str
    before_tokens: int
    after_tokens: int
    by: str
    """`provider/model`, or `digest` where no model wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFinished:
    """Always the last event of a turn."""

    conversation_id: str
    turn: int
    status: Literal["answered", "refused", "limit", "interrupted", "failed", "unserved"]
    reason: str
    exit_code: int
    totals: Totals
    duration_s: float
    text: str = ""
    """The last answer."""
    pending_diff: str = ""
    """Changes made in the scratch copy that are not in the user's tree."""
    denied: int = 0
    """Approvals that were refused."""
    next_command: str | None = None


Event = (
    RunStarted
    | Phase
    | Progress
    | IndexReady
    | TestCommandFound
    | TestsFinished
    | Reproduced
    | Localized
    | CandidatesTried
    | PlanReady
    | Routed
    | StepStarted
    | StepFinished
    | TextDelta
    | RequestStarted
    | RequestFinished
    | CompletionRecorded
    | EditProposed
    | EditRefused
    | Escalated
    | Notice
    | Spent
    | RunFinished
    | TurnStarted
    | ThinkingDelta
    | ToolStarted
    | ToolFinished
    | ApprovalAsked
    | ApprovalAnswered
    | EditApplied
    | Compacted
    | TurnFinished
)
