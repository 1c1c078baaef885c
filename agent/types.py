"""Values that pass between the stages of the agent. Frozen; validated where they enter.

Money is in integer micro-dollars (`usd_micro`); None means the price is unknown, never zero.
Durations are seconds. Token buckets are disjoint: their sum is the total.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Goal = Literal["fix", "refactor", "test", "chat"]
StepKind = Literal["reproduce", "plan", "edit", "test", "refactor", "repair", "chat", "summarise"]
Location = Literal["local", "onprem", "frontier"]
Privacy = Literal["open", "onprem_ok", "local_only"]
"""Least to most restrictive. What is derived from several items carries the strictest label."""
Verdict = Literal["verified", "unverified", "not_solved"]
EditFormatName = Literal["search_replace", "symbol", "line"]
StopReason = Literal["end", "stop", "length", "tool_use", "refusal", "cancelled", "pause"]
ToolChoice = Literal["auto", "none", "required"]


# --------------------------------------------------------------------------- task


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the user asked for."""

    goal: Goal
    text: str
    root: Path
    test_command: str | None = None
    files: tuple[str, ...] = ()
    """Files the user named; they are in scope and searched first."""
    dry_run: bool = False
    keep_test: bool = False
    """Put the reproducing test into the user's suite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a plan."""

    id: str
    kind: StepKind
    goal: str
    files: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A checked contract: what is in scope and which tests must turn green."""

    summary: str
    steps: tuple[Step, ...]
    files_in_scope: tuple[str, ...]
    acceptance: tuple[str, ...]
    """Test ids that must pass."""
    made_by: str
    """`localiser` or `provider/model`."""


# --------------------------------------------------------------------------- requests


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    id: str
    name: str
    arguments: str
    """A JSON object, as the model wrote it."""
    malformed: str = ""
    """What the model wrote where that was no JSON object and could not be read as one; `arguments`
    is `{}` then, and the call must not be carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    name: str
    description: str
    schema: str
    """JSON schema of the arguments."""
    strict: bool = True
    """It is in the subset that hosted providers can enforce; a client's may not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    native: str = ""
    """Of an assistant's turn: what its provider must get back verbatim, as `Completion.native`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeHints:
    """What the agent knows about the text it asks for; the engine routes on it."""

    step_kind: StepKind
    edit_format: EditFormatName | None = None
    strategy: Literal["auto", "plain", "mtp", "copy", "combined"] = "auto"
    draft_length: int | None = None
    """Fixed k for `mtp`; None lets the engine decide."""
    beam: int = 0
    """Beam width; 0 samples."""
    reproducible: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to a model, wherever it runs."""

    id: str
    step_kind: StepKind
    messages: tuple[Message, ...]
    max_tokens: int
    privacy: Privacy
    hints: DecodeHints
    prompt_version: str = ""
    temperature: float | None = None
    seed: int | None = None
    n: int = 1
    """Number of choices wanted; locations that give fewer say so in the Completion."""
    stop: tuple[str, ...] = ()
    json_schema: str | None = None
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = "auto"
    copy_sources: tuple[str, ...] = ()
    """Texts the answer is likely to repeat; sent as `prediction`."""
    thinking: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Disjoint token buckets of one attempt. `raw` is the provider's own usage as JSON."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    thinking: int = 0
    raw: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeStats:
    """How a local generation was decoded."""

    strategy: str
    prefill_tokens: int
    prefill_s: float
    decode_tokens: int
    decode_s: float
    drafted: int = 0
    accepted: int = 0
    cycles: int = 0

    @property
    def acceptance_rate(self) -> float | None:
        return self.accepted / self.drafted if self.drafted else None

    @property
    def tokens_per_s(self) -> float | None:
        return self.decode_tokens / self.decode_s if self.decode_s else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of several answers, with its summed log-probability where the engine gives one."""

    text: str
    logprob: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A finished answer."""

    text: str
    stop_reason: StopReason
    usage: Usage
    model: str
    provider: str
    location: Location
    duration_s: float
    tool_calls: tuple[ToolCall, ...] = ()
    choices: tuple[Choice, ...] = ()
    """All choices when more than one was asked for; `text` is the first."""
    decode: DecodeStats | None = None
    native: str = ""
    """JSON of the turn's blocks that only this provider and model understand (signed thinking),
    to be sent back with the turn; empty where there are none."""


class Thought(str):
    """A piece of the model's thinking among the pieces of its answer. Never part of the text."""

    __slots__ = ()


class Reading(str):
    """Among the pieces of an answer: how far its prompt has been read, in tokens. Its text is
    empty."""

    __slots__ = ("done", "total")
    done: int
    total: int

    def __new__(cls, done: int, total: int) -> "Reading":
        made = super().__new__(cls)
        made.done, made.total = done, total
        return made


class CancelToken(Protocol):
    """Set by Ctrl-C or Esc; providers look at it between chunks."""

    def is_set(self) -> bool: ...


OnText = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where an OpenAI-compatible server listens. `uds` wins over the host of `base_url`."""

    base_url: str
    uds: Path | None = None
    api_key: str | None = None


class Provider(Protocol):
    """One place a request can be completed. One call is one attempt: no retries inside.

    Raises a ProviderError (see agent.errors) whose `billed` says whether money may be gone.
    """

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def location(self) -> Location: ...

    @property
    def context_window(self) -> int: ...

    def complete(self, request: Request, on_text: OnText, cancel: CancelToken) -> Completion: ...


# --------------------------------------------------------------------------- routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a step goes, and why. `location` None: no place may serve it; `reason` says why."""

    location: Location | None
    provider: str | None
    model: str | None
    reason: str
    escalated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a run has used so far: sums over its ledger rows."""

    usd_micro: int = 0
    unpriced: int = 0
    """Rows whose price is unknown."""
    reserved_usd_micro: int = 0
    local_s: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_local: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended."""

    verdict: Verdict
    reason: str
    diff: str
    exit_code: int
    evidence: tuple[str, ...] = ()
    next_command: str | None = None
    applied: bool = False
