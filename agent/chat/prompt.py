"""Records to the messages of a request. The same records give the same messages, and a later
request begins with the messages of an earlier one: prefix caches keep what was read before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import prompts
from agent.chat import records as rec
from agent.chat.records import Record
from agent.chat.rules import Rules
from agent.context import strictest
from agent.types import (
    DecodeHints,
    Message,
    Plan,
    Privacy,
    Request,
    Route,
    ToolChoice,
    ToolSpec,
)

__all__ = ["Frame", "build", "live", "messages", "plan_text", "privacy"]

FRONTIER_TOKENS = 16_000
"""Of one answer, thinking included."""
OWN_TOKENS = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What stands around the records in every request of a turn."""

    system: str
    rules: Rules
    tools: tuple[ToolSpec, ...]


def frame(
    *, name: str, mode: str, sandbox: str, rules: Rules, tools: tuple[ToolSpec, ...]
) -> Frame:
    text = prompts.render("chat", repository=name, mode=mode, sandbox=sandbox, rules=rules.rules)
    return Frame(system=text.strip(), rules=rules, tools=tools)


def live(records: Sequence[Record]) -> tuple[rec.Compaction | None, list[Record]]:
    """The last summary, and the records that are still told word for word."""
    last = next((r for r in reversed(records) if isinstance(r, rec.Compaction)), None)
    start = last.upto if last else 0
    return last, [r for r in records[start:] if not isinstance(r, rec.Compaction)]


def messages(
    records: Sequence[Record], *, speaker: tuple[str, str] | None = None
) -> tuple[Message, ...]:
    """`speaker`: (provider, model) that is asked; only what is its own is given back verbatim."""
    summary, rest = live(records)
    found: list[Message] = []
    if summary is not None:
        found.append(Message(role="user", content=summary.text))
    waiting: list[Message] = []
    missing: set[str] = set()
    for record in rest:
        message = _message(record, speaker)
        if isinstance(record, rec.Answered):
            missing = {call.id for call in record.calls}
        elif isinstance(record, rec.Returned):
            missing.discard(record.call_id)
        elif missing and message is not None:  # results come right behind their calls
            waiting.append(message)
            continue
        if message is not None:
            found.append(message)
        if not missing:
            found += waiting
            waiting.clear()
    return tuple(found)


def privacy(records: Sequence[Record], rules: Rules) -> Privacy:
    """The strictest label of what a request is made from."""
    summary, rest = live(records)
    labels: list[Privacy] = [rules.privacy]
    if summary is not None:
        labels.append(summary.privacy)
    for record in rest:
        if isinstance(record, rec.Said | rec.Noted | rec.Returned | rec.Edited):
            labels.append(record.privacy)
    return strictest(*labels)


def build(
    records: Sequence[Record],
    frame: Frame,
    *,
    request_id: str,
    route: Route,
    window: int,
    choice: ToolChoice = "auto",
) -> Request:
    """The next request of a turn, for where it goes."""
    frontier = route.location == "frontier"
    speaker = (route.provider or "", route.model or "")
    limit = FRONTIER_TOKENS if frontier else OWN_TOKENS
    return Request(
        id=request_id,
        step_kind="chat",
        messages=(
            Message(role="system", content=frame.system),
            *messages(records, speaker=speaker),
        ),
        max_tokens=max(256, min(limit, window // 4)),
        privacy=privacy(records, frame.rules),
        hints=DecodeHints(step_kind="chat"),
        prompt_version=prompts.version("chat"),
        tools=frame.tools,
        tool_choice=choice,
        thinking=frontier,
    )


def plan_text(plan: Plan) -> str:
    steps = "\n".join(
        f"{i}. {s.kind}: {s.goal}" + (f" ({', '.join(s.files)})" if s.files else "")
        for i, s in enumerate(plan.steps, 1)
    )
    return f"The plan, made by {plan.made_by}: {plan.summary}\n{steps}"


def _message(record: Record, speaker: tuple[str, str] | None) -> Message | None:
    if isinstance(record, rec.Said):
        return Message(role="user", content=record.text)
    if isinstance(record, rec.Noted):
        return Message(role="user", content=f"[note] {record.text}")
    if isinstance(record, rec.Planned):
        return Message(role="user", content=f"[note] {plan_text(record.plan)}")
    if isinstance(record, rec.Returned):
        return Message(role="tool", content=record.content, tool_call_id=record.call_id)
    if isinstance(record, rec.Answered) and (record.text or record.calls):
        own = speaker == (record.provider, record.model)
        return Message(
            role="assistant",
            content=record.text,
            tool_calls=record.calls,
            native=record.native if own else "",
        )
    return None
