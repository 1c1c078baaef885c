"""`agent eval mine | inject`: making data sets."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.common import load_settings
from agent.errors import ConfigError

if TYPE_CHECKING:
    from evals.datasets.instance import Instance
    from evals.datasets.recipe import Recipe
    from tools.types import Sandbox

__all__ = ["inject_command", "inject_options", "mine_command", "mine_options"]


def mine_options(parser: argparse.ArgumentParser) -> None:
    """What `agent eval mine` takes."""
    parser.add_argument("clone", metavar="CLONE", help="a repository with its history")
    parser.add_argument("--out", required=True, metavar="FILE", help="recipes are written here")
    parser.add_argument("--count", type=int, default=20, metavar="N", help="stop after N instances")
    parser.add_argument("--scan", type=int, default=2000, metavar="N", help="commits looked at")
    parser.add_argument("--test-cmd", default="python -m pytest", metavar="CMD")
    parser.add_argument(
        "--requires", action="append", default=[], metavar="DIST",
        help="what the tests need besides pytest (repeatable)",
    )  # fmt: skip
    parser.add_argument("--url", metavar="URL", help="default: that of the remote origin")


def mine_command(args: argparse.Namespace) -> int:
    """Exit code 1 where no commit is an instance."""
    from evals.datasets.build import write_lock
    from evals.datasets.mine import Limits, mined, origin_of
    from evals.datasets.recipe import Package
    from evals.datasets.writing import write_recipes

    clone, out = Path(args.clone).resolve(), _out(args.out)
    if not clone.is_dir():
        raise ConfigError(f"{args.clone}: there is no such directory")
    url = args.url or origin_of(clone)
    name = (url or str(clone)).rstrip("/").rsplit("/", 1)[-1].removesuffix(".git")
    package = Package(
        name=name, version="", sha256="", test_cmd=args.test_cmd, requires=tuple(args.requires)
    )
    head = {
        "name": name, "url": url, "clone": str(clone), "test_cmd": args.test_cmd,
        "requires": args.requires,
    }  # fmt: skip
    made: dict[str, tuple[Recipe, Instance]] = {}
    found = mined(
        clone, package, _sandbox(args), url=url, count=args.count,
        limits=Limits(scanned=args.scan), told=lambda line: _say(args, line),
    )  # fmt: skip
    for recipe, instance in found:
        made[instance.instance_id] = recipe, instance
        # written as they come: a long search may be ended at any time
        write_recipes(out, [r for r, _ in made.values()], head)
        write_lock(out.parent, {instance.instance_id: instance})
    return _told(len(made), out)


def inject_options(parser: argparse.ArgumentParser) -> None:
    """What `agent eval inject` takes."""
    parser.add_argument("recipes", metavar="RECIPES.toml", help="its [package] says where")
    parser.add_argument("--out", required=True, metavar="FILE", help="recipes are written here")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--count", type=int, default=6, metavar="N", help="bugs to find")


def inject_command(args: argparse.Namespace) -> int:
    """Exit code 1 where no bug is found."""
    from evals.datasets.build import build, write_lock
    from evals.datasets.inject import injected
    from evals.datasets.recipe import load_recipes
    from evals.datasets.writing import package_head, write_recipes

    out = _out(args.out)
    packages = {r.package for r in load_recipes(Path(args.recipes)) if r.package.sha256}
    if len(packages) != 1:
        raise ConfigError(f"{args.recipes}: names {len(packages)} releases, one is needed")
    package = packages.pop()
    sandbox, made = _sandbox(args), []
    for recipe in injected(
        package, sandbox, seed=args.seed, count=args.count, told=lambda line: _say(args, line)
    ):
        made.append(recipe)
        write_recipes(out, made, package_head(package))
        write_lock(out.parent, {recipe.instance_id: build(recipe, sandbox)})
    return _told(len(made), out)


def _out(name: str) -> Path:
    path = Path(name)
    if path.suffix != ".toml":
        raise ConfigError(f"--out {name}: recipes are kept in a .toml file")
    if not path.parent.is_dir():
        raise ConfigError(f"--out {name}: there is no directory {path.parent}")
    return path


def _told(count: int, out: Path) -> int:
    sys.stdout.write(f"{count} proved" + (f", {out}\n" if count else "\n"))
    return 0 if count else 1


def _sandbox(args: argparse.Namespace) -> "Sandbox":
    from tools.sandbox import pick

    return pick(load_settings(args, None).settings.sandbox)


def _say(args: argparse.Namespace, line: str) -> None:
    if not args.quiet:
        from agent.sanitize import one_line

        sys.stderr.write(one_line(line, 240) + "\n")
