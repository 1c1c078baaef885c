"""`agent eval run | report | compare | validate`; also `python -m evals`."""

import argparse
import fnmatch
import os
import shlex
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.common import Parser, add_action, emit, load_settings
from agent.errors import ConfigError

if TYPE_CHECKING:
    from evals.datasets import Instance, Recipe
    from evals.report import Report
    from evals.result import Result
    from evals.runner import Plan
    from tools.types import Sandbox

__all__ = ["configure", "run"]

DEV = "dev"


def configure(parser: Parser, name: str) -> None:
    """Sub-commands and their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    go = add_action(actions, "run", "run instances on arms and grade the patches")
    _dataset_options(go)
    go.add_argument(
        "--arm", action="append", default=[], dest="arms", metavar="NAME",
        help="zero, mini, local, frontier, plan-frontier, escalate (repeatable; default: "
        "zero, mini, local)",
    )  # fmt: skip
    go.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 0 … N-1")
    go.add_argument("--jobs", type=int, default=1, metavar="N", help="units at a time")
    go.add_argument("--max-time", type=float, default=240.0, metavar="S", help="seconds a unit")
    go.add_argument(
        "--zero-token-time", type=float, default=90.0, metavar="S",
        help="seconds of a unit for the zero-token stage",
    )  # fmt: skip
    go.add_argument("--out", metavar="DIR", help="run directory; an existing one is taken up again")
    show = add_action(actions, "report", "summarise a run as Markdown, HTML and JSON")
    show.add_argument(
        "run", metavar="RUN", help="a run directory, a results.jsonl, or runs by date"
    )
    show.add_argument("--out", metavar="DIR", help="where the files go (default: print Markdown)")
    two = add_action(actions, "compare", "two arms on the same instances: McNemar's exact test")
    two.add_argument("first", metavar="RUN:ARM")
    two.add_argument("second", metavar="RUN:ARM")
    two.add_argument(
        "--fail-below", type=float, metavar="DIFF",
        help="exit 1 if first minus second is below this (for example -0.05)",
    )  # fmt: skip
    check = add_action(actions, "validate", "prove that every bug fails before and passes after")
    _dataset_options(check)
    check.add_argument("--write", action="store_true", help="record the failing tests (lock.json)")


def _dataset_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", default=DEV, metavar="PATH",
        help="dev, a directory of recipes, or SWE-bench rows in .jsonl or .json",
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", default=[], metavar="GLOB", help="instance ids (repeatable)"
    )


def run(args: argparse.Namespace) -> int:
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "run": _run,
        "report": _report,
        "compare": _compare,
        "validate": _validate,
    }
    return actions[args.action](args)


# --------------------------------------------------------------------------- run


def _run(args: argparse.Namespace) -> int:
    from evals.executors.process import ProcessExecutor
    from evals.runner import run as run_plan

    for name in ("seeds", "jobs", "max_time", "zero_token_time"):
        if getattr(args, name) <= 0:
            raise ConfigError(f"--{name.replace('_', '-')} must be above 0")
    plan = _plan(args)
    out = Path(args.out) if args.out else _new_directory()

    def told(result: "Result", done: int, total: int) -> None:
        line = f"{done}/{total}  {result.status:<10}  {result.arm:<8}  {result.instance_id}"
        _say(args, f"{line}  {result.wall_s:.1f} s  {result.reason}".rstrip())

    results = run_plan(plan, out, ProcessExecutor(workers=args.jobs), told)
    report = _summarised(out)
    _write(report, out)
    if args.json:
        for arm in report.arms:
            row = {"arm": arm.arm, "resolved": arm.resolved.k, "n": arm.n}
            emit({**row, "verified": arm.verified.k, "false_verified": list(arm.false_verified)})
    else:
        for arm in report.arms:
            sys.stdout.write(f"{arm.arm}: {arm.resolved.k} of {arm.n} resolved\n")
        sys.stdout.write(f"{out / 'report.md'}\n")
    return 5 if all(r.status == "infra" for r in results) else 0


def _plan(args: argparse.Namespace) -> "Plan":
    from evals.arms import ARMS, arm, missing
    from evals.runner import Plan

    settings = load_settings(args, None).settings
    asked = [arm(name) for text in args.arms for name in text.split(",")]
    chosen = asked or [arm(name) for name in ("zero", "mini", "local")]
    lacking = {a.name: missing(a, settings, os.environ) for a in ARMS}
    for one in asked:
        if lacking[one.name]:
            raise ConfigError(f"the arm {one.name} cannot run here: {lacking[one.name]}")
    names = {a.name for a in chosen}
    not_run = [(a.name, lacking[a.name] or "not asked for") for a in ARMS if a.name not in names]
    instances, rejected = _instances(args)
    return Plan(
        instances=instances,
        arms=tuple(a for a in chosen if not lacking[a.name]),
        seeds=tuple(range(args.seeds)),
        max_wall_s=args.max_time,
        zero_token_s=args.zero_token_time,
        command=_command(args),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=f"{os.cpu_count()} cores, load average {os.getloadavg()[2]:.1f}",
        not_run=tuple(not_run),
        rejected=rejected,
    )


def _command(args: argparse.Namespace) -> str:
    """What makes the same run again, without what only concerns this machine."""
    words = ["agent", "eval", "run", "--dataset", Path(args.dataset).name]
    words += [w for glob in args.only for w in ("--only", glob)]
    words += [w for name in args.arms for w in ("--arm", name)]
    words += ["--seeds", str(args.seeds), "--jobs", str(args.jobs)]
    words += ["--max-time", f"{args.max_time:g}", "--zero-token-time", f"{args.zero_token_time:g}"]
    return shlex.join(words)


def _instances(args: argparse.Namespace) -> "tuple[tuple[Instance, ...], Rejections]":
    from evals.datasets import load_instances

    path = _dataset(args)
    if path.is_file():
        return tuple(i for i in load_instances(path) if _wanted(args, i.instance_id)), ()
    made, rejected = _built(args, path, _sandbox(args))
    if not made:
        why = f": {rejected[0][1]}" if rejected else " match --only"
        raise ConfigError(f"no instance of {path}{why}", remedy="agent eval validate")
    return tuple(made.values()), rejected


Rejections = tuple[tuple[str, str], ...]


def _built(
    args: argparse.Namespace, path: Path, sandbox: "Sandbox", *, locked_to: str = "lock"
) -> "tuple[dict[str, Instance], Rejections]":
    """Instances by id, and the recipes that make none with the reason."""
    from evals.datasets.build import Rejected, build, locked
    from evals.datasets.sources import SourceUnavailable

    lock = locked(path) if locked_to == "lock" else {}
    made: dict[str, Instance] = {}
    rejected = []
    for recipe in _recipes(args, path):
        try:
            made[recipe.instance_id] = build(recipe, sandbox, lock)
        except (Rejected, SourceUnavailable, ConfigError) as error:
            rejected.append((recipe.instance_id, str(error)))
            _say(args, f"rejected  {error}")
        else:
            found = made[recipe.instance_id]
            counts = f"{len(found.FAIL_TO_PASS)} fail to pass, {len(found.PASS_TO_PASS)} stay"
            _say(args, f"ok  {recipe.instance_id}  {counts}")
    return made, tuple(rejected)


def _recipes(args: argparse.Namespace, path: Path) -> "Iterable[Recipe]":
    from evals.datasets import load_recipes

    return [r for r in load_recipes(path) if _wanted(args, r.instance_id)]


def _dataset(args: argparse.Namespace) -> Path:
    from evals.datasets.recipe import DEV as RECIPES

    path = RECIPES if args.dataset == DEV else Path(args.dataset)
    if not path.exists():
        raise ConfigError(f"--dataset {args.dataset}: there is no such file or directory")
    return path


def _wanted(args: argparse.Namespace, instance_id: str) -> bool:
    return not args.only or any(fnmatch.fnmatch(instance_id, glob) for glob in args.only)


def _sandbox(args: argparse.Namespace) -> "Sandbox":
    from tools.sandbox import pick

    return pick(load_settings(args, None).settings.sandbox)


def _new_directory() -> Path:
    from agent.paths import state_dir

    return state_dir() / "evals" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"


# --------------------------------------------------------------------------- report


def _report(args: argparse.Namespace) -> int:
    from evals.render import as_json, as_markdown

    report = _summarised(Path(args.run))
    if args.out:
        _write(report, Path(args.out))
    else:
        sys.stdout.write(as_json(report) if args.json else as_markdown(report))
    return 0


def _summarised(path: Path) -> "Report":
    import json

    from evals.report import report
    from evals.result import load_results

    stored = sorted(path.glob("*/results.jsonl")) if path.is_dir() else []
    if stored and not (path / "units").is_dir():
        path = stored[-1].parent  # a directory of runs by date: the last
    results = load_results(path)
    file = path / "run.json" if path.is_dir() else path.with_name("run.json")
    described = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return report(
        results,
        command=described.get("command", "unknown"),
        date=described.get("date") or "undated",
        machine=described.get("machine", ""),
        not_run=[(a, b) for a, b in described.get("not_run", ())],
        rejected=[(a, b) for a, b in described.get("rejected", ())],
    )


def _write(report: "Report", out: Path) -> None:
    import json
    from dataclasses import asdict

    from evals.render import as_html, as_json, as_markdown

    out.mkdir(parents=True, exist_ok=True)
    rows = "".join(json.dumps(asdict(r), ensure_ascii=True) + "\n" for r in report.results)
    files = {
        "report.md": as_markdown(report),
        "report.html": as_html(report),
        "report.json": as_json(report),
        "results.jsonl": rows,
    }
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")


# --------------------------------------------------------------------------- compare


def _compare(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from evals.compare import compare

    found = compare(_side(args.first), _side(args.second))
    if args.json:
        emit({**asdict(found), "n": found.n, "difference": found.difference})
    else:
        sys.stdout.write("\n".join(found.lines()) + "\n")
    return 1 if args.fail_below is not None and found.difference < args.fail_below else 0


def _side(text: str) -> "tuple[Result, ...]":
    from evals.result import load_results

    path, _, name = (text, "", "") if Path(text).exists() else text.rpartition(":")
    results = load_results(Path(path or name))
    chosen = tuple(r for r in results if not name or not path or r.arm == name)
    if not chosen:
        known = ", ".join(sorted({r.arm for r in results}))
        raise ConfigError(f"{text}: there is no arm {name!r}", remedy=f"there are {known}")
    return chosen


# --------------------------------------------------------------------------- validate


def _validate(args: argparse.Namespace) -> int:
    from evals.datasets.build import write_lock

    path = _dataset(args)
    if path.is_file():
        instances, _ = _instances(args)
        sys.stdout.write(f"{len(instances)} rows can be read\n")
        return 0
    made, rejected = _built(args, path, _sandbox(args), locked_to="none" if args.write else "lock")
    if args.write:
        if args.only:
            raise ConfigError("--write records the whole data set", remedy="leave out --only")
        write_lock(path, made)
    for name, why in rejected:
        sys.stdout.write(f"rejected  {name}: {why}\n")
    sys.stdout.write(f"{len(made)} proved, {len(rejected)} rejected\n")
    return 1 if rejected or not made else 0


def _say(args: argparse.Namespace, line: str) -> None:
    if not args.quiet:
        from agent.sanitize import one_line

        sys.stderr.write(one_line(line, 240) + "\n")
