"""Which candidates a run tries, in which order: pool, ranker, and whether ranking pays."""

import ast
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePosixPath
from time import monotonic

from agent import pool
from agent.ranker import Context, Ordered, load, order, unranked, words, worth_it
from agent.work import Work
from tools.types import Candidate

__all__ = ["choose", "context_of", "ordered"]

POOL = 3
"""Candidates looked at for each one that may be tried."""
POOL_SHARE = 0.08
"""Of the time for single edits that making candidates may take."""
NEIGHBOURS = 12


def choose(work: Work, limit: int) -> Ordered:
    """The pool of a task, ranked if that is expected to save time; else its first `limit`."""
    source = pool.stream(work.workspace.read, work.suspects, limit=POOL * limit)
    first = list(islice(source, limit))
    limits = work.deps.limits
    if not limits.zero_token_ranker or not worth_it(len(first), _try_s(work)):
        return unranked(first)
    until = monotonic() + POOL_SHARE * limits.zero_token_s
    return ordered(work, [*first, *_until(source, until)])


def ordered(work: Work, candidates: list[Candidate]) -> Ordered:
    """Any candidates of this run by the ranker: enumerated ones, or a model's."""
    return order(candidates, context_of(work, {c.path for c in candidates}), load())


def context_of(work: Work, paths: set[str]) -> Context:
    """What the ranker is told: the files, their neighbours, and the words of the task."""
    sources = {p: s for p in sorted(paths) if (s := work.workspace.read(p)) is not None}
    directories = {PurePosixPath(p).parent for p in sources}
    near = [
        f
        for f in work.deps.files()
        if f.endswith(".py") and f not in sources and PurePosixPath(f).parent in directories
    ]
    texts = (work.workspace.read(f) for f in sorted(near)[:NEIGHBOURS])
    told = [work.task.text, work.failure, work.built_source, *_tests(work)]
    return Context(
        sources=sources,
        neighbours=[t.decode("utf-8", "replace") for t in texts if t is not None],
        suspects=work.suspects,
        told=words("\n".join(told)),
        general=load().general,
    )


def _until(source: Iterator[Candidate], end: float) -> Iterator[Candidate]:
    for candidate in source:
        yield candidate
        if monotonic() > end:
            return


def _try_s(work: Work) -> float:
    """What one try takes, forked: the failing tests' own time, and a little."""
    cases = work.baseline.cases if work.baseline is not None else ()
    wanted = set(work.targets)
    return 0.06 + sum(c.duration_s for c in cases if c.id in wanted)


def _tests(work: Work) -> Iterator[str]:
    """The source of the first failing tests."""
    for target in work.targets[:3]:
        path, _, name = target.partition("::")
        data = work.workspace.read(path)
        if data is None or not path.endswith(".py"):
            continue
        wanted = name.rpartition("::")[2].split("[")[0]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(data)
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == wanted:
                yield ast.unparse(node)
                break
