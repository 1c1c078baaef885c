"""The planning stage: who plans, what they are shown, and what happens when they cannot."""

from collections.abc import Generator
from dataclasses import replace

from agent import context
from agent.asking import ask, evidence_of, pack
from agent.events import EditRefused, Event, Phase, PlanReady
from agent.planner import localiser_plan, parse_plan
from agent.types import Message, Plan, Request, Route
from agent.work import Ask, Work
from tools.errors import UnparseableEdit

MAP_TOKENS = 2000
CODE_TOKENS = 6000
TURNS = 2
"""A plan that does not parse is returned to its author once."""


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

    def build(route: Route) -> Request:
        request = _request(work)
        return replace(request, messages=(*request.messages, *said))

    for _ in range(TURNS):
        question = Ask(
            step_kind="plan",
            privacy=work.deps.privacy([s.path for s in work.suspects]),
            prompt_tokens=MAP_TOKENS + CODE_TOKENS,
        )
        answer = yield from ask(work, "plan", question, build)
        if answer is None:
            return None
        try:
            return parse_plan(
                answer.completion,
                task=work.task,
                known=work.deps.files(),
                acceptance=work.targets,
            )
        except UnparseableEdit as error:
            yield EditRefused(step_id="plan", error=type(error).__name__, message=str(error))
            said = (
                *said,
                Message(role="assistant", content=answer.completion.text or "(nothing)"),
                Message(role="user", content=str(error)),
            )
    return None


def _request(work: Work) -> Request:
    return context.plan_request(
        work.task,
        evidence_of(work),
        request_id=work.next_request_id(),
        repo_map=work.deps.index.map(f"{work.task.text}\n{work.failure}", MAP_TOKENS).text,
        code=pack(work, work.suspects[:4], CODE_TOKENS),
    )
