"""Real Ray, started on this machine: the same results as processes give. Needs `pointsman[ray]`."""

import importlib.util
import os
import signal
import threading
import time
from dataclasses import replace

import pytest

from agent.errors import ConfigError
from evals.arms import Arm, arm
from evals.executors.process import ProcessExecutor
from evals.executors.ray import RayExecutor
from evals.result import UNIT, Result
from evals.runner import Plan, run
from tests.evals import tiny

HERE = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(
    not HERE, reason="Ray is not installed: pip install 'pointsman[ray]'"
)
NONE = Arm(name="none", about="", flags=(("local_model", "none"), ("zero_token", False)))


def without_times(result: Result) -> Result:
    """What must be the same wherever a unit runs. A warm engine keeps earlier prompts: of the
    tokens of a prompt, how many were cached depends on what ran before."""
    tokens = tuple(
        replace(t, seconds=0.0, tokens_in=t.tokens_in + t.cached, cached=0) for t in result.tokens
    )
    times = {name: 0 for name in ("wall_s", "model_s", "test_s", "grading_s", "memory_mb")}
    return replace(result, tokens=tokens, rows=(), story=(), **times)


@pytest.mark.skipif(HERE, reason="Ray is installed")
def test_without_ray_it_says_what_to_install():
    with pytest.raises(ConfigError, match="needs Ray"):
        list(RayExecutor().map([]))


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_two_ray_workers_and_processes_give_the_same_results(tmp_path):
    """Seeded local arms: no model, Mini, and a search that is bounded by tries and not by time."""
    first = tiny.instance(tmp_path / "source")
    many = tuple(replace(first, instance_id=f"till-{n}") for n in range(2))
    small = Arm(
        name="search",
        about="",
        flags=(("local_model", "none"), ("zero_token_candidates", 12), ("workers", 1)),
    )
    plan = Plan(
        instances=many,
        arms=(NONE, small, arm("mini")),
        seeds=(0, 1),
        max_wall_s=120,
    )
    by_process = run(plan, tmp_path / "a", ProcessExecutor(workers=2))
    by_ray = run(plan, tmp_path / "b", RayExecutor(workers=2))
    assert len(by_ray) == 12
    assert {r.status for r in by_ray} <= {"resolved", "unresolved"}, by_ray
    assert [without_times(r) for r in by_ray] == [without_times(r) for r in by_process]


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_worker_of_ray_that_is_lost_costs_a_second_try_and_no_result(tmp_path):
    one = tiny.instance(tmp_path / "source")
    plan = Plan(instances=(one,), arms=(NONE,), max_wall_s=60)
    killed: list[int] = []

    def kill() -> None:
        """The Ray worker that waits for the unit: the parent of the unit's process."""
        import psutil

        deadline = time.monotonic() + 40
        unit = str(tmp_path / "run" / "units")
        while time.monotonic() < deadline and not killed:
            for process in psutil.process_iter(["cmdline", "ppid"]):
                words = process.info["cmdline"] or []
                if "evals.unit" in words and words[-1].startswith(unit):
                    killed.append(process.info["ppid"])
                    os.kill(process.info["ppid"], signal.SIGKILL)
                    return
            time.sleep(0.05)

    thread = threading.Thread(target=kill)
    thread.start()
    (found,) = run(plan, tmp_path / "run", RayExecutor(workers=1))
    thread.join()
    assert killed
    assert killed[0] != os.getpid()
    assert found.status == "unresolved", found
    assert (tmp_path / "run" / "units" / "till-discount.none.0" / UNIT).is_file()
