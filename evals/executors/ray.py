"""Units on a Ray cluster: the same pure unit, as a task that runs it in a process of its own.

    agent eval run --executor ray --workers 8      (pip install 'pointsman[ray]')

Ray is started on this machine unless RAY_ADDRESS names a cluster; the run directory and the caches
must then be at the same path on every node (a shared file system), as must this installation.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from agent.errors import ConfigError
from evals.executors.process import GRACE_S, run_one
from evals.result import RESULT, Result, Unit, write_json
from evals.unit import failed

__all__ = ["RayExecutor"]

RETRIES = 2
"""Of a unit whose worker or node was lost: it says nothing about the agent."""


@dataclass(slots=True)
class RayExecutor:
    """`workers` units at a time over the cluster. Leaving the iteration early cancels the rest."""

    workers: int = 1
    grace_s: float = GRACE_S

    def map(self, units: Iterable[tuple[Unit, Path]]) -> Iterator[Result]:
        """Raises ConfigError without Ray."""
        try:
            import ray
        except ImportError as error:
            raise ConfigError(
                "the executor ray needs Ray", remedy="pip install 'pointsman[ray]'"
            ) from error
        mine = not ray.is_initialized()
        if mine:
            _start(ray, self.workers)
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(run_one)
        left = iter(units)
        running: dict[Any, tuple[Unit, Path]] = {}
        try:
            while True:
                for unit, directory in islice(left, max(self.workers, 1) - len(running)):
                    running[task.remote(unit, directory, self.grace_s)] = (unit, directory)
                if not running:
                    return
                (done,), _ = ray.wait(list(running), num_returns=1)
                yield _taken(ray, done, *running.pop(done))
        finally:
            for given_up in running:
                with suppress(ray.exceptions.RayError):
                    ray.cancel(given_up, force=True)
            if mine:
                ray.shutdown()


def _start(ray: Any, workers: int) -> None:
    """A cluster where RAY_ADDRESS names one, else one node on this machine, on loopback only."""
    import os

    shared = {"log_to_driver": False, "logging_level": "error"}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**shared)
        return
    ray.init(
        num_cpus=max(workers, 1),
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        **shared,
    )


def _taken(ray: Any, done: Any, unit: Unit, directory: Path) -> Result:
    """A task that failed for good is infrastructure: lost worker, lost node, no memory."""
    try:
        result: Result = ray.get(done)
    except ray.exceptions.RayError as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        result = failed(unit, f"Ray lost the unit: {type(error).__name__}: {last[:200]}")
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / RESULT, asdict(result))
    return result
