"""One unit in a process of its own: `python -m evals.unit DIRECTORY` (with `unit.json` in it).

The process has its own state directories below DIRECTORY, so that no unit sees the ledger, the
journal or the index of another, and everything it needs from the agent goes through `open_app`.
"""

import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from evals.checkout import agent_repository
from evals.grading import Graded, grade_patch
from evals.harness import LOG
from evals.images import container_for, environment_of
from evals.result import RESULT, UNIT, Result, Spent, Tokens, Unit, write_json
from evals.story import plan_lines, story_lines
from tools.errors import PointsmanError

if TYPE_CHECKING:
    from agent.app import App
    from agent.events import Event, RunFinished
    from agent.ledger import Row
    from agent.types import Task
    from evals.grade import Grade
    from tools.types import Sandbox

PREDICTION = "prediction.json"
"""Written when the agent is done: what a kill leaves behind says which half was cut."""
WORK = "work"
TRAJECTORY = "trajectory.jsonl"
LEDGER = "ledger.json"
IDLE_S = 120.0
FREE_BYTES = 16 << 20
MOST_LINES, MOST_TESTS = 40, 20


@dataclass(slots=True)
class Seen:
    """What is taken from a run's events."""

    finished: "RunFinished | None" = None
    run_id: str = ""
    sandbox: str = ""
    version: str = ""
    steps: int = 0
    plan: tuple[str, ...] = ()
    story: list[str] = field(default_factory=list)


def execute(unit: Unit, directory: Path) -> Result:
    """Run and grade a unit below `directory`; everything but the result is removed afterwards.

    Raises PointsmanError for what is neither the agent's doing nor the patch's.
    """
    work = directory / WORK
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        root = work / "repository" / unit.instance.repo.replace("/", "__")
        root.parent.mkdir()
        agent_repository(unit.instance, root)
        seen, rows, sandbox = _agent(unit, root)
        assert seen.finished is not None
        outcome = seen.finished.outcome
        write_json(directory / PREDICTION, {"verdict": outcome.verdict, "patch": outcome.diff})
        began = time.monotonic()
        if outcome.exit_code == 5:
            graded = Graded(status="infra", reason=outcome.reason)
        else:
            graded = grade_patch(unit.instance, outcome.diff, work / "grading", sandbox)
        if graded.log:
            (directory / LOG).write_text(graded.log, encoding="utf-8", errors="replace")
        return _result(unit, seen, rows, graded, time.monotonic() - began)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _agent(unit: Unit, root: Path) -> tuple[Seen, "tuple[Row, ...]", "Sandbox"]:
    """Run the agent as a user's command would, over the same settings."""
    app, task = opened(unit, root)
    seen = _follow(app.run(task))
    directory = root.parents[2]
    shutil.copyfile(app.runs_dir / seen.run_id / TRAJECTORY, directory / TRAJECTORY)
    rows = tuple(app.ledger.rows(run_id=seen.run_id))
    write_json(directory / LEDGER, [asdict(row) for row in rows])
    return seen, rows, app.sandbox


def opened(unit: Unit, root: Path) -> "tuple[App, Task]":
    """The agent over the repository at `root`, and what it is asked."""
    from agent.app import open_app
    from agent.config import load
    from agent.types import Task

    # The target's Python: an environment that holds what its tests need, and nothing else.
    os.environ["VIRTUAL_ENV"] = str(environment_of(unit.instance))
    flags: dict[str, object] = {
        "max_wall_s": unit.max_wall_s,
        "zero_token_s": unit.zero_token_s,
        "worker_idle_s": IDLE_S,
        "seed": unit.seed,
        **dict(unit.flags),
    }
    task = Task(
        goal="fix",
        text=unit.instance.problem_statement,
        root=root,
        test_command=unit.instance.test_cmd,
    )
    box = container_for(unit.instance)
    return open_app(load(flags, os.environ, root), root, sandbox=box), task


def _follow(events: "Iterable[Event]") -> Seen:
    from agent.events import PlanReady, RunFinished, RunStarted, StepStarted

    seen = Seen()
    for event in events:
        if isinstance(event, RunStarted):
            seen.run_id, seen.sandbox, seen.version = event.run_id, event.sandbox, event.version
        elif isinstance(event, StepStarted):
            seen.steps += 1
        elif isinstance(event, PlanReady):
            seen.plan = plan_lines(event.plan)
        elif isinstance(event, RunFinished):
            seen.finished = event
        seen.story += story_lines(event)[: MOST_LINES - len(seen.story)]
    return seen


def _result(
    unit: Unit, seen: Seen, rows: "tuple[Row, ...]", graded: Graded, grading_s: float
) -> Result:
    assert seen.finished is not None
    done, instance, found = seen.finished, unit.instance, graded.grade
    added, removed, files = _size(done.outcome.diff)
    return Result(
        instance_id=instance.instance_id,
        arm=unit.arm,
        seed=unit.seed,
        stratum=instance.stratum,
        tests_visible=instance.tests_visible,
        status=graded.status,
        reason=graded.reason,
        verdict=done.outcome.verdict,
        exit_code=done.outcome.exit_code,
        exit_reason=done.outcome.reason,
        evidence=tuple(done.outcome.evidence),
        patch=done.outcome.diff,
        left_out=graded.left_out,
        fail_to_pass=len(found.fail_to_pass) if found else 0,
        fail_to_pass_total=len(instance.FAIL_TO_PASS),
        pass_to_pass=len(found.pass_to_pass) if found else 0,
        pass_to_pass_total=len(instance.PASS_TO_PASS),
        usd_micro=None if done.totals.unpriced else done.totals.usd_micro,
        tokens=_tokens(rows),
        wall_s=round(done.duration_s, 3),
        model_s=round(done.model_s, 3),
        test_s=round(done.test_s, 3),
        grading_s=round(grading_s, 3),
        test_runs=done.test_runs,
        steps=seen.steps,
        files_changed=files,
        lines_added=added,
        lines_removed=removed,
        sandbox=seen.sandbox,
        version=seen.version,
        memory_mb=_memory_mb(),
        plan=seen.plan,
        story=tuple(seen.story),
        rows=tuple(_spent(row) for row in rows[:MOST_LINES]),
        still_failing=_still(found),
    )


def _still(found: "Grade | None") -> tuple[str, ...]:
    failing = (*found.fail_to_pass_failed, *found.pass_to_pass_failed) if found else ()
    return failing[:MOST_TESTS]


def _spent(row: "Row") -> Spent:
    usage = row.usage
    return Spent(
        step_kind=row.entry.step_kind,
        location=row.entry.location,
        model=row.entry.model,
        state=row.state,
        tokens_in=usage.input + usage.cache_write_5m + usage.cache_write_1h,
        cached=usage.cache_read,
        tokens_out=usage.output + usage.thinking,
        usd_micro=row.usd_micro,
        seconds=round(row.duration_s, 3),
    )


def _memory_mb() -> int:
    """The most that this process or one it waited for had in memory; a warm engine is not one."""
    scale = 1 << (20 if sys.platform == "darwin" else 10)  # bytes there, KiB elsewhere
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return round(max(resource.getrusage(w).ru_maxrss for w in who) / scale)


def _tokens(rows: "tuple[Row, ...]") -> tuple[Tokens, ...]:
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.entry.location, row.entry.step_kind].append(row)
    return tuple(
        Tokens(
            location=location,
            step_kind=kind,
            requests=len(group),
            tokens_in=sum(
                r.usage.input + r.usage.cache_write_5m + r.usage.cache_write_1h for r in group
            ),
            cached=sum(r.usage.cache_read for r in group),
            tokens_out=sum(r.usage.output + r.usage.thinking for r in group),
            drafted=sum(r.decode.drafted for r in group if r.decode),
            accepted=sum(r.decode.accepted for r in group if r.decode),
            seconds=round(sum(r.duration_s for r in group), 3),
        )
        for (location, kind), group in sorted(groups.items())
    )


def _size(diff: str) -> tuple[int, int, int]:
    """Lines added, lines removed, files."""
    lines = diff.split("\n")
    added = sum(1 for x in lines if x.startswith("+") and not x.startswith("+++ "))
    removed = sum(1 for x in lines if x.startswith("-") and not x.startswith("--- "))
    return added, removed, sum(1 for x in lines if x.startswith("diff --git "))


def failed(unit: Unit, reason: str) -> Result:
    """A unit that could not be run: infrastructure, apart from every rate."""
    return Result(
        instance_id=unit.instance.instance_id,
        arm=unit.arm,
        seed=unit.seed,
        stratum=unit.instance.stratum,
        tests_visible=unit.instance.tests_visible,
        status="infra",
        reason=reason,
        fail_to_pass_total=len(unit.instance.FAIL_TO_PASS),
        pass_to_pass_total=len(unit.instance.PASS_TO_PASS),
    )


def _end_with_parent(parent: int) -> None:
    """A runner that was killed takes its units with it: its next run starts them afresh."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _full(directory: Path) -> bool:
    return shutil.disk_usage(directory).free < FREE_BYTES


def main(directory: Path) -> int:
    """The process boundary: whatever goes wrong becomes a result that says so."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    unit = Unit.from_json((directory / UNIT).read_text("utf-8"), where=str(directory / UNIT))
    try:
        result = execute(unit, directory)
        if result.status == "unresolved" and _full(directory):
            result = failed(unit, "the disk is full: tests may have failed for that")
    except PointsmanError as error:
        result = failed(unit, str(error))
    except Exception as error:
        result = failed(unit, f"unexpected: {type(error).__name__}: {error}")
    write_json(directory / RESULT, asdict(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
