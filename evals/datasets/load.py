"""A data set by name, whatever form it has: the one entry for commands."""

import fnmatch
from collections.abc import Callable, Iterable
from pathlib import Path

from agent.errors import ConfigError
from evals.datasets.build import Record, Rejected, build, locked, prove
from evals.datasets.instance import Instance
from evals.datasets.recipe import DEV, Recipe, load_recipes
from evals.datasets.rows import SUFFIXES, Loaded, read_rows
from evals.datasets.sources import SourceUnavailable
from tools.types import Sandbox

__all__ = ["Loaded", "directory_of", "is_recipes", "load", "made", "unlike", "wanted"]

DEV_NAME = "dev"


def load(
    name: str,
    *,
    sandbox: Sandbox,
    only: Iterable[str] = (),
    told: Callable[[str], None] = lambda line: None,
) -> Loaded:
    """`dev`, a directory or file of recipes, a directory of tasks, a file of rows, or a hub id.

    Instances by id. What cannot be used is in `rejected` with the reason. Raises ConfigError if
    there is no such data set, SourceUnavailable if a hub cannot be reached.
    """
    globs = tuple(only)
    if is_recipes(name):
        path = directory_of(name)
        recipes = [r for r in load_recipes(path) if wanted(r.instance_id, globs)]
        found = made(recipes, sandbox, locked(path if path.is_dir() else path.parent), told)
    else:
        found = _rows(name)
    kept = [i for i in found.instances if wanted(i.instance_id, globs)]
    return Loaded(
        instances=tuple(sorted(kept, key=lambda i: i.instance_id)), rejected=found.rejected
    )


def is_recipes(name: str) -> bool:
    """Whether this names recipes. Raises ConfigError if it names nothing there is or could be."""
    path = directory_of(name)
    return path.suffix == ".toml" or (path.is_dir() and any(path.glob("*.toml")))


def directory_of(name: str) -> Path:
    """The path a name stands for, existing or not."""
    return DEV if name == DEV_NAME else Path(name)


def wanted(instance_id: str, globs: tuple[str, ...]) -> bool:
    """Whether an id is asked for; without globs every one is."""
    return not globs or any(fnmatch.fnmatch(instance_id, glob) for glob in globs)


def made(
    recipes: Iterable[Recipe],
    sandbox: Sandbox,
    lock: dict[str, Record] | None,
    told: Callable[[str], None],
) -> Loaded:
    """Recipes as instances; without a lock every one is proved by running both trees."""
    good: list[Instance] = []
    rejected = []
    for recipe in recipes:
        try:
            found = prove(recipe, sandbox) if lock is None else build(recipe, sandbox, lock)
        except (Rejected, SourceUnavailable, ConfigError) as error:
            rejected.append((recipe.instance_id, str(error)))
            told(f"rejected  {error}")
        else:
            good.append(found)
            counts = f"{len(found.FAIL_TO_PASS)} fail to pass, {len(found.PASS_TO_PASS)} stay"
            told(f"ok  {recipe.instance_id}  {counts}")
    return Loaded(instances=tuple(good), rejected=tuple(rejected))


def unlike(found: Loaded, lock: dict[str, Record]) -> Loaded:
    """The same, without the instances of which something else was recorded."""
    good, rejected = [], list(found.rejected)
    for instance in found.instances:
        record = lock.get(instance.instance_id)
        if record is not None and set(record.fail_to_pass) != set(instance.FAIL_TO_PASS):
            why = f"{len(instance.FAIL_TO_PASS)} tests turn red here, not those"
            rejected.append((instance.instance_id, f"{why} of when it was recorded"))
        else:
            good.append(instance)
    return Loaded(instances=tuple(good), rejected=tuple(rejected))


def _rows(name: str) -> Loaded:
    from evals.datasets.hub import HUB_ID, read_hub
    from evals.datasets.tasks import is_task_directory, read_tasks

    path = Path(name)
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise ConfigError(f"{name}: rows are in {', '.join(SUFFIXES)}, recipes in .toml")
        return read_rows(path)
    if path.is_dir():
        if is_task_directory(path):
            return read_tasks(path)
        raise ConfigError(f"{name}: there are no recipes (*.toml) and no tasks (NAME/task.yaml)")
    if HUB_ID.fullmatch(name) and not name.startswith("."):
        return read_hub(name)
    raise ConfigError(f"--dataset {name}: there is no such file or directory")
