"""The zero-token stage: single-edit candidates on the most suspicious lines, tried against tests.

It offers. A patch with plausible rivals (others that tests cannot tell from it) is never taken.
"""

from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import cast

from agent import finish
from agent.changes import as_patch
from agent.diagnose import suite_of
from agent.events import CandidatesTried, EditProposed, Event, Notice, Phase, Progress
from agent.work import Runner, Work
from tools import patch as patches
from tools.trials import Trial, Validation
from tools.types import Candidate, Patch
from tools.validate import validate

TURNS = (6, 2, 1)
"""Candidates per turn of the first, second and third most suspicious file; no further files: Ochiai
puts the guilty one among the first three nearly always."""


def search(work: Work) -> Generator[Event, None, Patch | None]:
    """The patch, written to the workspace, when it is the only plausible one."""
    limits = work.deps.limits
    if not limits.zero_token or not work.suspects or work.runner is None:
        return None
    yield Phase(name="enumerate")
    found = enumerate_candidates(work, limits.zero_token_candidates)
    return (yield from try_candidates(work, found, by="enumerate", budget_s=limits.zero_token_s))


class TrialSpace:
    """A copy for one worker: the workspace as it stands, with the reproduction beside it."""

    def __init__(self, work: Work, directory: Path) -> None:
        self._work = work
        self._start = work.workspace.changes()
        self.workspace = work.workspace.clone(directory)
        self.runner = self._runner()

    @property
    def root(self) -> Path:
        return self.workspace.root

    def read(self, path: str) -> bytes | None:
        return self.workspace.read(path)

    def write(self, patch: Patch) -> None:
        self.workspace.write(patch)

    def reset(self) -> None:
        """Back to how it began: the base, earlier steps' changes, the reproduction."""
        self.workspace.reset()
        self.workspace.write(self._start)
        self.runner = self._runner()

    def _runner(self) -> Runner:
        runner = suite_of(self._work, self.workspace)
        assert runner is not None, "candidates need tests"
        return runner


def enumerate_candidates(work: Work, limit: int) -> list[Candidate]:
    """Candidates of the suspicious files, each file's in the enumerator's own order.

    Files take turns, the most suspicious with the most to say: a re-sort by tier would let the
    cheap edits of unlikely lines crowd out the rarer edits of the likeliest one.
    """
    from tools.enumerate import candidates

    paths = list(dict.fromkeys(s.path for s in work.suspects if s.path.endswith(".py")))
    streams: list[tuple[int, Iterator[Candidate]]] = []
    for path, turn in zip(paths, TURNS, strict=False):
        source = work.workspace.read(path)
        if source is not None:
            here = [s for s in work.suspects if s.path == path]
            streams.append((turn, candidates(source, path, here, limit=limit)))
    found: list[Candidate] = []
    while streams and len(found) < limit:
        for turn, stream in list(streams):
            some = list(islice(stream, turn))
            found.extend(some)
            if len(some) < turn:
                streams.remove((turn, stream))
    return found[:limit]


def try_candidates(
    work: Work, found: Sequence[Candidate], *, by: str, budget_s: float
) -> Generator[Event, None, Patch | None]:
    """Validate candidates in order; take the only plausible one, offer the first of several."""
    if not found or work.baseline is None:
        return None
    result = yield from _validate(work, found, budget_s)
    yield CandidatesTried(
        generated=result.generated,
        tried=result.tried,
        plausible=len(result.plausible),
        test_runs=result.test_runs,
        duration_s=result.duration_s,
        by=by,
    )
    work.test_runs += result.test_runs
    work.test_s += result.duration_s
    if not result.plausible:
        return None
    patch = _patch(work, result.rivals[0][0])
    yield EditProposed(step_id=by, diff=patches.diff(patch))
    if result.sole:
        work.workspace.write(patch)
        return patch
    work.rivals = len(result.rivals)
    work.notes.append(_doubt(result))
    finish.keep(work, patch)
    yield Notice(
        message=f"{by}: {_doubt(result)}; none is taken",
        remedy="add a test that tells them apart, or review the offered patch",
    )
    return None


def _validate(
    work: Work, found: Sequence[Candidate], budget_s: float
) -> Generator[Event, None, Validation]:
    """Drive the search, with progress; a clone of the workspace per worker."""
    assert work.baseline is not None
    spaces: list[TrialSpace] = []

    def space(number: int) -> TrialSpace:
        spaces.append(TrialSpace(work, work.deps.run_dir / f"try{number}"))
        return spaces[-1]

    search = validate(
        found,
        make_workspace=space,
        runner_for=lambda space: cast(TrialSpace, space).runner,
        failing=work.targets,
        before=work.baseline,
        deadline_s=min(budget_s, work.remaining_s()),
        max_runs=len(found) + 20,
        workers=work.deps.limits.workers,
        quick=work.deps.quick(work.targets, work.extra_args),
        per_test_timeout_s=work.deps.limits.per_test_timeout_s,
    )
    try:
        return (yield from _with_progress(work, search, len(found)))
    finally:
        search.close()
        for made in spaces:
            made.workspace.remove()


def _with_progress(
    work: Work, search: Generator[Trial, None, Validation], total: int
) -> Generator[Event, None, Validation]:
    done = 0
    while True:
        try:
            next(search)
        except StopIteration as end:
            result: Validation = end.value
            return result
        done += 1
        work.check()
        yield Progress(phase="enumerate", done=done, total=total)


def _doubt(result: Validation) -> str:
    if len(result.rivals) > 1:
        return f"{len(result.rivals)} different changes satisfy the tests equally well"
    return "a change satisfies the tests, but the search for rivals was cut short"


def _patch(work: Work, candidate: Candidate) -> Patch:
    source = work.workspace.read(candidate.path)
    assert source is not None
    return as_patch(candidate, source)
