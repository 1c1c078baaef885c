"""The last stage: prove the patch on a fresh copy, then write it to the user's tree or offer it."""

from collections.abc import Generator

from agent import lessons, mutants
from agent.diagnose import run_tests, suite_of, summary
from agent.errors import BudgetExceeded, EngineError
from agent.events import Event, Notice, Phase
from agent.evidence import Verification, compare
from agent.types import Outcome
from agent.work import Work
from tools import patch as patches
from tools.errors import ConflictError
from tools.types import FileChange, Patch, TestRun

PATCH_FILE = "patch.diff"


def verify(work: Work, *, by: str) -> Generator[Event, None, Outcome]:
    """Run everything once more on a fresh copy that holds the patch and nothing else."""
    change = work.workspace.changes()
    if not change.changes:
        return not_solved(work, "no change was made")
    keep(work, change)
    yield Phase(name="verify")
    verdict = yield from _prove(work, change)
    if not verdict.ok:
        return not_solved(work, verdict.reason)
    unproven = _unproven(work)
    if unproven:
        return not_solved(work, unproven)
    lessons.proved(work)
    evidence = (*_evidence(work, verdict), f"patch by {by}")
    return (yield from _apply(work, change, evidence))


def keep(work: Work, change: Patch) -> None:
    """Store the patch with the run, whatever becomes of it."""
    work.offered = patches.diff(change)
    path = work.deps.run_dir / PATCH_FILE
    path.write_text(work.offered, encoding="utf-8", errors="surrogateescape")


def not_solved(work: Work, reason: str) -> Outcome:
    """Nothing was applied. A patch that exists is offered as unverified, never as a success."""
    patch_file = work.deps.run_dir / PATCH_FILE
    if work.offered:
        return Outcome(
            verdict="unverified",
            reason=reason,
            diff=work.offered,
            exit_code=1,
            evidence=tuple(work.notes),
            next_command=f"git apply {patch_file}",
        )
    if work.unexecuted is not None:
        return Outcome(
            verdict="not_solved",
            reason=f"{work.unexecuted}; {reason}",
            diff="",
            exit_code=work.unexecuted.exit_code,
            evidence=tuple(work.notes),
            next_command=work.unexecuted.remedy,
        )
    code, following = _why_nobody(work) if work.unserved else (1, f"agent diff {work.deps.run_id}")
    return Outcome(
        verdict="not_solved",
        reason=reason,
        diff="",
        exit_code=code,
        evidence=tuple(work.notes),
        next_command=following,
    )


def _why_nobody(work: Work) -> tuple[int, str]:
    """Exit code and remedy where no place served a step: that says nothing about the bug."""
    if work.down:
        return EngineError.exit_code, "agent doctor"
    limit = work.deps.budget_usd_micro
    totals = work.deps.totals()
    spent = limit is not None and totals.usd_micro + totals.reserved_usd_micro >= limit
    if spent and any(place.paid for place in work.deps.places):
        return BudgetExceeded.exit_code, "raise it with --max-cost DOLLARS, or add a local model"
    return 1, "agent models fit"


def _prove(work: Work, change: Patch) -> Generator[Event, None, Verification]:
    work.check()
    # Built from the user's tree again, not cloned: a file edited meanwhile is noticed here.
    clean = work.deps.make_workspace(work.deps.run_dir / "verify")
    try:
        changed = [c.path for c in change.changes if clean.read(c.path) != c.before]
        if changed:
            return Verification(ok=False, reason=f"changed during the run: {', '.join(changed)}")
        clean.write(change)
        runner = suite_of(work, clean)
        if runner is None or work.baseline is None:
            return Verification(ok=True, reason="there are no tests to compare with")
        after = run_tests(work, (), runner=runner)
        yield summary("verify", after)
        verdict = compare(work.baseline, after, targets=work.targets)
        if verdict.ok and work.task.goal == "test":
            return (yield from _prove_new_tests(work, after))
        return verdict
    finally:
        clean.remove()


def _prove_new_tests(work: Work, after: TestRun) -> Generator[Event, None, Verification]:
    """New tests count when they pass on the code as it is and fail when it is broken."""
    assert work.baseline is not None
    new = tuple(sorted(set(after.passing) - {c.id for c in work.baseline.cases}))
    if not new:
        return Verification(ok=False, reason="no new test passes")
    killed, tried = yield from mutants.killed(work, new)
    if tried and not killed:
        return Verification(
            ok=False, reason=f"the new tests pass whatever the code does ({tried} breakages tried)"
        )
    work.notes.append(f"new tests notice {killed} of {tried} deliberate breakages")
    return Verification(ok=True, reason="new tests pass", newly_passing=new)


def _unproven(work: Work) -> str:
    """Why a patch that makes nothing worse is still not verified, or the empty string."""
    if work.unexecuted is not None:
        return f"nothing could be tested: {work.unexecuted}"
    if work.task.goal in ("fix", "chat") and not work.targets:
        return "no test shows the problem, so none can show that it is gone"
    if work.baseline is None:
        return "there are no tests to verify against"
    if work.task.goal == "refactor" and work.baseline and not work.baseline.passing:
        return "no test passes, so none can show that behaviour is unchanged"
    return ""


def _evidence(work: Work, verdict: Verification) -> tuple[str, ...]:
    lines: list[str] = []
    if work.built is not None:
        lines.append("a test built from the issue failed before and passes now")
    existing = [
        t for t in work.targets if t in verdict.newly_passing and t.split("::", 1)[0] != work.built
    ]
    if existing:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        lines.append(f"red to green: {existing[0]}{more}")
    if work.baseline is not None:
        lines.append(f"no test is worse ({len(work.baseline.passing)} passed before)")
    return (*lines, *work.notes)


def _apply(work: Work, change: Patch, evidence: tuple[str, ...]) -> Generator[Event, None, Outcome]:
    final = _with_kept_test(work, change)
    diff = patches.diff(final)
    applied = False
    if not work.task.dry_run:
        yield Phase(name="apply")
        try:
            work.deps.journal.apply(work.deps.root, final, work.deps.run_id)
        except ConflictError as error:
            yield Notice(message=str(error), remedy=error.remedy, level="warning")
            return not_solved(work, f"verified, but not applied: {error}")
        applied = True
    return Outcome(
        verdict="verified",
        reason=verified_reason(work),
        diff=diff,
        exit_code=0,
        evidence=evidence,
        next_command="agent undo" if applied else f"git apply {work.deps.run_dir / PATCH_FILE}",
        applied=applied,
    )


def verified_reason(work: Work) -> str:
    reasons = {
        "refactor": "the suite behaves as before",
        "test": "the new tests pass, and fail when the code is broken",
    }
    return reasons.get(work.task.goal, "the tests that showed the problem are green")


def _with_kept_test(work: Work, change: Patch) -> Patch:
    if not work.task.keep_test or work.built is None:
        return change
    test = FileChange(path=work.built, before=None, after=work.built_source.encode())
    return Patch(changes=(*change.changes, test))
