"""`agent eval export` and `agent eval replay`: a run for other tools, and a unit once more."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ConfigError
from evals.result import UNIT, Result, Unit, load_results, model_name, write_json
from evals.showing import instances_in

if TYPE_CHECKING:
    from agent.events import Event

__all__ = ["export_command", "replay_command"]

TRAJECTORY = "trajectory.jsonl"


def export_command(args: argparse.Namespace) -> int:
    run, out = Path(args.run), Path(args.out)
    results = load_results(run)
    if not (run / "units").is_dir():
        raise ConfigError(f"{run}: its units are gone, there is nothing to export", remedy="RUN")
    written = _official(results, run, out) if args.format == "swebench" else _trajectories(results, run, out)  # fmt: skip  # noqa: E501
    sys.stdout.write(f"{written} {'logs' if args.format == 'swebench' else 'files'} in {out}\n")
    return 0


def _official(results: tuple[Result, ...], run: Path, out: Path) -> int:
    from evals.harness import export

    return export(results, instances_in(run), run, out, run.resolve().name)


def _trajectories(results: tuple[Result, ...], run: Path, out: Path) -> int:
    """One file per unit, in the directories that mini-swe-agent's own runs have."""
    from agent.trajectory import read
    from evals.minisweagent import as_trajectory

    written = 0
    for result in results:
        source = run / "units" / result.key / TRAJECTORY
        if not source.is_file():
            continue
        place = out / model_name(result.arm, result.seed) / result.instance_id
        place.mkdir(parents=True, exist_ok=True)
        name = f"{result.instance_id}.traj.json"
        write_json(place / name, as_trajectory(read(source), result.instance_id))
        written += 1
    return written


def replay_command(args: argparse.Namespace) -> int:
    """The same story from the recorded answers: what is parsed, tried and tested is done anew."""
    from agent.cli.lines import lines

    directory = Path(args.run) / "units" / args.unit
    if not (directory / UNIT).is_file() or not (directory / TRAJECTORY).is_file():
        known = sorted(p.parent.name for p in Path(args.run).glob(f"units/*/{TRAJECTORY}"))
        raise ConfigError(
            f"{args.run}: there is no recorded unit {args.unit}",
            remedy=f"there are {', '.join(known[:5])} …" if known else "agent eval run",
        )
    unit = Unit.from_json((directory / UNIT).read_text("utf-8"), where=str(directory / UNIT))
    code = 5
    for event in _replayed(unit, directory / TRAJECTORY):
        for row in lines(event):
            sys.stdout.write(f"{row.label:>10} {row.text}  {row.note}".rstrip() + "\n")
        outcome = getattr(event, "outcome", None)
        code = outcome.exit_code if outcome is not None else code
    return code


def _replayed(unit: Unit, trajectory: Path) -> "Iterator[Event]":
    """In a fresh repository and with state directories of its own, as the unit was run."""
    from evals.checkout import agent_repository
    from evals.unit import opened

    with tempfile.TemporaryDirectory(prefix="pointsman-replay-") as scratch:
        place = Path(scratch)
        for name in ("STATE", "CONFIG"):
            os.environ[f"XDG_{name}_HOME"] = str(place / name.lower())
        root = place / unit.instance.repo.replace("/", "__")
        agent_repository(unit.instance, root)
        app, task = opened(unit, root)
        yield from app.run(task, replay=trajectory)
