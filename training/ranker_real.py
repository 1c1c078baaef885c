"""Tasks for the ranker from real test suites: bugs in packages whose own tests show them.

    python -m training.ranker_real --tree DIR … --out FILE [--tasks 40] [--seconds 400]
        [--environment VENV] [--seed 1]

Each DIR is an unpacked source distribution with its tests. A bug is made by `training.mutate`, the
package's tests are run by the product's runner, then once more under coverage, and the product's
localiser ranks lines: what a run of `agent fix` would see. Kept are bugs that tests show and the
enumerator can undo. Packages of the development set and those reserved for evaluation are refused.
"""

import argparse
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from agent.app import open_app
from agent.choosing import POOL, context_of
from agent.config import load as load_config
from agent.diagnose import COVERED_PASSING
from agent.evidence import failure_text, not_hung
from agent.pool import stream
from agent.ranker.context import Context, words
from agent.ranker.features import features
from agent.types import Task
from agent.work import Work
from tools.errors import PointsmanError
from tools.localize import is_test_path, locate
from tools.types import Candidate, Coverage, Suspect, TestRun
from training.mutate import Mutant, mutate
from training.ranker import Row, reserved_names
from training.ranker_tasks import Judge
from training.sources import BENCHMARKED, RESERVED, Function, SourceFile, functions, normal

__all__ = ["Evidence", "Injected", "Project", "injected", "made", "opened"]

LIMIT = 400
"""Candidates that may be tried, as in the product's search of middling length."""
ENOUGH = 500
"""Candidates looked at where the right one is among them."""
MOST_RED = 0.5
"""Share of the tests a bug may break: what breaks more than that is found in a minute by anyone."""
SUITE_S = 20.0
NEAR = 200
WRONG = 400
"""Wrong candidates kept of a task; the likeliest by the enumerator's order and others at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A package with its tests, opened like a user's repository."""

    name: str
    work: Work
    healthy: TestRun
    functions: tuple[tuple[SourceFile, Function], ...]
    coverage: Coverage
    """Of every test of the healthy package."""
    suite_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """A bug in one file of a project, and what tells whether a candidate undoes it."""

    path: str
    before: bytes
    after: bytes
    guilty: range
    body: range
    """Lines of the buggy function below its first."""
    judge: Judge
    operator: str
    function: Function


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the product's localiser is given."""

    run: TestRun
    coverage: Coverage


def opened(tree: Path, scratch: Path) -> Project:
    """Raises ValueError for packages that may not be used or whose tests do not run."""
    name = normal(re.split(r"-\d", tree.name)[0])
    if name in RESERVED | BENCHMARKED | reserved_names():
        raise ValueError(f"{name} is kept for evaluation")
    root = _repository(tree, scratch / name)
    flags = {"local_only": True, "local_model": "none"}
    app = open_app(load_config(flags, os.environ, root), root)
    task = Task(goal="fix", text="", root=root)
    directory = app.runs_dir / "train"
    directory.mkdir(parents=True)
    deps = app.deps("train", directory, task, {}, app.places)
    work = Work(
        task=task,
        deps=deps,
        started=deps.clock(),
        workspace=deps.make_workspace(directory / "work"),
    )
    deps.index.update(lambda done, total: None)
    work.runner = deps.find_runner(work.workspace, ())
    work.has_suite = True
    healthy = work.runner.run((), timeout_s=SUITE_S * 3, per_test_timeout_s=10)
    if len(healthy.passing) < 5 or healthy.duration_s > SUITE_S:
        tail = healthy.output.strip()[-200:]
        raise ValueError(f"{healthy.status}, {len(healthy.passing)} tests pass: {tail}")
    covered, coverage = work.runner.coverage((), timeout_s=SUITE_S * 6, per_test_timeout_s=20)
    return Project(
        name=name,
        work=work,
        healthy=healthy,
        functions=_functions(name, work),
        coverage=coverage,
        suite_s=covered.duration_s,
    )


def _repository(tree: Path, root: Path) -> Path:
    shutil.copytree(tree, root, symlinks=True)
    settings = ("-c", "user.name=training", "-c", "user.email=training@localhost")
    for args in (("init", "--quiet"), ("add", "--all", "--force"), ("commit", "-qm", "as it is")):
        subprocess.run(["git", *settings, *args], cwd=root, check=True, capture_output=True)
    return root


def _functions(name: str, work: Work) -> tuple[tuple[SourceFile, Function], ...]:
    found = []
    for path in work.deps.files():
        if not path.endswith(".py") or is_test_path(path) or path in ("setup.py", "tests.py"):
            continue
        data = work.workspace.read(path) or b""
        try:
            file = SourceFile(package=name, path=path, text=data.decode())
            found += [(file, f) for f in functions(file)]
        except (SyntaxError, ValueError):
            continue
    return tuple(found)


def injected(file: SourceFile, function: Function, rng: random.Random) -> Injected | None:
    """A bug that the enumerator can undo, or None."""
    at = file.text.find(function.source + "\n")
    mutant = mutate(function.source, rng) if at >= 0 else None
    if mutant is None:
        return None
    text = file.text[:at] + "\n".join(mutant.lines) + file.text[at + len(function.source) :]
    found = _injected(file, function, mutant, at, text)
    near = [Suspect(path=file.path, line=n, symbol=None, score=1.0) for n in found.guilty]
    sources = {file.path: found.after}
    undone = any(found.judge(c) for c in stream(lambda path: sources.get(path), near, limit=NEAR))
    return found if undone else None


def _injected(file: SourceFile, function: Function, mutant: Mutant, at: int, text: str) -> Injected:
    first = file.text.count("\n", 0, at) + 1
    rest = file.text.count("\n", at + len(function.source))
    guilty = range(first + mutant.fix.first - 1, first + mutant.fix.last)
    return Injected(
        path=file.path,
        before=file.text.encode(),
        after=text.encode(),
        guilty=guilty,
        body=range(first + 1, text.count("\n") - rest + 2),
        judge=Judge(file.path, text.encode(), first, rest, function.source, guilty),
        operator=mutant.operators[0],
        function=function,
    )


def made(project: Project, bug: Injected, rng: random.Random) -> Row | None:
    """The task as numbers; None where no test, or nearly every one, shows the bug."""
    work = project.work
    target = work.workspace.root / bug.path
    target.write_bytes(bug.after)
    try:
        evidence = _shown(project, bug)
        if evidence is None:
            return None
        work.task = replace(work.task, text=_issue(bug.function, rng))
        work.hits = work.deps.index.localize(f"{work.task.text}\n{work.failure}", limit=30)
        work.suspects = locate(
            run=evidence.run,
            coverage=evidence.coverage,
            hits=work.hits,
            read=work.workspace.read,
            files=tuple(work.deps.files()),
            issue=work.task.text,
        ).suspects
        pool: list[Candidate] = []
        right: list[int] = []
        for candidate in stream(work.workspace.read, work.suspects, limit=POOL * LIMIT):
            if bug.judge(candidate):
                right.append(len(pool))
            pool.append(candidate)
            if right and len(pool) >= ENOUGH:
                break
        if not right:
            return None
        context = context_of(work, {c.path for c in pool})
        return _row(project, bug, pool, right, context, rng)
    finally:
        target.write_bytes(bug.before)


def _shown(project: Project, bug: Injected) -> Evidence | None:
    """What the tests say of the buggy package; None where none, or nearly every one, is red.

    Only tests that enter the buggy function are run again, once, under coverage: of the others
    both outcome and lines are those of the healthy package.
    """
    work, healthy = project.work, project.healthy
    near = [t for t in healthy.passing if _enters(project.coverage, t, bug)]
    if not near or work.runner is None:
        return None
    limit = 3 * project.suite_s + 10
    run, coverage = work.runner.coverage(tuple(near), timeout_s=limit, per_test_timeout_s=5)
    told = {c.id: c for c in run.cases}
    red = [t for t in run.failing if t in set(near)]
    if not red or len(red) > MOST_RED * len(healthy.passing) or run.status != "failed":
        return None
    lines = {**project.coverage.lines, **{t: coverage.lines.get(t, {}) for t in near}}
    cases = tuple(told.get(c.id, c) for c in healthy.cases)
    work.baseline = replace(healthy, cases=cases, status="failed", exit_code=1)
    work.targets = tuple(not_hung(red, run))
    work.failure = failure_text(run, work.targets)
    if not work.targets:
        return None
    files = {t.split("::", 1)[0] for t in work.targets}
    passing = sorted(work.baseline.passing, key=lambda t: t.split("::", 1)[0] not in files)
    chosen = {*work.targets, *passing[:COVERED_PASSING]}
    return Evidence(
        run=replace(work.baseline, cases=tuple(c for c in cases if c.id in chosen)),
        coverage=Coverage(lines={t: lines[t] for t in chosen if t in lines}),
    )


def _enters(coverage: Coverage, test: str, bug: Injected) -> bool:
    lines = coverage.lines.get(test, {}).get(bug.path, frozenset())
    return any(n in lines for n in bug.body)


def _issue(function: Function, rng: random.Random) -> str:
    """What a user might say: nothing, or the function's name, and some of its words."""
    said = [f"`{function.name}` is wrong"] if rng.random() < 0.4 else []
    names = sorted(words(function.source))
    if rng.random() < 0.5:
        said += rng.sample(names, min(len(names), rng.randint(1, 6)))
    return " ".join(said)


def _row(
    project: Project,
    bug: Injected,
    pool: Sequence[Candidate],
    right: Sequence[int],
    context: Context,
    rng: random.Random,
) -> Row:
    wrong = [i for i in range(len(pool)) if i not in set(right)]
    first, others = wrong[: WRONG // 2], wrong[WRONG // 2 :]
    chosen = sorted([*right, *first, *rng.sample(others, min(len(others), WRONG // 2))])
    x = np.array([features(context, pool[i]) for i in chosen], np.float16)
    return Row(
        x=x,
        right=tuple(chosen.index(i) for i in right),
        reached=right[0],
        operator=bug.operator,
        held_out=False,
        package=project.name,
    )


def rows_of(project: Project, most: int, until: float, rng: random.Random) -> Iterator[Row]:
    tried = 0
    count = 0
    while count < most and time.monotonic() < until and tried < 40 * most:
        tried += 1
        file, function = rng.choice(project.functions)
        bug = injected(file, function, rng)
        row = made(project, bug, rng) if bug is not None else None
        if row is not None:
            count += 1
            yield row


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--tree", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", type=int, default=40, help="most of one package")
    parser.add_argument("--seconds", type=float, default=400, help="for all packages together")
    parser.add_argument("--environment", type=Path, help="with what the packages' tests need")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    if args.environment:
        os.environ["VIRTUAL_ENV"] = str(args.environment.resolve())
    ends = time.monotonic() + args.seconds
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="pointsman-train-") as scratch:
        _apart(Path(scratch))
        for number, tree in enumerate(args.tree):
            began = time.monotonic()
            try:
                project = opened(tree.resolve(), Path(scratch))
            except (ValueError, PointsmanError) as error:
                print(f"{tree.name}: not used: {error}", file=sys.stderr)
                continue
            left = max(ends - began, 1) / (len(args.tree) - number)
            rng = random.Random(f"{args.seed} {project.name}")
            found = list(rows_of(project, args.tasks, began + left, rng))
            project.work.workspace.remove()
            rows += found
            args.out.write_bytes(pickle.dumps(rows))
            took = time.monotonic() - began
            print(f"{project.name}: {len(found)} bugs in {took:.0f} s", flush=True)
    print(f"{len(rows)} bugs of {len({r.package for r in rows})} packages")
    return 0


def _apart(scratch: Path) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        os.environ[name] = str(scratch / name.lower())


if __name__ == "__main__":
    sys.exit(main())
