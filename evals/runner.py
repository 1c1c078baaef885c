"""A run: units that are not finished yet go to an executor, results stay in the run directory.

    RUN/run.json             what was run: command, arms, limits, instances
    RUN/units/KEY/unit.json  one unit: instance, arm, seed
    RUN/units/KEY/result.json
    RUN/predictions/ARM.jsonl

A unit is finished when its result.json is there; it is written whole or not at all. So a run that
was killed is taken up again by the same command.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from math import inf
from pathlib import Path

from agent.config import Settings
from evals.arms import Arm, flags_of
from evals.datasets.instance import Instance
from evals.executors import Executor
from evals.result import RESULT, Result, Unit, load_unit_result, write_json, write_predictions

__all__ = ["Plan", "run", "units_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be run."""

    instances: tuple[Instance, ...]
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...] = (0,)
    settings: Settings = field(default_factory=Settings)
    """The user's own, from which arms inherit models and endpoints."""
    temperature: float | None = None
    max_wall_s: float = 240.0
    zero_token_s: float = 90.0
    command: str = ""
    date: str = ""
    """UTC day of the start, for the report."""
    machine: str = ""
    """Cores and load, without which wall times say little."""
    not_run: tuple[tuple[str, str], ...] = ()
    """Arms that cannot run here, and why."""
    rejected: tuple[tuple[str, str], ...] = ()
    """Recipes and rows that make no instance, and why."""


def units_of(plan: Plan) -> tuple[Unit, ...]:
    """Instance by instance, in an order that has nothing to do with what they are: of a run that is
    cut short, what was done is a fair sample, and the same one for every arm."""
    heat = () if plan.temperature is None else (("temperature", plan.temperature),)
    return tuple(
        Unit(
            instance=instance,
            arm=arm.name,
            flags=(*flags_of(arm, plan.settings), *heat),
            seed=seed,
            max_wall_s=plan.max_wall_s,
            zero_token_s=plan.zero_token_s,
        )
        for instance in sorted(plan.instances, key=_shuffled)
        for arm in plan.arms
        for seed in plan.seeds
    )


def _shuffled(instance: Instance) -> str:
    return hashlib.sha256(instance.instance_id.encode()).hexdigest()


def run(
    plan: Plan,
    directory: Path,
    executor: Executor,
    told: Callable[[Result, int, int], None] = lambda result, done, total: None,
    stop_after_s: float = inf,
) -> tuple[Result, ...]:
    """Run what is not finished; all results of the plan, in the plan's order.

    No unit is begun after `stop_after_s` seconds. `told` hears of every result: (result, finished,
    total). Infrastructure failures are tried again on the next call: they say nothing about the
    agent.
    """
    directory.mkdir(parents=True, exist_ok=True)
    units = units_of(plan)
    write_json(directory / "run.json", _described(plan) | _begun(directory, plan))
    found: dict[str, Result] = {}
    waiting: list[tuple[Unit, Path]] = []
    for unit in units:
        place = directory / "units" / unit.key
        result = load_unit_result(place / RESULT)
        if result is not None and result.status != "infra":
            found[unit.key] = result
        else:
            shutil.rmtree(place, ignore_errors=True)
            waiting.append((unit, place))
    stop = time.monotonic() + stop_after_s
    for result in executor.map(takewhile(lambda _: time.monotonic() < stop, waiting)):
        found[result.key] = result
        shutil.rmtree(directory / "units" / result.key / "work-state", ignore_errors=True)
        told(result, len(found), len(units))
    results = tuple(found[u.key] for u in units if u.key in found)
    write_predictions(results, directory / "predictions")
    return results


def _begun(directory: Path, plan: Plan) -> dict[str, object]:
    """Day and machine of a run that is taken up again are those of its start."""
    try:
        before = json.loads((directory / "run.json").read_text("utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    same = before.get("command") == plan.command
    return {name: before[name] for name in ("date", "machine") if same and before.get(name)}


def _described(plan: Plan) -> dict[str, object]:
    return {
        "command": plan.command,
        "date": plan.date,
        "machine": plan.machine,
        "arms": [asdict(a) for a in plan.arms],
        "seeds": list(plan.seeds),
        "max_wall_s": plan.max_wall_s,
        "zero_token_s": plan.zero_token_s,
        "instances": [i.instance_id for i in plan.instances],
        "not_run": [list(p) for p in plan.not_run],
        "rejected": [list(p) for p in plan.rejected],
    }
