"""Where the right single edit stands in the order candidates are tried in: with and without ranker.

Nothing is tried: a run goes as far as localising, then candidates are put in both orders, and the
first that gives back the file as it was before the bug is looked for. So it is exact, cheap, and
the same on a busy machine.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from evals.checkout import agent_repository
from evals.datasets import Instance
from evals.datasets.sources import environment
from tools.types import Candidate

__all__ = ["Place", "places"]

LIMIT = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """1-based; None where the right candidate is not among those that would be tried."""

    instance_id: str
    stratum: str
    plain: int | None
    ranked: int | None
    pool: int
    rank_s: float
    why: str = ""


def places(instances: Sequence[Instance]) -> Iterator[Place]:
    """One per instance whose fix is of one Python file."""
    for instance in instances:
        with tempfile.TemporaryDirectory(prefix="pointsman-order-") as scratch, _apart(scratch):
            yield _place(instance, Path(scratch))


@contextmanager
def _apart(directory: str) -> Iterator[None]:
    """State directories of its own, as every unit of an evaluation has."""
    names = ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "VIRTUAL_ENV")
    before = {n: os.environ.get(n) for n in names}
    os.environ.update({n: f"{directory}/{n.lower()}" for n in names[:-1]})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _place(instance: Instance, scratch: Path) -> Place:
    import time

    from agent import pool
    from agent.app import open_app
    from agent.choosing import POOL, context_of
    from agent.config import load
    from agent.ranker import load as load_ranker
    from agent.ranker import order
    from agent.types import Task
    from agent.work import Work

    root = scratch / "repository"
    agent_repository(instance, root)
    gold = _gold(instance, root)
    os.environ["VIRTUAL_ENV"] = str(_outside(instance))
    flags: dict[str, object] = {"local_only": True, "local_model": "none"}
    app = open_app(load(flags, os.environ, root), root)
    task = Task(
        goal="fix",
        text=instance.problem_statement,
        root=root,
        test_command=instance.test_cmd,
    )
    directory = app.runs_dir / "order"
    directory.mkdir(parents=True)
    deps = app.deps("order", directory, task, {}, app.places)
    work = Work(
        task=task,
        deps=deps,
        started=deps.clock(),
        workspace=deps.make_workspace(directory / "work"),
    )
    why = _diagnosed(work)
    source = pool.stream(work.workspace.read, work.suspects, limit=POOL * LIMIT)
    first = list(islice(source, LIMIT)) if not why else []
    every = [*first, *source] if first else []
    began = time.monotonic()
    ranked: Sequence[Candidate] = ()
    if every:
        context = context_of(work, {c.path for c in every})
        ranked = order(every, context, load_ranker()).candidates[:LIMIT]
    took = time.monotonic() - began
    place = Place(
        instance_id=instance.instance_id,
        stratum=instance.stratum,
        plain=_found(first, gold, work.workspace.read),
        ranked=_found(ranked, gold, work.workspace.read),
        pool=len(every),
        rank_s=round(took, 2),
        why=why,
    )
    work.workspace.remove()
    return place


def _outside(instance: Instance) -> Path:
    """The environment lives in the user's real cache, not in the one of this run."""
    kept = os.environ.pop("XDG_CACHE_HOME")
    try:
        return environment(instance.requires)
    finally:
        os.environ["XDG_CACHE_HOME"] = kept


def _diagnosed(work: object) -> str:
    from agent import diagnose, reproducing
    from agent.work import Work

    assert isinstance(work, Work)
    for stage in (diagnose.index, diagnose.baseline, reproducing.run, diagnose.localize):
        for _ in stage(work):
            pass
    return "" if work.targets else "nothing shows the problem"


def _gold(instance: Instance, root: Path) -> dict[str, str]:
    """Normal forms of the files the real fix changes, after it."""
    from tools import patch as patches
    from tools.enumerate import normal_form

    def read(path: str) -> bytes | None:
        file = root / path
        return file.read_bytes() if file.is_file() else None

    change = patches.from_diff(instance.patch, read)
    fixed = {c.path: c.after for c in change.changes if c.path.endswith(".py")}
    return {p: normal_form(a) for p, a in fixed.items() if a is not None}


def _found(order: Sequence[Candidate], gold: dict[str, str], read: object) -> int | None:
    from tools.enumerate import apply, normal_form

    assert callable(read)
    if len(gold) != 1:
        return None
    for place, candidate in enumerate(order, 1):
        source = read(candidate.path)
        if candidate.path in gold and normal_form(apply(source, candidate)) == gold[candidate.path]:
            return place
    return None
