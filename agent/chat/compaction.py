"""Making the older part of a conversation short, without losing what it is about.

Kept word for word, whatever else goes: the task, the last words of the user, the plan, changes that
are not in the user's tree; the rules stand in the system prompt of every request. The rest becomes
a digest made without a model (what was asked, answered, changed, run), and where the conversation's
model can, its summary in the digest's place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import prompts
from agent.chat import prompt
from agent.chat import records as rec
from agent.chat.fence import bounded
from agent.chat.records import Record
from agent.context import count, strictest
from agent.types import DecodeHints, Message, Plan, Privacy, Request, Route

__all__ = ["Cut", "cut", "digest", "final", "pinned", "summary_request"]

KEEP = 0.35
"""Of a window that the most recent records may fill after a compaction."""
SUMMARY_TOKENS = 1_500
TASK = 4_000
SAID = 600
ANSWER = 600
TURNS = 30
DIFF = 24_000
"""Characters. Open changes beyond this are named by file: `read` shows them, changes included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Records before number `upto` are summarised. `older` is what was live among them."""

    upto: int
    older: tuple[Record, ...]
    earlier: rec.Compaction | None


def cut(records: Sequence[Record], budget: int) -> Cut | None:
    """Where to cut so that what is kept has about `budget` tokens. None: nothing to cut.

    A call is never parted from its results: the cut is before something the user said, or before
    an answer.
    """
    earlier = next((r for r in reversed(records) if isinstance(r, rec.Compaction)), None)
    start = earlier.upto if earlier else 0
    best: int | None = None
    used = 0
    for number in range(len(records) - 1, start, -1):
        used += _cost(records[number])
        if used > budget and best is not None:
            break
        if _may_cut(records, number):
            best = number
            if used > budget:
                break
    if best is None:
        return None
    older = tuple(r for r in records[start:best] if not isinstance(r, rec.Compaction))
    told = any(isinstance(r, rec.Said | rec.Answered) for r in older)
    return Cut(upto=best, older=older, earlier=earlier) if told else None


def _may_cut(records: Sequence[Record], number: int) -> bool:
    if not isinstance(records[number], rec.Said | rec.Answered):
        return False
    open_calls: set[str] = set()
    for record in records[:number]:
        if isinstance(record, rec.Answered):
            open_calls = {c.id for c in record.calls}
        elif isinstance(record, rec.Returned):
            open_calls.discard(record.call_id)
    return not open_calls


def _cost(record: Record) -> int:
    """Tokens, estimated upwards."""
    if isinstance(record, rec.Answered):
        return count(record.text) + sum(count(c.arguments) + 8 for c in record.calls)
    if isinstance(record, rec.Returned):
        return count(record.content)
    if isinstance(record, rec.Said | rec.Noted):
        return count(record.text)
    return 0


def privacy(chosen: Cut) -> Privacy:
    """The strictest label of what is summarised: a summary tells what it was made from."""
    labels = [
        r.privacy
        for r in chosen.older
        if isinstance(r, rec.Said | rec.Noted | rec.Returned | rec.Edited)
    ]
    return strictest(chosen.earlier.privacy if chosen.earlier else "open", *labels)


# --------------------------------------------------------------------------- what is kept


def pinned(*, task: str, latest: str, plan: Plan | None, open_changes: Sequence[rec.Edited]) -> str:
    """What no compaction loses."""
    parts = [f"The task, in the user's words:\n{bounded(task, TASK)}"]
    if latest and latest != task:
        parts.append(f"What the user said last:\n{bounded(latest, TASK)}")
    if plan is not None:
        parts.append(prompt.plan_text(plan))
    if open_changes:
        parts.append(_open(open_changes))
    return "\n\n".join(parts)


def _open(changes: Sequence[rec.Edited]) -> str:
    diff = "".join(c.diff for c in changes)
    names = ", ".join(dict.fromkeys(p for c in changes for p in c.paths))
    head = f"Changes made in the scratch copy and not yet in the user's tree, in {names}"
    if len(diff) > DIFF:
        return f"{head}: too long to be repeated here; `read` shows the files with them."
    return f"{head}:\n{diff}"


def digest(older: Sequence[Record], earlier: rec.Compaction | None) -> str:
    """What happened, without a model: turn by turn, then what was read, run and changed."""
    lines: list[str] = []
    if earlier is not None:
        lines.append(bounded(_body(earlier.text), 6_000))
    for record in older:
        if isinstance(record, rec.Said):
            lines.append(f"- the user: {_short(record.text, SAID)}")
        elif isinstance(record, rec.Answered) and record.text.strip() and not record.calls:
            lines.append(f"- you: {_short(record.text, ANSWER)}")
        elif isinstance(record, rec.Noted):
            lines.append(f"- note: {_short(record.text, SAID)}")
        elif isinstance(record, rec.Edited) and record.state == "applied":
            lines.append(f"- you changed {', '.join(record.paths)} (in the user's tree)")
    kept = lines if len(lines) <= 2 * TURNS else [lines[0], "- …", *lines[-2 * TURNS :]]
    return "\n".join([*kept, *_acted(older)])


def _acted(older: Sequence[Record]) -> list[str]:
    done = [r for r in older if isinstance(r, rec.Returned)]
    read = dict.fromkeys(p for r in done if r.name in ("read", "outline") for p in r.paths)
    ran = [
        f"{_short(' '.join(r.argv) or r.name, 80)}: {r.summary}"
        for r in done
        if r.name in ("run", "test")
    ]
    lines = []
    if read:
        lines.append(f"- files you read: {', '.join(list(read)[-40:])}")
    if ran:
        lines.append(f"- what you ran last: {'; '.join(ran[-8:])}")
    return lines


def final(chosen: Cut, kept: str, text: str, by: str) -> rec.Compaction:
    """The record. `text` is the digest, or the model's summary."""
    body = f"{kept}\n\n{_MARK}\n{text.strip()}"
    return rec.Compaction(
        upto=chosen.upto, text=f"{_HEAD}\n\n{body}", by=by, privacy=privacy(chosen)
    )


_HEAD = "[note] The conversation so far, made short."
_MARK = "What happened until here:"


def _body(text: str) -> str:
    """An earlier summary without its pinned part, which is made anew."""
    return text.partition(_MARK)[2].strip() or text


def _short(text: str, limit: int) -> str:
    return bounded(" ".join(text.split()), limit)


# --------------------------------------------------------------------------- by a model


def summary_request(
    chosen: Cut, *, request_id: str, route: Route, window: int, label: Privacy
) -> Request:
    """What the conversation's model is asked: within its window, whatever there is to tell."""
    limit = min(SUMMARY_TOKENS, window // 8)
    room = (window - limit) * 2 - 4_000
    text = bounded(_transcript(chosen), max(room, 2_000))
    content = prompts.render("compact", text=text, words=limit // 2)
    return Request(
        id=request_id,
        step_kind="summarise",
        messages=(Message(role="user", content=content),),
        max_tokens=limit,
        privacy=label,
        hints=DecodeHints(step_kind="summarise"),
        prompt_version=prompts.version("compact"),
    )


def _transcript(chosen: Cut) -> str:
    parts = [_body(chosen.earlier.text)] if chosen.earlier else []
    for record in chosen.older:
        if isinstance(record, rec.Said):
            parts.append(f"USER: {record.text}")
        elif isinstance(record, rec.Noted):
            parts.append(f"NOTE: {record.text}")
        elif isinstance(record, rec.Answered):
            calls = "".join(f"\n  calls {c.name} {_short(c.arguments, 400)}" for c in record.calls)
            parts.append(f"YOU: {record.text}{calls}")
        elif isinstance(record, rec.Returned):
            parts.append(f"RESULT of {record.name}: {bounded(record.content, 1_500)}")
    return "\n\n".join(parts)
