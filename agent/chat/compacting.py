"""Carrying a compaction out: the cut, the model's summary where there can be one, the record."""

from collections.abc import Generator

from agent.chat import compaction, prompt
from agent.chat import records as rec
from agent.chat.conversation import Conversation
from agent.chat.deps import ChatDeps
from agent.context import count
from agent.errors import BudgetExceeded, EngineError, PolicyError, ProviderError
from agent.events import (
    Compacted,
    CompletionRecorded,
    Event,
    Notice,
    TextDelta,
    ThinkingDelta,
)
from agent.types import Completion, Route
from agent.work import Ask

__all__ = ["KEEP", "compact"]

KEEP = compaction.KEEP


def compact(
    talk: Conversation, deps: ChatDeps, step_id: str, *, keep: int, reason: str
) -> Generator[Event, None, bool]:
    """Whether there was anything to make short. `keep`: tokens told word for word afterwards."""
    chosen = compaction.cut(talk.records, keep)
    if chosen is None:
        return False
    before = _tokens(talk)
    said = [r.text for r in talk.records if isinstance(r, rec.Said)]
    kept = compaction.pinned(
        task=talk.task,
        latest=said[-1] if said else "",
        plan=talk.plan,
        open_changes=talk.edits("pending"),
    )
    text, by = yield from _summary(talk, deps, step_id, chosen)
    record = compaction.final(chosen, kept, text, by)
    talk.append(record)
    yield Compacted(reason=reason, before_tokens=before, after_tokens=_tokens(talk), by=by)
    return True


def _summary(
    talk: Conversation, deps: ChatDeps, step_id: str, chosen: compaction.Cut
) -> Generator[Event, None, tuple[str, str]]:
    """The model's words, else the digest; and who wrote it."""
    own = compaction.digest(chosen.older, chosen.earlier), "digest"
    label = compaction.privacy(chosen)
    route = deps.route(
        Ask(step_kind="summarise", privacy=label, prompt_tokens=0), frozenset(), None
    )
    if route.location is None:
        return own
    try:
        answer = yield from _asked(talk, deps, step_id, chosen, route)
    except (ProviderError, EngineError, PolicyError, BudgetExceeded) as error:
        yield Notice(
            message=f"no summary could be had ({error}); a digest stands in for it",
            level="warning",
        )
        return own
    text = answer.text.strip()
    if not text or answer.stop_reason == "refusal":
        return own
    return text, f"{answer.provider}/{answer.model}"


def _asked(
    talk: Conversation, deps: ChatDeps, step_id: str, chosen: compaction.Cut, route: Route
) -> Generator[Event, None, Completion]:
    assert route.location is not None
    request = compaction.summary_request(
        chosen,
        request_id=f"{talk.id}/c{chosen.upto}",
        route=route,
        window=deps.facts(route.location).window,
        label=compaction.privacy(chosen),
    )
    running = deps.gateway.complete(request, route, step_id=step_id, cancel=deps.cancel)
    try:
        while True:
            event = next(running)
            if not isinstance(event, TextDelta | ThinkingDelta | CompletionRecorded):
                yield event  # what it costs is shown; its text is no answer to the user
    except StopIteration as stop:
        answer: Completion = stop.value
        return answer
    finally:
        running.close()


def _tokens(talk: Conversation) -> int:
    found = prompt.messages(talk.records)
    return sum(count(m.content) + sum(count(c.arguments) for c in m.tool_calls) for m in found)
