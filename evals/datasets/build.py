"""From a recipe to an instance: both trees are built, and both are really run.

FAIL_TO_PASS and PASS_TO_PASS are what runs say, before and after. Where the same was recorded with
this Python, only the tree without the bug is run, once for all recipes of a release. Instances are
kept in the user's cache under a key of everything they depend on.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from textwrap import indent

from agent.errors import ConfigError
from evals.datasets.hide import hide_tests
from evals.datasets.instance import Instance, from_row
from evals.datasets.recipe import Recipe
from evals.datasets.sources import cache_root
from evals.datasets.trees import both_trees
from tools.errors import PointsmanError
from tools.types import FileChange, Patch, Sandbox, TestRun

__all__ = [
    "LOCK",
    "Record",
    "Rejected",
    "baseline",
    "build",
    "draft",
    "locked",
    "passing",
    "prove",
    "run_suite",
    "write_lock",
]

LOCK = "lock.json"
"""Beside the recipes: what the runs said when they were recorded."""
FORMAT = 4
RUNS = 3
"""Of the tree without the bug. With two, ids made from sets were the same by chance once in a while
(isodate)."""
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class Rejected(PointsmanError):
    """The recipe makes no usable instance; the message says why. Never counted as unresolved."""

    exit_code = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What was recorded of an instance, and with which Python."""

    python: str
    fail_to_pass: tuple[str, ...]
    pass_to_pass: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What several runs of the tree without the bug say."""

    good: frozenset[str]
    """What passes in all, without functions whose cases have other ids on each run."""
    failing: frozenset[str]


def build(recipe: Recipe, sandbox: Sandbox, lock: Mapping[str, Record] | None = None) -> Instance:
    """The instance of a recipe: from the cache, by the record, or by proof.

    `lock`: what was recorded, by instance id; an instance that differs is refused. Raises
    Rejected, SourceUnavailable, ConfigError and SandboxError.
    """
    record = (lock or {}).get(recipe.instance_id)
    stored = _place(recipe) / "instance.json"
    if stored.is_file():
        instance = from_row(json.loads(stored.read_text("utf-8")), where=str(stored))
        instance = replace(instance, source_dir=str(stored.with_name("tree")))
    else:
        instance = _made(recipe, sandbox, record)
    if record is not None and sorted(record.fail_to_pass) != sorted(instance.FAIL_TO_PASS):
        raise Rejected(
            f"{recipe.instance_id}: {len(instance.FAIL_TO_PASS)} tests turn red here,"
            f" {len(record.fail_to_pass)} when it was recorded",
            remedy="another Python may run other tests: agent eval validate --write",
        )
    return instance


def prove(recipe: Recipe, sandbox: Sandbox) -> Instance:
    """The same by running both trees, whatever the cache and the record say."""
    return _made(recipe, sandbox, None)


def locked(directory: Path) -> dict[str, Record]:
    """What was recorded, by instance id; empty without a record. Raises ConfigError."""
    path = directory / LOCK
    if not path.is_file():
        return {}
    try:
        rows = json.loads(path.read_text("utf-8"))
        return {
            name: Record(
                python=row["python"],
                fail_to_pass=tuple(row["FAIL_TO_PASS"]),
                pass_to_pass=row["PASS_TO_PASS"],
            )
            for name, row in rows.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: cannot be used: {error!r}", remedy="agent eval validate --write"
        ) from error


def _place(recipe: Recipe) -> Path:
    key = _digest([FORMAT, PYTHON, asdict(recipe)])
    return cache_root() / "instances" / f"{recipe.instance_id}-{key}"


def _digest(told: object) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def _made(recipe: Recipe, sandbox: Sandbox, record: Record | None) -> Instance:
    final = _place(recipe)
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=final.parent) as scratch:
        place = Path(scratch)
        clean, tree, paths = both_trees(recipe, place)
        instance = _told(recipe, clean, tree, place, sandbox, record, paths)
        (place / "instance.json").write_text(json.dumps(asdict(instance), indent=1), "utf-8")
        shutil.rmtree(clean)
        kept = place / "kept"
        kept.mkdir()
        tree.rename(kept / "tree")
        (place / "instance.json").rename(kept / "instance.json")
        shutil.rmtree(final, ignore_errors=True)
        kept.rename(final)
    return replace(instance, source_dir=str(final / "tree"))


def _told(
    recipe: Recipe,
    clean: Path,
    tree: Path,
    place: Path,
    sandbox: Sandbox,
    record: Record | None,
    paths: tuple[str, ...],
) -> Instance:
    """By the record where it fits; by running before and after where it does not."""
    told = draft(recipe, _diff(tree, clean, paths))
    base = baseline(recipe, told, clean, sandbox)
    good = base.good
    if record is not None and _fits(record, good):
        red = tuple(sorted(record.fail_to_pass))
        instance = _split(told, red, good)
        return instance if recipe.tests_visible else _hidden(instance, tree, place)
    before = run_suite(told, tree, sandbox)
    red = tuple(sorted(good - passing(before)))
    if not red:
        raise Rejected(f"{recipe.instance_id}: no test notices the bug")
    instance = _split(told, red, good)
    if not recipe.tests_visible:
        instance = _hidden(instance, tree, place)
        left = run_suite(instance, place / "hidden", sandbox)
        if extra := set(left.failing) - base.failing:
            raise Rejected(f"{recipe.instance_id}: {sorted(extra)[0]} gives the bug away")
    if recipe.commit is None:  # a commit's message is taken as it is
        _example(instance, clean, tree, sandbox)
    return instance


def draft(recipe: Recipe, patch: str) -> Instance:
    """An instance that tests can be run by, but whose failing tests are not known yet."""
    return Instance(
        instance_id=recipe.instance_id,
        repo=recipe.package.name,
        base_commit=recipe.commit.base if recipe.commit else "",
        patch=patch,
        test_patch="",
        problem_statement=recipe.problem_statement,
        FAIL_TO_PASS=("?",),
        PASS_TO_PASS=(),
        version=recipe.package.version,
        test_cmd=recipe.package.test_cmd,
        requires=recipe.package.requires,
        tests_visible=recipe.tests_visible,
        stratum=recipe.stratum,
        origin=recipe.origin,
    )


def _fits(record: Record, good: frozenset[str]) -> bool:
    red = set(record.fail_to_pass)
    return record.python == PYTHON and red <= good and len(good - red) == record.pass_to_pass


def _split(told: Instance, red: tuple[str, ...], good: frozenset[str]) -> Instance:
    return replace(told, FAIL_TO_PASS=red, PASS_TO_PASS=tuple(sorted(good - set(red))))


def _hidden(instance: Instance, tree: Path, place: Path) -> Instance:
    """With the failing tests taken out in `place / "hidden"`."""
    hidden = place / "hidden"
    shutil.copytree(tree, hidden, symlinks=True)
    changed = hide_tests(hidden, instance.FAIL_TO_PASS)
    patch = _diff(hidden, tree, changed)
    return replace(instance, hidden_tests=instance.FAIL_TO_PASS, test_patch=patch)


def baseline(recipe: Recipe, told: Instance, clean: Path, sandbox: Sandbox) -> Baseline:
    """From the cache: all recipes of a release share it."""
    key = [FORMAT, RUNS, PYTHON, asdict(recipe.package), recipe.before and asdict(recipe.before)]
    key += [recipe.commit and recipe.commit.fix]
    path = cache_root() / "baselines" / f"{recipe.package.name}-{_digest(key)}.json"
    if path.is_file():
        row = json.loads(path.read_text("utf-8"))
        return Baseline(good=frozenset(row["good"]), failing=frozenset(row["failing"]))
    runs = [run_suite(told, clean, sandbox) for _ in range(RUNS)]
    found = Baseline(good=_stable(runs), failing=frozenset(runs[0].failing))
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(f".{os.getpid()}")
    staged.write_text(
        json.dumps({"good": sorted(found.good), "failing": sorted(found.failing)}), "utf-8"
    )
    staged.replace(path)
    return found


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


def passing(run: TestRun) -> frozenset[str]:
    """Passed, or failed as expected. An unexpected pass is no status of the official parser."""
    return frozenset(c.id for c in run.cases if c.outcome in ("passed", "xfailed"))


def _stable(runs: list[TestRun]) -> frozenset[str]:
    """What passes every time, without functions whose cases have other ids on each run.

    Parameters that come out of a set, say, give one id to another case the next time.
    """
    seen = [passing(run) for run in runs]
    always, ever = frozenset.intersection(*seen), frozenset.union(*seen)
    moving = {i.split("[", 1)[0] for i in ever - always}
    return frozenset(i for i in always if i.split("[", 1)[0] not in moving)


def run_suite(
    instance: Instance, root: Path, sandbox: Sandbox, *, timeout_s: float = 300.0
) -> TestRun:
    """The instance's tests in a tree. Raises Rejected where they cannot be run."""
    from evals.grading import run_tests

    run = run_tests(instance, root, sandbox, timeout_s=timeout_s)
    if run.status == "collection_error" and run.cases:
        return run  # a bug may keep some modules from being imported
    if run.status not in ("passed", "failed"):
        tail = run.output.strip()[-300:]
        raise Rejected(f"{instance.instance_id}: its tests cannot be run ({run.status}): {tail}")
    return run


def _diff(before: Path, after: Path, paths: Iterable[str]) -> str:
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
    """Record what the runs said, beside what was recorded of others. Raises ConfigError."""
    path = directory / LOCK
    try:
        rows = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise ConfigError(f"{path}: broken JSON: {error}") from error
    for name, found in instances.items():
        rows[name] = {
            "python": PYTHON,
            "FAIL_TO_PASS": list(found.FAIL_TO_PASS),
            "PASS_TO_PASS": len(found.PASS_TO_PASS),
        }
    staged = path.with_suffix(f".{os.getpid()}")
    try:
        text = json.dumps(dict(sorted(rows.items())), indent=1, ensure_ascii=False)
        staged.write_text(text + "\n", "utf-8")
        staged.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
