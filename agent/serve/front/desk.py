"""One question of a client: routed, sized to the place it goes to, sent through the gateway.

The client tries again by itself, so one attempt is made at each place; a place that fails before
anything was said is left out, and the router asked again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from agent.config import Strategy
from agent.errors import (
    AuthError,
    ContextOverflow,
    EngineError,
    PointsmanError,
    PolicyError,
    ProviderUnavailable,
    RateLimited,
)
from agent.events import Notice, RequestFinished, TextDelta, ThinkingDelta
from agent.providers.base import estimate_tokens
from agent.router import ALL_STEPS, Place, Policy, RoutingFacts, route
from agent.serve.refusals import NoSuchModel
from agent.types import CancelToken, Completion, Location, Privacy, Request, Route, StepKind

if TYPE_CHECKING:
    from agent.gateway import Gateway
    from agent.ledger import StepRecord

__all__ = ["AUTO", "Desk", "Portfolio", "Question", "Served"]

AUTO = "auto"
_LEAST_ANSWER = 256
"""Tokens that must be left for the answer; a client's limit above what fits is no wish."""

Said = Callable[[Literal["thinking", "text"], str], None]
_ELSEWHERE = (ProviderUnavailable, RateLimited, AuthError, EngineError)
"""Says something about the place, not about the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a client asks, whatever its dialect. `kind` decides where it goes."""

    model: str
    kind: StepKind
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """An answer, where it came from, and what it cost (None: unknown)."""

    completion: Completion
    route: Route
    usd_micro: int | None
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """What the desk needs of the application."""

    places: Callable[[], Sequence[Place]]
    policy: Policy
    gateway: Callable[[], "Gateway"]
    budget_left: Callable[[], int | None]
    history: "Callable[[], tuple[StepRecord, ...]]"
    privacy: Privacy
    """Of whatever a client sends: nobody knows which files it is made of."""
    strategy: Strategy = "auto"
    """Of local decoding, where the client names none."""
    any_model: bool = False
    """Unknown model names are routed, not refused: clients with names built in."""
    notice: Callable[[str], None] = lambda _: None
    """Told what befell a provider meanwhile; the client is not."""


class Desk:
    """Used by several threads at once: it keeps nothing between questions."""

    def __init__(self, portfolio: Portfolio) -> None:
        self._has = portfolio

    @property
    def privacy(self) -> Privacy:
        return self._has.privacy

    def places(self) -> Sequence[Place]:
        return self._has.places()

    def answer(self, question: Question, said: Said, cancel: CancelToken) -> Served:
        """Raises every error of the gateway, NoSuchModel, ContextOverflow, PolicyError."""
        down: set[Location] = set()
        failure: PointsmanError | None = None
        while True:
            try:
                where, place = self.route(question, frozenset(down))
            except PointsmanError as error:
                raise failure or error from None
            listener = _Listener(said, self._has.notice)
            try:
                return self._send(question, where, place, listener, cancel)
            except _ELSEWHERE as error:
                if listener.spoke or cancel.is_set():
                    raise
                down.add(place.location)
                failure = error

    def route(
        self, question: Question, down: frozenset[Location] = frozenset()
    ) -> tuple[Route, Place]:
        """Raises NoSuchModel; ContextOverflow or PolicyError with the reasons of every place."""
        places = self._candidates(question.model)
        facts = RoutingFacts(
            places=tuple(places),
            down=down,
            privacy=question.request.privacy,
            policy=self._has.policy,
            budget_left_usd_micro=self._has.budget_left(),
            prompt_tokens=estimate_tokens(question.request),
            max_tokens=min(question.request.max_tokens, _LEAST_ANSWER),
            history=self._has.history(),
        )
        found = route(question.kind, facts=facts)
        place = next((p for p in places if p.location == found.location), None)
        if place is not None:
            return found, place
        if route(question.kind, facts=replace(facts, prompt_tokens=0, max_tokens=0)).location:
            raise ContextOverflow(found.reason, billed="no")
        raise PolicyError(found.reason, remedy="agent doctor, where the server runs")

    def _candidates(self, model: str) -> list[Place]:
        """The places a model name means. Who names one decides what it is good enough for."""
        places = list(self._has.places())
        named = [
            replace(p, capable=ALL_STEPS) for p in places if model in (p.model, p.location)
        ]  # fmt: skip
        if named:
            return named
        if model in ("", AUTO) or self._has.any_model:
            return places
        names = ", ".join([AUTO, *(p.model for p in places)])
        raise NoSuchModel(f"there is no model {model[:100]!r} here; there are: {names}")

    def _send(
        self,
        question: Question,
        where: Route,
        place: Place,
        listener: "_Listener",
        cancel: CancelToken,
    ) -> Served:
        request = _sized(question.request, place)
        if request.hints.strategy == "auto":
            hints = replace(request.hints, strategy=self._has.strategy)
            request = replace(request, hints=hints)
        running = self._has.gateway().complete(
            request, where, step_id=f"serve:{question.kind}", cancel=cancel
        )
        try:
            while True:
                listener.take(next(running))
        except StopIteration as stop:
            completion: Completion = stop.value
        return Served(
            completion=completion,
            route=where,
            usd_micro=listener.usd_micro,
            duration_s=completion.duration_s,
        )


def _sized(request: Request, place: Place) -> Request:
    """A limit beyond the window is cut to what is left; the answer then says `length`."""
    left = place.context_window - estimate_tokens(request)
    return replace(request, max_tokens=max(1, min(request.max_tokens, left)))


class _Listener:
    """Passes on what is said, and keeps what it cost."""

    def __init__(self, said: Said, notice: Callable[[str], None]) -> None:
        self._said, self._notice = said, notice
        self.spoke = False
        self.usd_micro: int | None = None

    def take(self, event: object) -> None:
        if isinstance(event, TextDelta | ThinkingDelta):
            self.spoke = True
            self._said("text" if isinstance(event, TextDelta) else "thinking", event.text)
        elif isinstance(event, RequestFinished):
            self.usd_micro = event.usd_micro
        elif isinstance(event, Notice):
            self._notice(event.message)
