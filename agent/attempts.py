"""Carrying out one step of a plan: answer → patch → guards → tests; again on failure; elsewhere
after too many failures.
"""

from collections.abc import Generator
from dataclasses import dataclass

from agent import context, finish, guards, lessons, proposals
from agent.asking import Answer, ask, code_for, evidence_of
from agent.changes import inverse
from agent.context import Attempt
from agent.diagnose import run_tests, summary
from agent.events import EditProposed, EditRefused, Event, Phase, StepFinished, StepStarted
from agent.evidence import compare, failure_text
from agent.types import Location, Plan, Request, Route, Step
from agent.work import Ask, Work
from tools import edits
from tools import patch as patches
from tools.edits.syntax import check_syntax
from tools.errors import EditError
from tools.types import Patch

CODE_SHARE = 0.5
"""Of a model's window that code may fill; the rest is for evidence, attempts and the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one attempt ended; `told` is what the next attempt hears about it."""

    status: str
    told: str = ""
    patch: Patch | None = None
    """What is in the workspace now, when it is done."""


def carry_out(work: Work, plan: Plan, step: Step) -> Generator[Event, None, bool]:
    """Whether the step was carried out. Its patch is then in the workspace."""
    tried: list[Attempt] = []
    failures: list[tuple[Location, int]] = []
    # As many attempts again where it escalates to.
    for number in range(1, 2 * work.deps.limits.max_attempts + 1):
        work.check()
        yield StepStarted(step=step, attempt=number)
        result = yield from _attempt(work, plan, step, tried, failures)
        status = result.status
        yield StepFinished(
            step_id=step.id,
            attempt=number,
            status="done" if status == "done" else "skipped" if status == "skipped" else "failed",
            reason=result.told,
        )
        if status != "failed":
            return status == "done"
        if guards.repeats([t.answer for t in tried]):
            work.notes.append("stopped: the same answer three times")
            return False
    return False


def _attempt(
    work: Work,
    plan: Plan,
    step: Step,
    tried: list[Attempt],
    failures: list[tuple[Location, int]],
) -> Generator[Event, None, Result]:
    yield Phase(name="edit", detail=step.goal)
    question = Ask(
        step_kind="repair" if tried else step.kind,
        privacy=work.deps.privacy(step.files),
        prompt_tokens=0,
        failures=tuple(failures),
    )

    def build(route: Route) -> Request | None:
        assert route.location is not None
        facts = work.deps.facts(route.location)
        if facts.edit_format == "line":
            return proposals.request(work, step, len(tried))
        return context.edit_request(
            work.task,
            step,
            evidence_of(work),
            request_id=work.next_request_id(),
            summary=plan.summary,
            code=code_for(work, step.files, int(facts.window * CODE_SHARE)),
            files=step.files or plan.files_in_scope,
            tried=tried,
        )

    answer = yield from ask(work, step.id, question, build)
    if answer is None:
        return Result(status="skipped", told=work.unserved or "there is nothing left to ask")
    if answer.request.hints.edit_format == "line":
        result = yield from _try_proposals(work, plan, step, answer, question)
    else:
        result = yield from _try_patch(work, plan, step, answer)
    if result.status == "failed":
        work.last_failure = result.told
        tried.append(Attempt(answer=answer.completion.text, result=result.told))
        failures.append((answer.completion.location, 1))
        lessons.refused(work, step, answer)
    elif result.patch is not None:
        lessons.accepted(work, step, answer, result.patch)
    return result


def _try_proposals(
    work: Work, plan: Plan, step: Step, answer: Answer, question: Ask
) -> Generator[Event, None, Result]:
    patch = yield from proposals.best(work, plan, step, answer, question)
    if patch is None:
        return Result(status="failed", told="no proposal makes the failing tests pass")
    return Result(status="done", patch=patch)


def _try_patch(
    work: Work, plan: Plan, step: Step, answer: Answer
) -> Generator[Event, None, Result]:
    try:
        patch = _parse(work, plan, answer)
    except EditError as error:
        yield EditRefused(step_id=step.id, error=type(error).__name__, message=str(error))
        return Result(status="failed", told=str(error))
    yield EditProposed(step_id=step.id, diff=patches.diff(patch))
    work.workspace.write(patch)
    finish.keep(work, work.workspace.changes())
    if step != plan.steps[-1]:
        # Tests are for the whole plan: half of it may be red.
        return Result(status="done", patch=patch)
    told = yield from _what_fails(work)
    if not told:
        return Result(status="done", patch=patch)
    work.workspace.write(inverse(patch))
    return Result(status="failed", told=told)


def _parse(work: Work, plan: Plan, answer: Answer) -> Patch:
    name = answer.request.hints.edit_format
    assert name is not None
    if answer.completion.stop_reason == "length":
        raise EditError("The answer was cut off by its length limit. Make a smaller change.")
    patch = edits.get(name).parse(answer.completion.text, work.workspace.read)
    protected = guards.protects(work.task.goal, work.targets, work.deps.files())
    guards.check_scope(patch, plan, protected=protected)
    check_syntax(patch)
    return patch


def _what_fails(work: Work) -> Generator[Event, None, str]:
    """Run the evidence first, then everything. The empty string: nothing fails that should not."""
    if work.runner is None or work.baseline is None:
        return ""
    if work.targets:
        run = run_tests(work, work.targets, fail_fast=True)
        yield summary("step", run)
        if run.status != "passed":
            return failure_text(run, run.failing)
    run = run_tests(work, ())
    yield summary("step", run)
    verdict = compare(work.baseline, run, targets=work.targets)
    if verdict.ok:
        return ""
    return f"{verdict.reason}\n{failure_text(run, verdict.newly_failing or run.failing)}"
