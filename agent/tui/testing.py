"""Runs the tests at the user's request: on a scratch copy of the tree as it is, in the sandbox."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.events import Phase
from agent.tui.items import Item, Say, Tested

if TYPE_CHECKING:
    from agent.app import App
    from agent.types import CancelToken

__all__ = ["run"]


def run(app: "App", ids: tuple[str, ...], stop: "CancelToken") -> Iterator[Item]:
    """All tests, or those named. Raises TestCommandError where no tests can be run."""
    from agent import scratch
    from agent.trajectory import new_run_id
    from tools.testrun import TestRunner, detect, target_interpreter
    from tools.workspace import Workspace

    yield Phase(name="test", detail="all of them" if not ids else f"{len(ids)} chosen")
    root = app.repo.root
    directory = app.runs_dir / f"{new_run_id()}-tests"
    with (
        scratch.claimed(directory),
        Workspace.create(root, app.repo.files(), directory / "work") as workspace,
    ):
        runner = TestRunner(
            sandbox=app.sandbox,
            root=workspace.root,
            command=detect(workspace.root, app.settings.test_command),
            interpreter=target_interpreter(root, os.environ),
            original_root=root,
            environ=os.environ,
        )
        done = runner.run(
            ids,
            timeout_s=app.settings.test_timeout_s,
            per_test_timeout_s=app.settings.per_test_timeout_s,
        )
    _remove(directory)
    if stop.is_set():
        yield Say(label="tests", text="stopped before they ended", style="yellow")
        return
    yield Tested(run=done, ids=ids)
    red, green = len(done.failing), len(done.passing)
    good = done.status == "passed"
    status = "" if done.status in ("passed", "failed") else f"{done.status.replace('_', ' ')}: "
    yield Say(
        label="tests",
        text=f"{'✔' if good else '✘'} {status}{green} passed, {red} failed",
        style="green" if good else "red",
        note=f"{done.duration_s:.1f} s · F3 shows them",
    )


def _remove(directory: "os.PathLike[str]") -> None:
    """What a run of tests leaves: its lock."""
    import shutil

    shutil.rmtree(directory, ignore_errors=True)
