"""The data set that a command names, as instances."""

import argparse
import fnmatch
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.common import load_settings
from agent.errors import ConfigError

if TYPE_CHECKING:
    from evals.datasets import Instance, Recipe
    from tools.types import Sandbox

__all__ = ["Rejections", "add_options", "instances", "sandbox_of", "say", "validate"]

DEV = "dev"
Rejections = tuple[tuple[str, str], ...]


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--dataset` and `--only`."""
    parser.add_argument(
        "--dataset", default=DEV, metavar="PATH",
        help="dev, a directory of recipes, or SWE-bench rows in .jsonl or .json",
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", default=[], metavar="GLOB", help="instance ids (repeatable)"
    )


def instances(args: argparse.Namespace) -> "tuple[tuple[Instance, ...], Rejections]":
    """What can be run, and what cannot with the reason. Rows are proved by running them; recipes
    have been when they were built. Raises ConfigError when nothing is left."""
    from evals.datasets import load_instances
    from evals.proof import proved

    path = _dataset(args)
    if path.is_file():
        rows = [i for i in load_instances(path) if _wanted(args, i.instance_id)]
        found, rejected = proved(rows, sandbox_of(args), lambda name, why: _told(args, name, why))
    else:
        made, rejected = _built(args, path, sandbox_of(args))
        found = tuple(made.values())
    if not found:
        why = f": {rejected[0][1]}" if rejected else " match --only"
        raise ConfigError(f"no instance of {path}{why}", remedy="agent eval validate")
    return found, rejected


def _told(args: argparse.Namespace, name: str, why: str) -> None:
    say(args, f"rejected  {name}: {why}" if why else f"ok  {name}")


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
            say(args, f"rejected  {error}")
        else:
            found = made[recipe.instance_id]
            counts = f"{len(found.FAIL_TO_PASS)} fail to pass, {len(found.PASS_TO_PASS)} stay"
            say(args, f"ok  {recipe.instance_id}  {counts}")
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


def sandbox_of(args: argparse.Namespace) -> "Sandbox":
    """As the user's settings choose it."""
    from tools.sandbox import pick

    return pick(load_settings(args, None).settings.sandbox)


def validate(args: argparse.Namespace) -> int:
    """Exit code 1 where anything was rejected."""
    from evals.datasets.build import write_lock
    from evals.proof import proved

    path = _dataset(args)
    if path.is_file():
        from evals.datasets import load_instances

        rows = [i for i in load_instances(path) if _wanted(args, i.instance_id)]
        good, rejected = proved(rows, sandbox_of(args), lambda name, why: _told(args, name, why))
        return _concluded(len(good), rejected)
    made, rejected = _built(
        args, path, sandbox_of(args), locked_to="none" if args.write else "lock"
    )
    if args.write:
        if args.only:
            raise ConfigError("--write records the whole data set", remedy="leave out --only")
        write_lock(path, made)
    return _concluded(len(made), rejected)


def _concluded(proved: int, rejected: Rejections) -> int:
    for name, why in rejected:
        sys.stdout.write(f"rejected  {name}: {why}\n")
    sys.stdout.write(f"{proved} proved, {len(rejected)} rejected\n")
    return 1 if rejected or not proved else 0


def say(args: argparse.Namespace, line: str) -> None:
    """Progress, for people."""
    if not args.quiet:
        from agent.sanitize import one_line

        sys.stderr.write(one_line(line, 240) + "\n")
