"""The zero-token stage: single-edit candidates on the most suspicious lines, tried against tests.

It offers. A patch with plausible rivals (others that tests cannot tell from it) is never taken.
"""

import hashlib
from collections.abc import Callable, Generator, Sequence
from typing import cast

from agent import choosing, finish
from agent.changes import as_patch
from agent.events import CandidatesTried, EditProposed, Event, Notice, Phase, Progress
from agent.judging import Judge
from agent.ranker import Ordered, unranked
from agent.trialspace import TrialSpace
from agent.work import Work
from tools import patch as patches
from tools.trials import Trial, Validation
from tools.types import Candidate, Patch
from tools.validate import validate


def search(work: Work) -> Generator[Event, None, Patch | None]:
    """The patch, written to the workspace, when it is the only plausible one."""
    limits = work.deps.limits
    if not limits.zero_token or not work.suspects or work.runner is None:
        return None
    yield Phase(name="enumerate")
    found = choosing.choose(work, limits.zero_token_candidates)
    return (
        yield from try_candidates(
            work,
            found,
            by="enumerate",
            most=limits.zero_token_candidates,
            budget_s=limits.zero_token_s,
        )
    )


Crowd = Callable[[Candidate], Sequence[Candidate]]
"""The changes that a plausible one must be told apart from."""


def try_candidates(
    work: Work, found: Ordered, *, by: str, most: int, budget_s: float, crowd: Crowd | None = None
) -> Generator[Event, None, Patch | None]:
    """Validate at most `most` candidates in order; take the only plausible one, offer the best of
    several.

    `crowd`: where the candidates are few, what else a lone plausible one has to stand against.
    """
    if not found.candidates or work.baseline is None:
        return None
    judge = Judge(work)
    result = yield from _tried(work, found, judge, most=most, budget_s=budget_s, by=by)
    if not result.plausible:
        return None
    best = judge.best(result.rivals, found.weights)
    if crowd is not None and result.sole and not work.rivals:
        pool = unranked([best, *crowd(best)])
        result = yield from _tried(
            work, pool, judge, most=len(pool.candidates), budget_s=budget_s, by="rivals"
        )
        if not result.plausible:  # it passed once, and not when tried again
            return None
    patch = _patch(work, best)
    yield EditProposed(step_id=by, diff=patches.diff(patch))
    work.notes.extend(judge.notes)
    if result.sole and not work.rivals:
        work.workspace.write(patch)
        return patch
    if work.rivals:  # what stands already is a rival of anything found later
        work.rivals += len(result.rivals)
    else:
        work.rivals = len(result.rivals)
        finish.keep(work, patch)
    work.notes.append(doubt(work.rivals))
    yield Notice(
        message=f"{by}: {doubt(work.rivals)}; none is taken", remedy=_remedy(work, result, by=by)
    )
    return None


def _tried(
    work: Work, found: Ordered, judge: Judge, *, most: int, budget_s: float, by: str
) -> Generator[Event, None, Validation]:
    """One search, on the account of the run."""
    result = yield from _validate(work, found, judge, most, budget_s)
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
    work.standing |= {fingerprint(work, candidate) for candidate in result.plausible}
    return result


def _validate(
    work: Work, found: Ordered, judge: Judge, most: int, budget_s: float
) -> Generator[Event, None, Validation]:
    """Drive the search, with progress; a clone of the workspace per worker."""
    assert work.baseline is not None
    spaces: list[TrialSpace] = []

    def space(number: int) -> TrialSpace:
        spaces.append(TrialSpace(work, work.deps.run_dir / f"try{number}"))
        return spaces[-1]

    search = validate(
        found.candidates,
        make_workspace=space,
        runner_for=lambda space: cast(TrialSpace, space).runner,
        failing=work.targets,
        before=work.baseline,
        deadline_s=min(budget_s, work.remaining_s()),
        max_runs=most + 20,
        workers=work.deps.limits.workers,
        quick=work.deps.quick(work.targets, work.extra_args),
        per_test_timeout_s=work.deps.limits.per_test_timeout_s,
        weights=found.weights,
        merge=judge.merge,
    )
    try:
        return (yield from _with_progress(work, search, min(most, len(found.candidates))))
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
            trial = next(search)
        except StopIteration as end:
            result: Validation = end.value
            return result
        done += 1
        if trial.verdict != "plausible":
            work.refuted.add(fingerprint(work, trial.candidate))
        work.check()
        yield Progress(phase="enumerate", done=done, total=total)


def fingerprint(work: Work, candidate: Candidate) -> str:
    """The same for candidates that make the same file of the workspace, however they were found."""
    content = _patch(work, candidate).changes[0].after or b""
    return f"{candidate.path}\0{hashlib.sha256(content).hexdigest()}"


def doubt(rivals: int) -> str:
    """Why a change that satisfies the tests is not taken."""
    if rivals > 1:
        return f"{rivals} different changes satisfy the tests equally well"
    return "a change satisfies the tests, but the search for rivals was cut short"


def _remedy(work: Work, result: Validation, *, by: str) -> str:
    """What the user can do about a doubt."""
    if work.rivals > 1:
        return "add a test that tells them apart, or review the offered patch"
    if by != "enumerate":
        return "review the offered patch"
    limits = work.deps.limits
    timed = result.duration_s >= 0.9 * limits.zero_token_s
    setting, now = (
        ("seconds", round(limits.zero_token_s))
        if timed
        else ("candidates", limits.zero_token_candidates)
    )
    return f"agent config set zero_token.{setting} {3 * max(now, 1)}, or review the offered patch"


def _patch(work: Work, candidate: Candidate) -> Patch:
    source = work.workspace.read(candidate.path)
    assert source is not None
    return as_patch(candidate, source)
