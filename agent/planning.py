"""The planning stage: who plans, what they are shown, and what happens when they cannot.

A model that takes tools may look around first, with those that only look; at the last turn, and
where a model takes none, the plan is asked for in one request.
"""

import hashlib
from collections.abc import Generator
from dataclasses import replace

from agent import context
from agent.asking import Answer, ask, evidence_of, pack
from agent.chat.fence import fenced
from agent.chat.tools import READ_ONLY, Result, ToolError, arguments_of, by_name, specs
from agent.chat.tools.base import Desk, View
from agent.chat.tools.look import without_hidden
from agent.events import EditRefused, Event, Phase, PlanReady, ToolFinished, ToolStarted
from agent.planner import localiser_plan, parse_plan
from agent.types import Location, Message, Plan, Request, Route, ToolCall, ToolChoice
from agent.work import Ask, Work
from tools.errors import UnparseableEdit

MAP_TOKENS = 2000
CODE_TOKENS = 6000
TURNS = 2
"""A plan that does not parse is returned to its author once."""
LOOKS = 3
"""Turns in which the planner may look around before it must answer."""
CALLS = 8
"""Looks of one turn; more are not carried out, and it is told."""


def make(work: Work) -> Generator[Event, None, Plan]:
    """A plan from a model where one may plan; else the localiser's."""
    yield Phase(name="plan")
    plan = yield from _by_model(work)
    if plan is None:
        plan = localiser_plan(work.task, work.suspects, work.targets)
    work.plan = plan
    yield PlanReady(plan=plan)
    return plan


def _by_model(work: Work) -> Generator[Event, None, Plan | None]:
    said: tuple[Message, ...] = ()
    looks = refused = 0
    while refused < TURNS:
        answer = yield from _asked(work, said, may_look=looks < LOOKS and not refused)
        if answer is None:
            return None
        if answer.completion.tool_calls:
            if looks >= LOOKS:
                return None  # it calls for more although it may not
            looks += 1
            said = (*said, *(yield from _looked(work, answer, last=looks == LOOKS)))
            continue
        try:
            return parse_plan(
                answer.completion,
                task=work.task,
                known=work.deps.files(),
                acceptance=work.targets,
            )
        except UnparseableEdit as error:
            refused += 1
            yield EditRefused(step_id="plan", error=type(error).__name__, message=str(error))
            text = answer.completion.text or "(nothing)"
            said = (
                *said,
                Message(role="assistant", content=text),
                Message(role="user", content=str(error)),
            )
    return None


def _asked(
    work: Work, said: tuple[Message, ...], *, may_look: bool
) -> Generator[Event, None, Answer | None]:
    def build(route: Route) -> Request:
        return _for_route(work, _request(work, route), route, said, may_look=may_look)

    question = Ask(
        step_kind="plan",
        privacy=work.deps.privacy([s.path for s in work.suspects]),
        prompt_tokens=MAP_TOKENS + CODE_TOKENS + sum(context.count(m.content) for m in said),
    )
    return (yield from ask(work, "plan", question, build))


def _for_route(
    work: Work, request: Request, route: Route, said: tuple[Message, ...], *, may_look: bool
) -> Request:
    """Hosted APIs take tools and a schema for the answer at once; other servers one of the two."""
    assert route.location is not None
    request = replace(request, messages=(*request.messages, *said))
    takes = work.deps.facts(route.location).edit_format != "line"
    if not takes or route.location in work.toolless:
        return request
    if route.location == "frontier":
        choice: ToolChoice = "auto" if may_look else "none"
        return replace(request, tools=specs(READ_ONLY), tool_choice=choice)
    return replace(request, tools=specs(READ_ONLY), json_schema=None) if may_look else request


def _request(work: Work, route: Route) -> Request:
    assert route.location is not None
    desk = _desk(work, route.location)
    found = work.deps.index.map(f"{work.task.text}\n{work.failure}", MAP_TOKENS).text
    return context.plan_request(
        work.task,
        evidence_of(work),
        request_id=work.next_request_id(),
        repo_map=without_hidden(found, desk),
        code=pack(work, work.suspects[:4], CODE_TOKENS),
    )


# --------------------------------------------------------------------------- looking around


def _looked(
    work: Work, answer: Answer, *, last: bool
) -> Generator[Event, None, tuple[Message, ...]]:
    """The answer and what its calls gave, as the next request tells them."""
    assert answer.route.location is not None
    desk = _desk(work, answer.route.location)
    done = answer.completion
    found = [
        Message(role="assistant", content=done.text, tool_calls=done.tool_calls, native=done.native)
    ]
    for number, call in enumerate(done.tool_calls):
        work.check()
        yield ToolStarted(call_id=call.id, name=call.name, summary=call.name)
        began = work.deps.clock()
        result = _result(call, desk, number)
        content = _told(work, call, result)
        yield ToolFinished(
            call_id=call.id,
            name=call.name,
            ok=result.ok,
            summary=result.summary,
            output=content,
            duration_s=work.deps.clock() - began,
        )
        found.append(Message(role="tool", content=content, tool_call_id=call.id))
    if last:
        found.append(
            Message(role="user", content="Answer now with the JSON object; no more calls.")
        )
    return tuple(found)


def _result(call: ToolCall, desk: Desk, number: int) -> Result:
    tool = by_name(call.name)
    try:
        if tool not in READ_ONLY:
            raise ToolError(f"There are only: {', '.join(t.name for t in READ_ONLY)}.")
        if number >= CALLS:
            raise ToolError(f"At most {CALLS} calls at a time are carried out.")
        assert tool is not None
        return tool.run(arguments_of(call), desk)
    except ToolError as error:
        return Result(ok=False, summary="refused", text=error.data, note=str(error))


def _told(work: Work, call: ToolCall, result: Result) -> str:
    if not result.text:
        return result.note or result.summary
    # The same run gives the same marks, or its answers could not be replayed; text of the
    # repository cannot know them, since it does not know the task.
    key = hashlib.sha256(work.task.text.encode("utf-8", "surrogatepass")).hexdigest()
    data = fenced(result.text, key=key, name=call.id, about=result.about or call.name)
    return f"{data}\n{result.note}".rstrip()


def _desk(work: Work, audience: Location) -> Desk:
    def view() -> View:
        return View(
            read=work.workspace.read,
            files=tuple(work.deps.files()),
            index=lambda: work.deps.index,
        )

    return Desk(
        audience=audience,
        label=work.deps.privacy,
        view=view,
        cancel=work.deps.cancel,
        output=8_000,
    )
