"""Stages that look and do not change: index, baseline, reproduce, localise. No tokens, but for the
test a model may be asked to write when the issue text yields none.
"""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Literal

from agent.events import (
    Event,
    IndexReady,
    Localized,
    Notice,
    Phase,
    Progress,
    TestCommandFound,
    TestsFinished,
)
from agent.suite import Suite
from agent.work import Runner, Work
from tools.errors import SandboxError, TestCommandError
from tools.types import Coverage, Suspect, TestRun

if TYPE_CHECKING:
    from tools.workspace import Workspace

NO_ADDOPTS = ("-o", "addopts=")
COVERED_PASSING = 200
"""Passing tests run under coverage beside the failing ones: enough for Ochiai, bounded in time."""


def index(work: Work) -> Generator[Event, None, None]:
    yield Phase(name="index")
    rows: list[Progress] = []
    stats = work.deps.index.update(
        lambda done, total: rows.append(Progress(phase="index", done=done, total=total))
    )
    yield from rows[-1:]
    yield IndexReady(files=stats.files, symbols=stats.symbols, seconds=stats.seconds)


def baseline(work: Work) -> Generator[Event, None, None]:
    """Find the test command and run the suite once, as it is."""
    yield Phase(name="test", detail="before any change")
    try:
        runner = work.deps.find_runner(work.workspace, ())
    except TestCommandError as error:
        if work.task.test_command:
            raise
        yield Notice(message=str(error), remedy=error.remedy, level="warning")
        return
    interpreter = getattr(runner, "interpreter", None)
    yield TestCommandFound(
        command=runner.command, interpreter=str(interpreter) if interpreter else None
    )
    try:
        run = yield from _first_run(work, runner)
    except SandboxError as error:
        if work.deps.sandbox.name != "none":
            raise
        work.unexecuted = error  # reading, planning and editing remain
        yield Notice(message=str(error), remedy=error.remedy, level="warning")
        return
    yield summary("baseline", run)
    if (yield from _usable(work, run)):
        work.runner = work.deps.find_runner(work.workspace, work.extra_args)
        work.baseline, work.has_suite = run, True


def _first_run(work: Work, runner: Runner) -> Generator[Event, None, TestRun]:
    """The suite as it is; without the repository's own pytest options where they stop it."""
    run = run_tests(work, (), runner=runner)
    if run.status != "infra" or "unrecognized arguments" not in run.output:
        return run
    yield Notice(
        message="the repository's pytest options need a plugin that is not installed;"
        " they are left out",
        remedy="install the plugin for the target's Python, or pass --test 'COMMAND'",
        level="warning",
    )
    work.extra_args = NO_ADDOPTS
    return run_tests(work, (), runner=work.deps.find_runner(work.workspace, NO_ADDOPTS))


def _usable(work: Work, run: TestRun) -> Generator[Event, None, bool]:
    """Whether a patch can be judged by this suite. Raises TestCommandError if it cannot be run."""
    if run.status == "infra":
        raise TestCommandError(
            f"the tests could not be run: {run.output.strip()[-300:] or 'no output'}",
            remedy="pass the command that works for you: --test 'COMMAND'",
        )
    if run.status == "no_tests":
        yield Notice(
            message="the test command collected no tests",
            remedy="pass another with --test 'COMMAND'",
            level="warning",
        )
        return False
    if run.status == "timeout":
        limit = work.deps.limits.test_timeout_s
        yield Notice(
            message=f"the tests did not end within {limit:g} s",
            remedy="pass a quicker command with --test 'COMMAND', or allow more time:"
            " agent config set tests.timeout_s SECONDS",
            level="warning",
        )
        # A command that was stopped shows no bug, nor could any patch be verified by it.
        return run.command.kind != "command" and bool(run.cases)
    return True


def localize(work: Work) -> Generator[Event, None, None]:
    """Rank the places that may be at fault, from whatever evidence there is."""
    from tools.localize import locate

    yield Phase(name="localize")
    work.check()
    evidence_run, coverage = _covered(work)
    work.hits = work.deps.index.localize(f"{work.task.text}\n{work.failure}", limit=30)
    files = tuple(work.deps.files())
    found = locate(
        run=evidence_run,
        coverage=coverage,
        hits=work.hits,
        read=work.workspace.read,
        files=files,
        issue=work.task.text,
    )
    named = [
        Suspect(path=f, line=None, symbol=None, score=1.0, reasons=("named by the user",))
        for f in work.task.files
        if all(s.path != f for s in found.suspects)
    ]
    work.suspects = (*named, *found.suspects)
    yield Localized(suspects=work.suspects, hits=work.hits, method=found.method)


def _covered(work: Work) -> tuple[TestRun | None, Coverage | None]:
    """The targets and a bounded number of passing tests, run under coverage."""
    if not work.targets or work.runner is None or work.baseline is None:
        return work.baseline, None
    near = {t.split("::", 1)[0] for t in work.targets}
    passing = sorted(work.baseline.passing, key=lambda t: t.split("::", 1)[0] not in near)
    run, coverage = covered(work, (*work.targets, *passing[:COVERED_PASSING]))
    return run, coverage


def covered(work: Work, ids: tuple[str, ...]) -> tuple[TestRun, Coverage]:
    """One accounted run under coverage, within the limits of any test run."""
    work.check()
    assert work.runner is not None, "no test command was found"
    limits = work.deps.limits
    run, coverage = work.runner.coverage(
        ids,
        timeout_s=min(limits.test_timeout_s, work.remaining_s()),
        per_test_timeout_s=limits.per_test_timeout_s,
    )
    counted = work.count(run)
    work.check()  # a run that was stopped says nothing about the lines
    return counted, coverage


def suite_of(work: Work, workspace: "Workspace") -> Runner | None:
    """The repository's suite in a workspace, with the built reproduction if there is one."""
    own = work.deps.find_runner(workspace, work.extra_args) if work.has_suite else None
    if work.built is None:
        return own
    path = workspace.root / work.built
    path.parent.mkdir(exist_ok=True)
    path.write_text(work.built_source, encoding="utf-8")
    return Suite(own=own, built=work.deps.built_runner(workspace), built_path=work.built)


def summary(
    purpose: Literal["baseline", "reproduce", "candidate", "step", "verify"], run: TestRun
) -> TestsFinished:
    """A test run as an event."""
    return TestsFinished(
        purpose=purpose,
        status=run.status,
        passed=len(run.passing),
        failed=run.failing,
        duration_s=run.duration_s,
        tail=run.output[-2000:] if run.status != "passed" else "",
    )


def run_tests(
    work: Work, ids: Sequence[str], *, runner: Runner | None = None, fail_fast: bool = False
) -> TestRun:
    """One accounted test run within the limits."""
    work.check()
    chosen = runner or work.runner
    assert chosen is not None, "no test command was found"
    limits = work.deps.limits
    run = chosen.run(
        tuple(ids),
        timeout_s=min(limits.test_timeout_s, work.remaining_s()),
        per_test_timeout_s=limits.per_test_timeout_s,
        fail_fast=fail_fast,
    )
    done = work.count(run)
    work.check()  # a run that was stopped says nothing about the tests
    return done
