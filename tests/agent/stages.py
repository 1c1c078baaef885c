"""A run's first stages on the small repository, without the rest of the loop."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent import config, diagnose, reproducing, scratch
from agent.app import open_app
from agent.trajectory import new_run_id
from agent.types import Task
from agent.work import Work
from tests.agent.repos import shop


def drained(stage):
    """What a stage returns; its events are not looked at."""
    try:
        while True:
            next(stage)
    except StopIteration as end:
        return end.value


@contextmanager
def localized(root: Path) -> Iterator[Work]:
    """The work on `clamp(12, 1, 9)` where the search for an edit would begin."""
    shop(root)
    app = open_app(config.load({"local_model": "none"}, {}, root), root)
    task = Task(goal="fix", text="clamp(12, 1, 9) gives 1", root=root)
    run_id = new_run_id()
    directory = app.runs_dir / run_id
    with scratch.claimed(directory):
        deps = app.deps(run_id, directory, task, {}, app.places)
        workspace = deps.make_workspace(directory / "work")
        work = Work(task=task, deps=deps, started=deps.clock(), workspace=workspace)
        for stage in (diagnose.index, diagnose.baseline, reproducing.run, diagnose.localize):
            drained(stage(work))
        yield work
        workspace.remove()
