"""The one control flow: a task goes in, events come out, the last one says how it ended.

    for event in run(task, deps): ...

Everything happens in a scratch copy of the repository. The user's tree is written once, at the
end, through the journal, and only with a verified patch: an interruption, a crash or a full disk
leaves it as it was.
"""

from collections.abc import Generator, Iterator

from agent import attempts, diagnose, finish, planning, reproducing, zero
from agent.errors import BudgetExceeded, Cancelled, LedgerError, PointsmanError
from agent.events import Event, RunFinished, RunStarted, Spent
from agent.types import Outcome, Step, Task, Totals
from agent.work import Deps, Work

VERSION = "1"
"""Of the control flow: stored with every trajectory, since replay depends on it."""


def run(task: Task, deps: Deps) -> Iterator[Event]:
    """Work on a task. Yields events; the last is always RunFinished, whatever happened."""
    started = deps.clock()
    yield RunStarted(
        run_id=deps.run_id,
        task=task,
        base_commit=deps.base_commit,
        sandbox=deps.sandbox.name,
        version=VERSION,
        places=deps.places,
    )
    work: Work | None = None
    try:
        work = Work(
            task=task,
            deps=deps,
            started=started,
            workspace=deps.make_workspace(deps.run_dir / "work"),
        )
        outcome = yield from _flow(work)
    except KeyboardInterrupt:
        outcome = _stopped(Cancelled("interrupted; the working tree is as it was"), work)
    except PointsmanError as error:
        outcome = _stopped(error, work)
    finally:
        if work is not None:
            work.workspace.remove()
    totals = _totals(deps)
    yield Spent(totals=totals, budget_usd_micro=deps.budget_usd_micro)
    yield RunFinished(
        run_id=deps.run_id,
        outcome=outcome,
        totals=totals,
        duration_s=deps.clock() - started,
        model_s=work.model_s if work else 0.0,
        test_s=work.test_s if work else 0.0,
        test_runs=work.test_runs if work else 0,
    )


def _flow(work: Work) -> Generator[Event, None, Outcome]:
    yield from diagnose.index(work)
    yield from diagnose.baseline(work)
    if work.task.goal == "fix":
        yield from reproducing.run(work)
    yield from diagnose.localize(work)
    if work.task.goal == "fix" and work.targets:
        found = yield from zero.search(work)
        if found is not None:
            return (yield from finish.verify(work, by="zero-token stage"))
    plan = yield from planning.make(work)
    for step in plan.steps[: work.deps.limits.max_steps]:
        done = yield from attempts.carry_out(work, plan, step)
        if not done:
            return finish.not_solved(work, _why_not(work, step))
    return (yield from finish.verify(work, by="model"))


def _why_not(work: Work, step: Step) -> str:
    """Why a step was given up, in the words of the last thing that went wrong."""
    if work.rivals:
        return zero.doubt(work.rivals)
    last = work.last_failure.splitlines()[0] if work.last_failure else ""
    if last and work.unserved:
        return f"{last}; nothing else may or can try ({step.kind} steps)"
    return last or work.unserved or f"the {step.kind} step was not carried out"


def _totals(deps: Deps) -> Totals:
    try:
        return deps.totals()
    except LedgerError:  # what ended the run would hide how it ended
        return Totals()


def _stopped(error: PointsmanError, work: Work | None) -> Outcome:
    """An error as an outcome. What was found so far is kept in the run's directory."""
    resumable = isinstance(error, Cancelled | BudgetExceeded)
    run_id = work.deps.run_id if work else ""
    return Outcome(
        verdict="not_solved",
        reason=str(error),
        diff=work.offered if work else "",
        exit_code=error.exit_code,
        next_command=error.remedy or (f"agent resume {run_id}" if resumable and work else None),
    )
