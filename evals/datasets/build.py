"""From a recipe to an instance: both trees are built, and both are really run.

FAIL_TO_PASS and PASS_TO_PASS are what two runs say, before and after. Instances are kept in the
user's cache under a key of everything they depend on.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from textwrap import indent

from agent.errors import ConfigError
from evals.datasets.hide import hide_tests
from evals.datasets.instance import Instance, from_row
from evals.datasets.recipe import Recipe, inject
from evals.datasets.sources import cache_root, sdist, unpack
from tools.errors import PointsmanError
from tools.types import FileChange, Patch, Sandbox, TestRun

__all__ = ["LOCK", "Rejected", "build", "locked"]

LOCK = "lock.json"
"""Beside the recipes: what the runs said when they were recorded."""
FORMAT = 3


class Rejected(PointsmanError):
    """The recipe makes no usable instance; the message says why. Never counted as unresolved."""

    exit_code = 1


def build(
    recipe: Recipe, sandbox: Sandbox, lock: Mapping[str, list[str]] | None = None
) -> Instance:
    """The instance of a recipe, from the cache if it is there.

    `lock`: the recorded FAIL_TO_PASS by instance id; an instance that differs is refused. Raises
    Rejected, SourceUnavailable and SandboxError.
    """
    final = cache_root() / "instances" / f"{recipe.instance_id}-{_key(recipe)}"
    stored = final / "instance.json"
    if stored.is_file():
        instance = from_row(json.loads(stored.read_text("utf-8")), where=str(stored))
        instance = replace(instance, source_dir=str(final / "tree"))
    else:
        instance = _made(recipe, sandbox, final)
    expected = (lock or {}).get(recipe.instance_id)
    if expected is not None and sorted(expected) != sorted(instance.FAIL_TO_PASS):
        raise Rejected(
            f"{recipe.instance_id}: {len(instance.FAIL_TO_PASS)} tests turn red here,"
            f" {len(expected)} when it was recorded",
            remedy="another Python may run other tests: agent eval validate --write",
        )
    return instance


def locked(directory: Path) -> dict[str, list[str]]:
    """The recorded FAIL_TO_PASS by instance id; empty without a record."""
    path = directory / LOCK
    if not path.is_file():
        return {}
    rows = json.loads(path.read_text("utf-8"))
    return {name: row["FAIL_TO_PASS"] for name, row in rows.items()}


def _key(recipe: Recipe) -> str:
    told = json.dumps([FORMAT, sys.version_info[:2], asdict(recipe)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _made(recipe: Recipe, sandbox: Sandbox, final: Path) -> Instance:
    archive = sdist(recipe.package)
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=final.parent) as scratch:
        place = Path(scratch)
        clean, tree = place / "clean", place / "tree"
        unpack(archive, clean)
        shutil.copytree(clean, tree, symlinks=True)
        inject(recipe, tree)
        instance = _proved(recipe, clean, tree, place, sandbox)
        (place / "instance.json").write_text(json.dumps(asdict(instance), indent=1), "utf-8")
        shutil.rmtree(clean)
        kept = place / "kept"
        kept.mkdir()
        tree.rename(kept / "tree")
        (place / "instance.json").rename(kept / "instance.json")
        shutil.rmtree(final, ignore_errors=True)
        kept.rename(final)
    return replace(instance, source_dir=str(final / "tree"))


def _proved(recipe: Recipe, clean: Path, tree: Path, place: Path, sandbox: Sandbox) -> Instance:
    """Run before and after. Raises Rejected where they do not show the bug, and only the bug."""
    draft = Instance(
        instance_id=recipe.instance_id,
        repo=recipe.package.name,
        base_commit="",
        patch=_diff(tree, clean, {e.path for e in recipe.edits}),
        test_patch="",
        problem_statement=recipe.problem_statement,
        FAIL_TO_PASS=("?",),
        PASS_TO_PASS=(),
        version=recipe.package.version,
        test_cmd=recipe.package.test_cmd,
        requires=recipe.package.requires,
        tests_visible=recipe.tests_visible,
        stratum=recipe.stratum,
    )
    after = _run(draft, clean, sandbox, recipe)
    again = _run(draft, clean, sandbox, recipe)
    before = _run(draft, tree, sandbox, recipe)
    good = _stable(after, again)
    red = tuple(sorted(good - set(before.passing)))
    if not red:
        raise Rejected(f"{recipe.instance_id}: no test notices the bug")
    instance = replace(
        draft, FAIL_TO_PASS=red, PASS_TO_PASS=tuple(sorted(good & set(before.passing)))
    )
    if recipe.tests_visible:
        return instance
    hidden = place / "hidden"
    shutil.copytree(tree, hidden, symlinks=True)
    changed = hide_tests(hidden, red)
    left = _run(instance, hidden, sandbox, recipe)
    if extra := set(left.failing) - set(after.failing):
        raise Rejected(f"{recipe.instance_id}: {sorted(extra)[0]} gives the bug away")
    _example(instance, clean, tree, sandbox)
    test_patch = _diff(hidden, tree, set(changed))
    shutil.rmtree(hidden)
    return replace(instance, hidden_tests=red, test_patch=test_patch)


def _example(instance: Instance, clean: Path, tree: Path, sandbox: Sandbox) -> None:
    """What an issue shows must fail with the bug and work without it; sessions are not run."""
    from evals.grading import run_tests

    blocks = re.findall(r"```python\n(.*?)```", instance.problem_statement, re.DOTALL)
    code = "".join(blocks)
    if not code or ">>>" in code:
        return
    for root, wanted in ((tree, "failed"), (clean, "passed")):
        path = root / "test_of_the_issue.py"
        path.write_text("def test_issue():\n" + indent(code, "    "), "utf-8")
        run = run_tests(instance, root, sandbox, only=(path.name,))
        path.unlink()
        if run.status != wanted:
            where = "with" if root is tree else "without"
            raise Rejected(f"{instance.instance_id}: {where} the bug its example {run.status}")


def _stable(first: TestRun, second: TestRun) -> set[str]:
    """What passes twice, without functions whose cases have other ids on each run.

    Parameters that come out of a set, say, give one id to another case the next time.
    """
    moving = {i.split("[", 1)[0] for i in set(first.passing) ^ set(second.passing)}
    both = set(first.passing) & set(second.passing)
    return {i for i in both if i.split("[", 1)[0] not in moving}


def _run(instance: Instance, root: Path, sandbox: Sandbox, recipe: Recipe) -> TestRun:
    from evals.grading import run_tests

    run = run_tests(instance, root, sandbox)
    if run.status == "collection_error" and run.cases:
        return run  # a bug may keep some modules from being imported
    if run.status not in ("passed", "failed"):
        tail = run.output.strip()[-300:]
        raise Rejected(f"{recipe.instance_id}: its tests cannot be run ({run.status}): {tail}")
    return run


def _diff(before: Path, after: Path, paths: set[str]) -> str:
    from tools.patch import diff

    changes = []
    for path in sorted(paths):
        old, new = before / path, after / path
        changes.append(
            FileChange(
                path=path,
                before=old.read_bytes() if old.exists() else None,
                after=new.read_bytes() if new.exists() else None,
            )
        )
    return diff(Patch(changes=tuple(changes)))


def write_lock(directory: Path, instances: Mapping[str, Instance]) -> None:
    """Record what the runs said. Raises ConfigError if it cannot be written."""
    rows = {
        name: {"FAIL_TO_PASS": list(found.FAIL_TO_PASS), "PASS_TO_PASS": len(found.PASS_TO_PASS)}
        for name, found in sorted(instances.items())
    }
    path = directory / LOCK
    staged = path.with_suffix(f".{os.getpid()}")
    try:
        staged.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", "utf-8")
        staged.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
