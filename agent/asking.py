"""How the loop asks a model: route, tell the user, send through the gateway, record the outcome.

A provider that fails is not a model that fails: the location is marked down for this run and the
router is asked again, visibly.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

from agent.context import Evidence, Span, strictest, whole_files
from agent.errors import (
    AuthError,
    EngineError,
    PointsmanError,
    ProviderError,
    RequestRejected,
)
from agent.events import Escalated, Event, Notice, Routed
from agent.router import EXHAUSTED
from agent.types import Completion, Request, Route
from agent.work import Ask, RunLimits, Work
from tools.types import Suspect

Build = Callable[[Route], Request | None]
"""A request made to measure for where it goes; None: nothing to ask there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A completion, where it came from and what was asked."""

    completion: Completion
    route: Route
    request: Request


def ask(
    work: Work, step_id: str, question: Ask, build: Build
) -> Generator[Event, None, Answer | None]:
    """Send a request to where the router says. None: no location may or can serve it.

    Raises PolicyError, AuthError or BudgetExceeded: those are for the user to resolve.
    """
    while True:
        route = yield from routed(work, step_id, question)
        if route.location is None:
            return None
        request = build(route)
        if request is None:  # nothing left to ask there: the router goes on to the next
            question = replace(question, failures=(*question.failures, (route.location, EXHAUSTED)))
            continue
        strict = strictest(question.privacy, request.privacy)
        if strict != question.privacy:  # the code it needs is more private than the files named
            question = replace(question, privacy=strict)
            continue
        strategy = work.deps.facts(route.location).strategy
        request = replace(request, hints=replace(request.hints, strategy=strategy))
        request = sampled(request, work.deps.limits)
        answer = yield from _send(work, step_id, request, route)
        if answer is not None:
            return answer


def sampled(request: Request, limits: RunLimits) -> Request:
    """The request with the run's seed and temperature, where the user has set them."""
    heat = request.temperature if limits.temperature is None else limits.temperature
    seed = request.seed if limits.seed is None else limits.seed
    return replace(request, seed=seed, temperature=heat)


def _send(
    work: Work, step_id: str, request: Request, route: Route
) -> Generator[Event, None, Answer | None]:
    """None when the location failed: it is left out of the rest of the run."""
    work.check()
    work.check_tokens()
    started = work.deps.clock()
    try:
        completion: Completion = yield from work.deps.gateway.complete(
            request, route, step_id=step_id, cancel=work.deps.cancel
        )
    except AuthError:
        raise
    except RequestRejected as error:
        if not request.tools or route.location in (None, "frontier"):
            yield from _left_out(work, route, error)
            return None
        work.toolless.add(route.location)
        yield Notice(message=f"{route.provider} takes no tools ({error}); it is asked without")
        return None
    except (ProviderError, EngineError) as error:
        yield from _left_out(work, route, error)
        return None
    finally:
        work.model_s += work.deps.clock() - started
    return Answer(completion=completion, route=route, request=request)


def _left_out(work: Work, route: Route, error: PointsmanError) -> Generator[Event, None, None]:
    assert route.location is not None
    work.down.add(route.location)
    yield Notice(
        message=f"{route.provider} failed ({error}); it is left out of this run",
        remedy=error.remedy,
        level="warning",
    )


def routed(work: Work, step_id: str, question: Ask) -> Generator[Event, None, Route]:
    """Ask the router, say what it answered, latch an escalation."""
    route = work.deps.route(question, frozenset(work.down), work.latched)
    yield Routed(step_id=step_id, step_kind=question.step_kind, route=route)
    if route.location is None:
        work.unserved = route.reason
    elif route.escalated and work.latched is None:
        work.latched = route.location
        yield Escalated(reason=route.reason, location=route.location)
    return route


def evidence_of(work: Work) -> Evidence:
    return Evidence(failure=work.failure, suspects=work.suspects, privacy=work.deps.privacy)


def pack(work: Work, suspects: Sequence[Suspect], budget: int) -> list[Span]:
    """The code around some suspects, each place once, within a budget of tokens."""
    spans: list[Span] = []
    for suspect in suspects:
        if budget <= 0:
            break
        if any(_covers(s, suspect) for s in spans):
            continue
        packed = work.deps.index.pack(
            suspect.path, symbol=suspect.symbol, line=suspect.line, budget_tokens=budget
        )
        for item in packed.items:
            span = Span(
                path=item.path,
                first_line=item.first_line,
                last_line=item.last_line,
                text=item.text,
            )
            if span not in spans:
                spans.append(span)
        budget -= packed.tokens
    return spans


def code_for(work: Work, files: Sequence[str], budget: int) -> list[Span]:
    """Whole files where they fit, else the suspicious functions in them."""
    spans = whole_files(files, work.workspace.read, budget)
    shown = {s.path for s in spans}
    rest = [s for s in work.suspects if s.path in files and s.path not in shown]
    return spans + pack(work, rest, budget - sum(len(s.text) // 3 for s in spans))


def _covers(span: Span, suspect: Suspect) -> bool:
    return span.path == suspect.path and (
        suspect.line is None or span.first_line <= suspect.line <= span.last_line
    )
