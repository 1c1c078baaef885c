"""Edit steps by the shipped small model: it sees one function and gives its first answer (decoded
with drafts), then many more at once (beam), each in the line format; tests choose between them.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from math import log

from agent import choosing, context, guards, nearby
from agent.asking import Answer, ask, evidence_of
from agent.changes import as_candidate
from agent.context import Span
from agent.events import EditRefused, Event
from agent.ranker import Ordered, unranked
from agent.types import Choice, Plan, Request, Route, Step
from agent.work import Ask, Work
from agent.zero import fingerprint, try_candidates
from tools.edits.line import LineFormat
from tools.edits.syntax import check_syntax
from tools.errors import EditError
from tools.types import Candidate, Patch, Suspect

SPAN_TOKENS = 700
"""A function longer than this leaves a 2,048-token window no room for marks and an answer."""


def request(work: Work, step: Step, turn: int) -> Request | None:
    """The request for the `turn`-th most suspicious function; None when there are no more."""
    spans = functions(work, step)
    if turn >= len(spans):
        return None
    return context.line_request(
        step,
        evidence_of(work),
        spans[turn],
        request_id=work.next_request_id(),
        hints=_hints(work.failure),
    )


def functions(work: Work, step: Step) -> list[Span]:
    """The suspicious functions of the step's files, most suspicious first, each once."""
    spans: list[Span] = []
    for suspect in work.suspects:
        if suspect.path not in step.files or not suspect.path.endswith(".py"):
            continue
        if any(s.path == suspect.path and _inside(suspect, s) for s in spans):
            continue
        packed = work.deps.index.pack(
            suspect.path, symbol=suspect.symbol, line=suspect.line, budget_tokens=SPAN_TOKENS
        )
        target = next((i for i in packed.items if i.role == "target"), None)
        if target is None:
            continue
        spans.append(
            Span(
                path=target.path,
                first_line=target.first_line,
                last_line=target.last_line,
                text=target.text,
            )
        )
        if len(spans) == 4:
            break
    return spans


def best(
    work: Work, plan: Plan, step: Step, answer: Answer, question: Ask
) -> Generator[Event, None, Patch | None]:
    """The first answer, then the beam by log-probability, tried like any candidate."""
    span = functions(work, step)[_turn(answer, work, step)]
    choices = yield from _choices(work, step, answer, question)
    found: dict[Candidate, float] = {}
    refused: list[EditError] = []
    for choice in choices:
        try:
            candidate = _candidate(work, plan, span, choice)
        except EditError as error:
            refused.append(error)
            continue
        if fingerprint(work, candidate) not in work.refuted | work.standing:
            found.setdefault(candidate, choice.logprob or 0.0)
    if refused and not found:  # a few bad ones among sixteen are the rule, not news
        first = refused[0]
        yield EditRefused(step_id=step.id, error=type(first).__name__, message=str(first))
    return (
        yield from try_candidates(
            work,
            _ordered(work, found),
            by="mini",
            most=len(found),
            budget_s=work.deps.limits.zero_token_s,
            crowd=lambda one: nearby.around(
                one,
                work.workspace.read,
                lambda c: fingerprint(work, c) in work.refuted | work.standing,
            ),
        )
    )


def _ordered(work: Work, found: Mapping[Candidate, float]) -> Ordered:
    """By the ranker's and the model's log-probability together.

    Without weights: what a model did not write is not in this pool, so that its shares say nothing
    about what was left untried.
    """
    if not work.deps.limits.zero_token_ranker:
        return unranked(list(found))
    weights = choosing.ordered(work, list(found)).weights
    best = sorted(found, key=lambda c: -(log(max(weights[c], 1e-12)) + found[c]))
    return unranked(best)


def _choices(
    work: Work, step: Step, answer: Answer, question: Ask
) -> Generator[Event, None, list[Choice]]:
    """Different answers, likeliest first; the first answer leads, whatever the beam thinks."""
    first = Choice(text=answer.completion.text)
    assert answer.route.location is not None
    beam = work.deps.facts(answer.route.location).beam

    def widened(route: Route) -> Request:
        return replace(
            answer.request,
            id=work.next_request_id(),
            n=beam,
            hints=replace(answer.request.hints, beam=beam),
        )

    more = (yield from ask(work, step.id, question, widened)) if beam else None
    rest = more.completion.choices if more else ()
    ranked = [first, *sorted(rest, key=lambda c: -(c.logprob or 0.0))]
    return list({c.text: c for c in reversed(ranked)}.values())[::-1]


def _candidate(work: Work, plan: Plan, span: Span, choice: Choice) -> Candidate:
    fmt = LineFormat(path=span.path, first_line=span.first_line, last_line=span.last_line)
    patch = fmt.parse(choice.text, work.workspace.read)
    guards.check_scope(patch, plan, protected=frozenset())
    check_syntax(patch)
    candidate = as_candidate(patch, operator="mini", tier=0, suspicion=0.0)
    if candidate is None:
        raise EditError("The proposal is not a change of one file.")
    lines = range(candidate.line, candidate.end_line + 1)
    scores = [s.score for s in work.suspects if s.path == span.path and s.line in lines]
    return replace(candidate, suspicion=max(scores, default=0.0))


def _turn(answer: Answer, work: Work, step: Step) -> int:
    """Which function the answer is about: the one whose text was its copy source."""
    texts = [s.text for s in functions(work, step)]
    return texts.index(answer.request.copy_sources[0])


def _inside(suspect: Suspect, span: Span) -> bool:
    return suspect.line is None or span.first_line <= suspect.line <= span.last_line


def _hints(failure: str) -> Sequence[str]:
    """The exception lines of the failure text: what the model saw as evidence in training."""
    lines = [line.strip() for line in failure.splitlines() if line.startswith("E ")]
    return [line.removeprefix("E").strip() for line in lines[:2]] or _last(failure)


def _last(failure: str) -> list[str]:
    lines = [line.strip() for line in failure.splitlines() if line.strip()]
    return [lines[-1][:160]] if lines else []
