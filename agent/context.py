"""Step + evidence + code → Request, within the model's window.

What does not change between the attempts of a step comes first in the prompt, so that prefix caches
(ours and the frontier's) keep it; failures of earlier attempts come last.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import prompts
from agent.planner import MAX_STEPS, PLAN_SCHEMA
from agent.types import DecodeHints, EditFormatName, Message, Privacy, Request, Step, Task
from tools.types import FileReader, Suspect

BYTES_PER_TOKEN = 3.0
"""Lower bound for code with byte-level BPE vocabularies (Qwen: 3.2–3.8): counts err upwards."""
PLAN_MAX_TOKENS = 4096
EDIT_MAX_TOKENS = 4096
LINE_MAX_TOKENS = 96
"""A line answer is 15–30 tokens (prompts/edit_line.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Lines `first_line..last_line` of a file, as shown to a model."""

    path: str
    first_line: int
    last_line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An answer that did not work and what the model is told about it."""

    answer: str
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownLine:
    """One line of the line format's prompt; numbered from 1 within the span."""

    number: int
    text: str
    suspect: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known about the problem when a request is built."""

    failure: str
    suspects: tuple[Suspect, ...]
    privacy: Callable[[Sequence[str]], Privacy]
    """The strictest label of some paths."""


def count(text: str) -> int:
    """Tokens of a text, estimated upwards; the engine and the API have the last word."""
    return int(len(text.encode("utf-8", "surrogateescape")) / BYTES_PER_TOKEN) + 1


def plan_request(
    task: Task, evidence: Evidence, *, request_id: str, repo_map: str, code: Sequence[Span]
) -> Request:
    text = prompts.render(
        "plan",
        goal=task.goal,
        text=clip(task.text, 24_000),
        evidence=evidence.failure,
        suspects=evidence.suspects[:10],
        map=repo_map,
        code=code,
        max_steps=MAX_STEPS,
    )
    return Request(
        id=request_id,
        step_kind="plan",
        messages=(Message(role="user", content=text),),
        max_tokens=PLAN_MAX_TOKENS,
        privacy=evidence.privacy([s.path for s in code] + [s.path for s in evidence.suspects]),
        hints=DecodeHints(step_kind="plan"),
        prompt_version=prompts.version("plan"),
        json_schema=PLAN_SCHEMA,
    )


def edit_request(
    task: Task,
    step: Step,
    evidence: Evidence,
    *,
    request_id: str,
    summary: str,
    code: Sequence[Span],
    files: Sequence[str],
    tried: Sequence[Attempt],
) -> Request:
    """A search/replace request: any instruction model."""
    text = prompts.render(
        "edit_search_replace",
        goal_kind=task.goal,
        text=clip(task.text, 8_000),
        summary=summary,
        evidence=evidence.failure,
        suspects=evidence.suspects[:5],
        step_goal=step.goal,
        code=code,
        files=files,
        tried=tried,
    )
    return Request(
        id=request_id,
        step_kind="repair" if tried else step.kind,
        messages=(Message(role="user", content=text),),
        max_tokens=EDIT_MAX_TOKENS,
        privacy=evidence.privacy([s.path for s in code]),
        hints=DecodeHints(step_kind=step.kind, edit_format="search_replace"),
        prompt_version=prompts.version("edit_search_replace"),
        temperature=0.0,
        copy_sources=tuple(s.text for s in code),
    )


def line_request(
    step: Step,
    evidence: Evidence,
    span: Span,
    *,
    request_id: str,
    hints: Sequence[str],
) -> Request:
    """A line-format request, for the small shipped model: one answer, greedy."""
    marked = {s.line for s in evidence.suspects if s.path == span.path and s.line}
    lines = [
        ShownLine(number=i, text=text, suspect=span.first_line + i - 1 in marked)
        for i, text in enumerate(span.text.splitlines(), 1)
    ]
    text = prompts.render("edit_line", path=span.path, evidence=list(hints), lines=lines)
    return Request(
        id=request_id,
        step_kind=step.kind,
        messages=(Message(role="user", content=text),),
        max_tokens=LINE_MAX_TOKENS,
        privacy=evidence.privacy([span.path]),
        hints=DecodeHints(step_kind=step.kind, edit_format="line"),
        prompt_version=prompts.version("edit_line"),
        temperature=0.0,
        copy_sources=(span.text,),
    )


def edit_format_of(model: str, window: int) -> EditFormatName:
    """As the catalogue says; of a model it does not know, a window too small for other formats
    means a relative of the shipped model, which was trained on the line format only."""
    from agent import models

    if models.find(model) is None and window <= 4096:
        return "line"
    return models.edit_format(model)


def whole_files(paths: Sequence[str], read: FileReader, budget: int) -> list[Span]:
    """Whole files while they fit the budget (tokens); a file that does not fit is left out, whole:
    the caller packs its functions instead.
    """
    spans: list[Span] = []
    for path in paths:
        data = read(path)
        if data is None or b"\0" in data:
            continue
        text = data.decode("utf-8", "surrogateescape")
        cost = count(text)
        if cost > budget:
            continue
        budget -= cost
        spans.append(Span(path=path, first_line=1, last_line=text.count("\n") + 1, text=text))
    return spans


def strictest(*labels: Privacy) -> Privacy:
    """What is derived from several items carries the strictest of their labels."""
    order: tuple[Privacy, ...] = ("open", "onprem_ok", "local_only")
    return max(labels, key=order.index, default="open")


def clip(text: str, limit: int) -> str:
    """The first and last part of a long text, the cut marked."""
    if len(text) <= limit:
        return text
    head = limit * 3 // 4
    tail = limit - head
    return f"{text[:head]}\n[… {len(text) - limit} characters left out …]\n{text[-tail:]}"
