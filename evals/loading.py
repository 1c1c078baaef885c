"""The data set that a command names, as instances."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from agent.cli.common import load_settings
from agent.errors import ConfigError

if TYPE_CHECKING:
    from evals.datasets import Instance
    from tools.types import Sandbox

__all__ = ["Rejections", "add_options", "instances", "sandbox_of", "say", "validate"]

DEV = "dev"
Rejections = tuple[tuple[str, str], ...]


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--dataset` and `--only`."""
    parser.add_argument(
        "--dataset", default=DEV, metavar="PATH",
        help="dev; recipes (.toml or a directory); SWE-bench rows (.jsonl, .json, .parquet); a"
        " directory of tasks; or owner/name[:split] on a hub",
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", default=[], metavar="GLOB", help="instance ids (repeatable)"
    )
    parser.add_argument(
        "--containers", choices=("auto", "docker", "podman", "off"),
        help="what runs rows that come with an image (default: docker, else podman)",
    )  # fmt: skip


def instances(args: argparse.Namespace) -> "tuple[tuple[Instance, ...], Rejections]":
    """What can be run, and what cannot with the reason. Rows are proved by running them; recipes
    have been when they were built. Raises ConfigError when nothing is left."""
    from evals.datasets.load import is_recipes, load

    _choose_engine(args)
    sandbox = sandbox_of(args)
    loaded = load(args.dataset, sandbox=sandbox, only=args.only, told=lambda line: say(args, line))
    found, rejected = loaded.instances, loaded.rejected
    if not is_recipes(args.dataset):
        found, more = _proved(args, loaded.instances, sandbox)
        rejected += more
    if not found:
        why = f": {rejected[0][1]}" if rejected else " match --only"
        raise ConfigError(f"no instance of {args.dataset}{why}", remedy="agent eval validate")
    return found, rejected


def _proved(
    args: argparse.Namespace, rows: "tuple[Instance, ...]", sandbox: "Sandbox"
) -> "tuple[tuple[Instance, ...], Rejections]":
    from evals.proof import proved

    return proved(rows, sandbox, lambda name, why: _told(args, name, why))


def _told(args: argparse.Namespace, name: str, why: str) -> None:
    say(args, f"rejected  {name}: {why}" if why else f"ok  {name}")


def _choose_engine(args: argparse.Namespace) -> None:
    """In the environment, where the processes that units run in find it."""
    from evals.images import CHOICE

    if args.containers:
        os.environ[CHOICE] = args.containers


def sandbox_of(args: argparse.Namespace) -> "Sandbox":
    """As the user's settings choose it."""
    from tools.sandbox import pick

    return pick(load_settings(args, None).settings.sandbox)


def validate(args: argparse.Namespace) -> int:
    """Exit code 1 where anything was rejected. Every recipe is run, whatever was recorded."""
    from evals.datasets import load_recipes
    from evals.datasets.build import locked, write_lock
    from evals.datasets.load import directory_of, is_recipes, load, made, unlike, wanted

    _choose_engine(args)
    sandbox = sandbox_of(args)
    if not is_recipes(args.dataset):
        rows = load(args.dataset, sandbox=sandbox, only=args.only)
        good, rejected = _proved(args, rows.instances, sandbox)
        return _concluded(len(good), rows.rejected + rejected)
    path = directory_of(args.dataset)
    beside = path if path.is_dir() else path.parent
    recipes = [r for r in load_recipes(path) if wanted(r.instance_id, tuple(args.only))]
    found = made(recipes, sandbox, None, lambda line: say(args, line))
    if args.write:
        write_lock(beside, {i.instance_id: i for i in found.instances})
    else:
        found = unlike(found, locked(beside))
    return _concluded(len(found.instances), found.rejected)


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
