"""`agent eval run` and `agent eval grade`."""

import argparse
import errno
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.common import emit, load_settings
from agent.errors import ConfigError
from evals.loading import instances, sandbox_of, say
from evals.result import RESULT, Result
from evals.showing import summarised, write_report
from tools.errors import PointsmanError

if TYPE_CHECKING:
    from evals.arms import Arm
    from evals.datasets import Instance
    from evals.executors import Executor
    from evals.runner import Plan
    from tools.types import Sandbox

__all__ = ["Unwritable", "grade_command", "run_command"]

Told = Callable[[Result, int, int], None]
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
GO_ON = "make room; the same command with the same --out goes on where it stopped"


class Unwritable(PointsmanError):
    """The run directory takes no more: infrastructure, nothing is said of the agent."""

    exit_code = 5


def run_command(args: argparse.Namespace) -> int:
    """5 when nothing but infrastructure failed."""
    from evals.runner import run

    for name in ("seeds", "workers", "max_time", "zero_token_time", "stop_after"):
        value = getattr(args, name)
        if value is not None and value <= 0:
            raise ConfigError(f"--{name.replace('_', '-')} must be above 0")
    plan = _plan(args)
    out = Path(args.out) if args.out else _new_directory()
    say(args, f"run directory {out}; taken up again with: --out {shlex.quote(str(out))}")
    try:
        with _progress(args) as told:
            results = run(plan, out, _executor(args), told, args.stop_after or inf)
        if results and not any(out.glob(f"units/*/{RESULT}")):
            raise Unwritable(results[-1].reason, remedy=GO_ON)
        return _concluded(args, out, results)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        why = f"{out} cannot be written: {error.strerror}"
        raise Unwritable(why, remedy=GO_ON) from error


def _concluded(args: argparse.Namespace, out: Path, results: tuple[Result, ...]) -> int:
    report = summarised(out)
    write_report(report, out, run=out)
    if args.json:
        for arm in report.arms:
            row = {"arm": arm.arm, "resolved": arm.resolved.k, "n": arm.n}
            emit({**row, "verified": arm.verified.k, "false_verified": list(arm.false_verified)})
    else:
        for arm in report.arms:
            sys.stdout.write(f"{arm.arm}: {arm.resolved.k} of {arm.n} resolved\n")
        sys.stdout.write(f"{out / 'report.html'}\n")
    return 5 if all(r.status == "infra" for r in results) else 0


def _executor(args: argparse.Namespace) -> "Executor":
    if args.executor == "ray":
        from evals.executors.ray import RayExecutor

        return RayExecutor(workers=args.workers)
    from evals.executors.process import ProcessExecutor

    return ProcessExecutor(workers=args.workers)


def _plan(args: argparse.Namespace) -> "Plan":
    from evals.arms import ARMS, missing
    from evals.runner import Plan

    settings = load_settings(args, None).settings
    lacking = {a.name: missing(a, settings, os.environ) for a in ARMS}
    chosen = _chosen(args, lacking)
    names = {a.name for a in chosen}
    not_run = [(a.name, lacking[a.name] or "not asked for") for a in ARMS if a.name not in names]
    found, rejected = instances(args)
    return Plan(
        instances=found,
        arms=chosen,
        seeds=tuple(range(args.seeds)),
        settings=settings,
        temperature=args.temperature,
        max_wall_s=args.max_time,
        zero_token_s=args.zero_token_time,
        command=_command(args),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=f"{os.cpu_count()} cores, load average {os.getloadavg()[2]:.1f}",
        not_run=tuple(not_run),
        rejected=rejected,
    )


def _chosen(args: argparse.Namespace, lacking: dict[str, str]) -> "tuple[Arm, ...]":
    """Those asked for, which must be able to run; else the default ones that can."""
    from evals.arms import DEFAULT, arm

    asked = [arm(name) for text in args.arms for name in text.split(",")]
    for one in asked:
        if lacking[one.name]:
            raise ConfigError(f"the arm {one.name} cannot run here: {lacking[one.name]}")
    return tuple(dict.fromkeys(asked or (arm(n) for n in DEFAULT if not lacking[n])))


def _command(args: argparse.Namespace) -> str:
    """What makes the same run again, without what only concerns this machine."""
    words = ["agent", "eval", "run", "--dataset", Path(args.dataset).name]
    words += [w for glob in args.only for w in ("--only", glob)]
    words += [w for name in args.arms for w in ("--arm", name)]
    words += ["--seeds", str(args.seeds), "--workers", str(args.workers)]
    words += ["--temperature", f"{args.temperature:g}"] if args.temperature is not None else []
    words += ["--executor", args.executor] if args.executor != "process" else []
    words += ["--max-time", f"{args.max_time:g}", "--zero-token-time", f"{args.zero_token_time:g}"]
    return shlex.join(words)


def _new_directory() -> Path:
    from agent.paths import state_dir

    return state_dir() / "evals" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"


@contextmanager
def _progress(args: argparse.Namespace) -> Iterator[Told]:
    """A bar on a terminal, a line per unit elsewhere."""
    if args.quiet or not sys.stderr.isatty():
        yield lambda result, done, total: say(args, _line(result, done, total))
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("units", total=None)
        resolved = 0

        def told(result: Result, done: int, total: int) -> None:
            nonlocal resolved
            resolved += result.status == "resolved"
            bar.console.print(_line(result, done, total), markup=False, highlight=False)
            bar.update(task, completed=done, total=total, description=f"{resolved} resolved")

        yield told


def _line(result: Result, done: int, total: int) -> str:
    line = f"{done}/{total}  {result.status:<10}  {result.arm:<8}  {result.instance_id}"
    return f"{line}  {result.wall_s:.1f} s  {result.reason}".rstrip()


# --------------------------------------------------------------------------- grade


def grade_command(args: argparse.Namespace) -> int:
    """Patches of any agent, in the official form, by the same grading."""
    from evals.result import write_json

    found, rejected = instances(args)
    out = Path(args.out) if args.out else _new_directory()
    patches = _predictions(args.predictions, found)
    sandbox = sandbox_of(args)
    with ThreadPoolExecutor(max(args.workers, 1)) as pool:
        waiting = [
            pool.submit(_graded, i, *patches[i.instance_id], out, sandbox)
            for i in found
            if i.instance_id in patches
        ]
        results = []
        for number, one in enumerate(waiting, 1):
            results.append(one.result())
            say(args, _line(results[-1], number, len(waiting)))
    if not results:
        raise ConfigError(f"{args.predictions}: no prediction is of an instance of this data set")
    described = {
        "command": shlex.join(["agent", "eval", "grade", "-p", Path(args.predictions).name]),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "rejected": [list(r) for r in rejected],
    }
    write_json(out / "run.json", described)
    return _concluded(args, out, tuple(results))


def _graded(instance: "Instance", model: str, patch: str, out: Path, sandbox: "Sandbox") -> Result:
    from dataclasses import asdict

    from evals.grading import grade_patch
    from evals.harness import LOG
    from evals.result import write_json

    with tempfile.TemporaryDirectory(prefix="pointsman-grade-") as scratch:
        graded = grade_patch(instance, patch, Path(scratch) / "g", sandbox)
    lists = graded.grade
    result = Result(
        instance_id=instance.instance_id,
        arm=model.replace("/", "__"),
        seed=0,
        stratum=instance.stratum,
        tests_visible=instance.tests_visible,
        status=graded.status,
        reason=graded.reason,
        patch=patch,
        left_out=graded.left_out,
        fail_to_pass=len(lists.fail_to_pass) if lists else 0,
        fail_to_pass_total=len(instance.FAIL_TO_PASS),
        pass_to_pass=len(lists.pass_to_pass) if lists else 0,
        pass_to_pass_total=len(instance.PASS_TO_PASS),
    )
    unit = out / "units" / result.key
    unit.mkdir(parents=True, exist_ok=True)
    (unit / LOG).write_text(graded.log, encoding="utf-8", errors="replace")
    write_json(unit / RESULT, asdict(result))
    return result


def _predictions(name: str, found: "tuple[Instance, ...]") -> dict[str, tuple[str, str]]:
    """(model, patch) by instance id. Raises ConfigError naming what is wrong."""
    if name == "gold":
        return {i.instance_id: ("gold", i.patch) for i in found}
    try:
        text = Path(name).read_text(encoding="utf-8")
        rows = (
            json.loads(text)
            if name.endswith(".json")
            else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{name}: no predictions: {error}") from error
    rows = list(rows.values()) if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        raise ConfigError(f"{name}: expected a list of predictions")
    patches = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get("instance_id"), str):
            raise ConfigError(f"{name}: prediction {number} has no instance_id")
        model = row.get("model_name_or_path") or "unnamed"
        patch = row.get("model_patch") or ""
        if not isinstance(model, str) or not isinstance(patch, str):
            raise ConfigError(f"{name}: prediction {number}: patch and model are strings")
        patches[row["instance_id"]] = (model, patch)
    return patches
