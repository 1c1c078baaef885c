"""The loop of one turn: ask a model, carry out what it calls for, ask again, until it answers.

    for event in run(talk, text, deps): ...

Like agent.loop: a synchronous generator of frozen events, the last of which always says how it
ended. Every answer is on the disk before its calls are carried out, every result before the next
request, so a turn that was killed goes on where it was (`text=None`).
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agent.chat import asking, pending
from agent.chat import records as rec
from agent.chat.acting import Acting
from agent.chat.conversation import Conversation
from agent.chat.deps import ChatDeps
from agent.chat.fence import unmarked
from agent.chat.tools.base import OUTPUT
from agent.errors import BudgetExceeded, Cancelled, LedgerError, PointsmanError
from agent.events import Event, Notice, Spent, TurnFinished, TurnStarted
from agent.types import Completion, ToolCall, Totals

__all__ = ["run"]

Status = Literal["answered", "refused", "limit", "interrupted", "failed", "unserved"]
CUT_OFF = 2
"""Times an answer that its length limit cut off is let go on."""
REPEATS = 3
"""The same call with the same result so often: the model goes in circles."""


@dataclass(slots=True, kw_only=True)
class End:
    """How the turn ended."""

    status: Status
    reason: str = ""
    exit_code: int = 0
    next_command: str | None = None


@dataclass(slots=True, kw_only=True)
class Turn:
    """The state of one turn. Only this module and asking.py write to it."""

    talk: Conversation
    deps: ChatDeps
    started: float
    number: int
    asker: asking.Asker
    acting: Acting
    text: str = ""
    calls: int = 0
    cut_off: int = 0
    seen: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def check(self) -> None:
        """Raise when the user interrupted or a bound is reached. Called between actions."""
        if self.deps.cancel.is_set():
            raise Cancelled("interrupted")
        limits = self.deps.limits
        if self.deps.clock() - self.started > limits.wall_s:
            raise BudgetExceeded(
                f"the turn's time limit of {limits.wall_s:g} s is reached", remedy="say: go on"
            )


def run(talk: Conversation, text: str | None, deps: ChatDeps) -> Iterator[Event]:
    """One turn. `text` None takes up an interrupted one. Never raises what a turn can run into."""
    started = deps.clock()
    resumed = text is None
    number = talk.turn + (0 if resumed else 1)
    if text is not None:
        close_open_calls(talk)
        talk.append(rec.Said(turn=number, text=deps.redactor.redact(text)))
    yield TurnStarted(
        conversation_id=talk.id,
        turn=number,
        text=text or "",
        mode=deps.mode,
        resumed=resumed,
    )
    before = deps.totals()
    acting = Acting(talk, deps)
    turn = Turn(
        talk=talk,
        deps=deps,
        started=started,
        number=number,
        asker=asking.Asker(talk, deps, number, before),
        acting=acting,
    )
    try:
        end = yield from _flow(turn)
    except KeyboardInterrupt:
        end = _stopped(Cancelled("interrupted"))
    except PointsmanError as error:
        end = _stopped(error)
    if end.status == "interrupted":
        close_open_calls(talk)
    talk.append(rec.Ended(turn=number, status=end.status, reason=end.reason))
    totals = _totals(deps)
    yield Spent(totals=totals, budget_usd_micro=deps.budget_usd_micro)
    yield TurnFinished(
        conversation_id=talk.id,
        turn=number,
        status=end.status,
        reason=end.reason,
        exit_code=end.exit_code,
        totals=totals,
        duration_s=deps.clock() - started,
        text=turn.text,
        pending_diff=pending.diff_of(talk),
        denied=acting.denied,
        next_command=end.next_command,
    )


def close_open_calls(talk: Conversation) -> None:
    """Every call needs a result before anything else is said: those without one were stopped."""
    for call in talk.open_calls():
        talk.append(
            rec.Returned(
                call_id=call.id,
                name=call.name,
                ok=False,
                summary="interrupted",
                content="Interrupted by the user before it ended; what it did is not known.",
            )
        )


def _flow(turn: Turn) -> Generator[Event, None, End]:
    yield from turn.asker.prepare()
    yield from _carry_out(turn, turn.talk.open_calls())  # of an interrupted turn
    for _ in range(turn.deps.limits.requests):
        turn.check()
        _read_inbox(turn)
        answer = yield from turn.asker.ask("auto")
        if answer is None:
            return End(
                status="unserved",
                reason=turn.asker.unserved,
                exit_code=4,
                next_command="agent doctor",
            )
        turn.text = answer.text or turn.text
        end = yield from _after(turn, answer)
        if end is not None:
            return end
    return (yield from _last_word(turn))


def _after(turn: Turn, answer: Completion) -> Generator[Event, None, End | None]:
    """What follows from an answer. None: the model is asked again."""
    if answer.stop_reason == "refusal":
        return End(status="refused", reason="the model refused to go on", exit_code=4)
    if answer.stop_reason == "pause":
        return None
    if answer.tool_calls:
        looped = yield from _carry_out(turn, turn.talk.open_calls())
        return looped
    if answer.stop_reason == "length":
        turn.cut_off += 1
        if turn.cut_off > CUT_OFF:
            reason = "the answer ran into its length limit again and again"
            return End(status="limit", reason=reason, exit_code=3)
        note = "Your answer was cut off by its length limit. Go on where it ended; be brief."
        turn.talk.append(rec.Noted(text=note))
        return None
    if not answer.text.strip():
        return End(status="failed", reason="the model gave an empty answer", exit_code=5)
    if _read_inbox(turn):
        return None
    return End(status="answered")


def _carry_out(turn: Turn, calls: Sequence[ToolCall]) -> Generator[Event, None, End | None]:
    turn.acting.audience = turn.asker.location or "frontier"
    if turn.asker.window:
        turn.acting.output = min(OUTPUT, turn.asker.window * 3 // 8)
    for call in calls:
        turn.check()
        turn.calls += 1
        returned = yield from turn.acting.carry_out(call)
        key = (call.name, call.arguments, unmarked(returned.content))
        turn.seen[key] = turn.seen.get(key, 0) + 1
        if turn.seen[key] >= REPEATS:
            close_open_calls(turn.talk)
            reason = f"the same call of {call.name} gave the same result {REPEATS} times"
            yield Notice(message=reason, level="warning")
            return End(status="limit", reason=reason, exit_code=1)
    if turn.calls > turn.deps.limits.calls:
        return (yield from _last_word(turn))
    return None


def _last_word(turn: Turn) -> Generator[Event, None, End]:
    """A bound is reached: the model says what it has, without tools."""
    text = "The limit of this turn is reached. Answer now with what you have; no more calls."
    turn.talk.append(rec.Noted(text=text))
    answer = yield from turn.asker.ask("none")
    if answer is not None:
        turn.text = answer.text or turn.text
        close_open_calls(turn.talk)
    reason = f"the limit of {turn.deps.limits.requests} requests in a turn is reached"
    return End(status="limit", reason=reason, exit_code=3)


def _read_inbox(turn: Turn) -> bool:
    """Whether the user said something while the model worked."""
    said = False
    while (text := turn.deps.inbox()) is not None:
        clean = turn.deps.redactor.redact(text)
        turn.talk.append(rec.Said(turn=turn.number, text=clean, while_working=True))
        said = True
    return said


def _stopped(error: PointsmanError) -> End:
    status: Status = "failed"
    if isinstance(error, Cancelled):
        status = "interrupted"
    elif isinstance(error, BudgetExceeded):
        status = "limit"
    return End(
        status=status, reason=str(error), exit_code=error.exit_code, next_command=error.remedy
    )


def _totals(deps: ChatDeps) -> Totals:
    try:
        return deps.totals()
    except LedgerError:  # what ended the turn would hide how it ended
        return Totals()
