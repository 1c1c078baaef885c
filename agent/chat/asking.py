"""How a turn asks a model: frame, route, send through the gateway, record before anything else.

A provider that fails is not a model that fails: the place is left out of the turn, visibly, and the
router is asked again.
"""

from collections.abc import Generator
from dataclasses import replace

from agent.chat import prompt, rules
from agent.chat import records as rec
from agent.chat.compacting import KEEP, compact
from agent.chat.conversation import Conversation
from agent.chat.deps import ChatDeps
from agent.chat.tools import for_mode, specs
from agent.errors import AuthError, BudgetExceeded, EngineError, ProviderError
from agent.events import CompletionRecorded, Event, Notice, RequestFinished, Routed
from agent.providers.base import decode_completion, estimate_tokens
from agent.types import Completion, Location, Request, Route, ToolCall, ToolChoice, Totals
from agent.work import Ask

__all__ = ["Asker"]

FULL = 0.85
"""Of a window: the estimate of tokens errs upwards by a fifth."""


class Asker:
    """One per turn."""

    def __init__(self, talk: Conversation, deps: ChatDeps, turn: int, before: Totals) -> None:
        self._talk = talk
        self._deps = deps
        self._turn = turn
        self._before = before
        self._down: set[Location] = set()
        self._requests = 0
        self._frame: prompt.Frame | None = None
        self.unserved = ""
        self.location: Location | None = None
        """Where the last answer came from."""
        self.window = 0
        """Of the place that is asked next."""

    @property
    def step_id(self) -> str:
        return f"t{self._turn}"

    def prepare(self) -> Generator[Event, None, None]:
        """Read what stands around the conversation; tell the user once what was found."""
        route = self._deps.route(self._question(0), frozenset(), None)
        self.location = route.location
        found = self._rules(route.location or "frontier")
        told = {r.text for r in self._talk.records if isinstance(r, rec.Told)}
        for notice in found.notices:
            if notice not in told:
                self._talk.append(rec.Told(text=notice))
                yield Notice(message=notice)
        self._frame = prompt.frame(
            name=self._deps.root.name,
            mode=self._deps.mode,
            sandbox=_sandbox(self._deps.sandbox.name),
            rules=found,
            tools=specs(for_mode(self._deps.mode)),
        )

    def ask(self, choice: ToolChoice) -> Generator[Event, None, Completion | None]:
        """The next answer, recorded. None: no place may or can hold the conversation.

        Raises AuthError, PolicyError or BudgetExceeded: those are for the user to resolve.
        """
        while True:
            yield from self._fit()
            request, route = yield from self._routed(choice)
            if request is None:
                self.unserved = route.reason
                return None
            answer = yield from self._send(request, route)
            if answer is not None:
                return answer

    def _fit(self) -> Generator[Event, None, None]:
        """Make the conversation short where it no longer fits the window it would go to."""
        draft = self._draft()
        question = replace(self._question(0), privacy=draft.privacy)
        place = self._deps.route(question, frozenset(self._down), None).location
        if place is None:
            return
        window = self._deps.facts(place).window
        self.window = window
        if estimate_tokens(draft) + draft.max_tokens > window * FULL:
            yield from compact(
                self._talk,
                self._deps,
                self.step_id,
                keep=int(window * KEEP),
                reason=f"the window of {window:,} tokens was nearly full",
            )

    def _draft(self) -> Request:
        """The next request, before it is known where it goes."""
        assert self._frame is not None
        nowhere = Route(location=None, provider=None, model=None, reason="")
        return prompt.build(
            self._talk.records,
            self._frame,
            request_id="draft",
            route=nowhere,
            window=prompt.OWN_TOKENS * 4,
        )

    def _routed(self, choice: ToolChoice) -> Generator[Event, None, tuple[Request | None, Route]]:
        assert self._frame is not None
        self._requests += 1
        request_id = f"{self._talk.id}/t{self._turn}-{self._requests}-{len(self._talk.records)}"
        draft = self._draft()
        route = self._deps.route(
            replace(self._question(estimate_tokens(draft)), privacy=draft.privacy),
            frozenset(self._down),
            None,
        )
        yield Routed(step_id=self.step_id, step_kind="chat", route=route)
        if route.location is None:
            return None, route
        facts = self._deps.facts(route.location)
        request = prompt.build(
            self._talk.records,
            self._frame,
            request_id=request_id,
            route=route,
            window=facts.window,
            choice=choice,
        )
        request = replace(request, hints=replace(request.hints, strategy=facts.strategy))
        return request, route

    def _send(self, request: Request, route: Route) -> Generator[Event, None, Completion | None]:
        """None when the place failed."""
        self._check_tokens()
        try:
            answer = yield from self._recorded(request, route)
        except AuthError:
            raise
        except (ProviderError, EngineError) as error:
            assert route.location is not None
            self._down.add(route.location)
            yield Notice(
                message=f"{route.provider} failed ({error}); it is left out of this turn",
                remedy=error.remedy,
                level="warning",
            )
            return None
        self.location = route.location
        return answer

    def _recorded(self, request: Request, route: Route) -> Generator[Event, None, Completion]:
        """The answer is on the disk before anybody sees that it has come: it has been paid for."""
        running = self._deps.gateway.complete(
            request, route, step_id=self.step_id, cancel=self._deps.cancel
        )
        held: list[Event] = []
        try:
            while True:
                event = next(running)
                if isinstance(event, RequestFinished) and event.status == "settled":
                    held.append(event)
                elif isinstance(event, CompletionRecorded):
                    self._record(request, decode_completion(event.completion_json))
                    yield from held
                else:
                    yield event
        except StopIteration as stop:
            answer: Completion = stop.value
            return answer
        finally:
            running.close()

    def _record(self, request: Request, answer: Completion) -> None:
        """`answer` as it may be written: secrets are placeholders in it."""
        self._talk.append(
            rec.Answered(
                turn=self._turn,
                request_id=request.id,
                text=answer.text,
                stop=answer.stop_reason,
                provider=answer.provider,
                model=answer.model,
                location=answer.location,
                calls=self._told_apart(answer.tool_calls),
                native=answer.native,
            )
        )

    def _told_apart(self, calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
        """Some servers count from `call_0` in every answer; here an id is used once."""
        used = {c.id for r in self._talk.records if isinstance(r, rec.Answered) for c in r.calls}
        found: list[ToolCall] = []
        for call in calls:
            ident = call.id
            while ident in used:
                ident = f"{call.id}-{len(used)}"
            used.add(ident)
            found.append(replace(call, id=ident))
        return tuple(found)

    # ------------------------------------------------------------------ facts

    def _question(self, tokens: int) -> Ask:
        return Ask(step_kind="chat", privacy="open", prompt_tokens=tokens)

    def _rules(self, location: Location) -> rules.Rules:
        from agent.router import may_leave_to
        from tools.files import Tree

        deps = self._deps

        def read(path: str) -> bytes | None:
            with Tree(deps.root) as tree:
                return tree.read(path)

        return rules.find(
            deps.files(),
            read,
            near=self._near(),
            trusted=deps.trusted,
            label=deps.label,
            allowed=lambda path: may_leave_to(location, deps.label((path,))),
            key=self._talk.fence,
        )

    def _near(self) -> tuple[str, ...]:
        """Where the conversation works: the files it has changed."""
        edited = (r for r in self._talk.records if isinstance(r, rec.Edited))
        return tuple(dict.fromkeys(p for r in edited for p in r.paths))

    def _check_tokens(self) -> None:
        now, before, limit = self._deps.totals(), self._before, self._deps.limits.tokens
        used = now.tokens_in + now.tokens_out - before.tokens_in - before.tokens_out
        if used >= limit:
            raise BudgetExceeded(
                f"the turn's limit of {limit:,} tokens is reached",
                remedy="say: go on; or raise it: agent config set limits.tokens N",
            )


def _sandbox(name: str) -> str:
    if name == "none":
        return "nothing can be executed on this machine; read and edit"
    if name == "direct":
        return "run unconfined, by the user's choice"
    return f"run in a sandbox ({name}) without network"
