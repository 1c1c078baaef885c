"""What satisfies the tests already is a rival of whatever is found later."""

from agent import config, diagnose, reproducing, scratch, zero
from agent.app import open_app
from agent.ranker import unranked
from agent.trajectory import new_run_id
from agent.types import Task
from agent.work import Work
from tests.agent.repos import PACKAGE, shop
from tools.types import Candidate


def edit(new):
    before = PACKAGE.splitlines(keepends=True)[8]
    return Candidate(
        path="shop.py",
        line=9,
        end_line=9,
        before=before,
        after=f"        return {new}\n",
        operator="variable",
        tier=0,
    )


def drained(stage):
    """What a stage returns; its events are not looked at."""
    try:
        while True:
            next(stage)
    except StopIteration as end:
        return end.value


def test_what_stands_is_a_rival_of_what_is_found_later(tmp_path):
    root = shop(tmp_path / "shop")
    app = open_app(config.load({"local_model": "none"}, {}, root), root)
    task = Task(goal="fix", text="clamp(12, 1, 9) gives 1", root=root)
    run_id = new_run_id()
    directory = app.runs_dir / run_id
    with scratch.claimed(directory):
        deps = app.deps(run_id, directory, task, {}, app.places)
        work = Work(
            task=task,
            deps=deps,
            started=deps.clock(),
            workspace=deps.make_workspace(directory / "work"),
        )
        for stage in (diagnose.index, diagnose.baseline, reproducing.run, diagnose.localize):
            drained(stage(work))

        def tried(*changes):
            pool = unranked([edit(c) for c in changes])
            return drained(zero.try_candidates(work, pool, by="t", most=9, budget_s=60))

        assert tried("high - 0 if value else 9", "9") is None
        assert work.rivals == 2
        offered = work.offered
        assert tried("max(high, low)") is None, "alone in its pool, but not alone"
        assert work.rivals == 3
        assert work.offered == offered
        assert "3 different changes satisfy the tests equally well" in work.notes
        work.rivals = 0
        assert tried("high") is not None, "the same without rivals is taken"
        work.workspace.remove()
