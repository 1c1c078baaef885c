"""What test runs prove. Pure comparisons of runs before and after a patch."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.guards import tampered
from tools.localize import is_test_path
from tools.types import TestCase, TestRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """`ok`: every target turned green and nothing else got worse."""

    ok: bool
    reason: str
    newly_passing: tuple[str, ...] = ()
    newly_failing: tuple[str, ...] = ()


def compare(before: TestRun, after: TestRun, *, targets: Sequence[str]) -> Verification:
    """Compare the whole suite before and after. `targets` must pass after."""
    if after.status in ("infra", "collection_error", "no_tests") and before.status != after.status:
        return Verification(ok=False, reason=f"the suite did not run: {after.status}")
    if after.status == "timeout" and before.status != "timeout":
        return Verification(ok=False, reason="the suite ran into its time limit")
    was_failing, is_failing = set(before.failing), set(after.failing)
    worse = tuple(sorted(is_failing - was_failing))
    better = tuple(sorted(was_failing & set(after.passing)))
    if worse:
        return Verification(
            ok=False,
            reason=f"{len(worse)} tests fail that did not before, first: {worse[0]}",
            newly_passing=better,
            newly_failing=worse,
        )
    red = [t for t in targets if t in is_failing]
    if red:
        return Verification(ok=False, reason=f"still failing: {red[0]}", newly_passing=better)
    why = tampered([c.id for c in before.cases], [c.id for c in after.cases], targets)
    if why:
        return Verification(ok=False, reason=why, newly_passing=better)
    if before.command.kind == "command" and before.exit_code != 0 and after.exit_code != 0:
        return Verification(ok=False, reason=f"still exits with {after.exit_code}")
    return Verification(ok=True, reason="no test is worse", newly_passing=better)


def named(failing: Sequence[str], issue: str, run: TestRun | None) -> tuple[str, ...]:
    """Of the tests that fail already, those the issue is about: it contains their id's last part
    or the name of a function in their trace.
    """
    if run is None:
        return ()
    words = set(re.findall(r"\w+", issue))
    return tuple(t for t in failing if _mentioned(t, words, run))


def not_hung(failing: Sequence[str], run: TestRun | None) -> tuple[str, ...]:
    """Failing tests without those that ran into their time limit, unless there are no others: a
    suite with one test that hangs can still show a bug elsewhere.
    """
    hung = {c.id for c in run.cases if c.outcome == "timeout"} if run is not None else set()
    return tuple(t for t in failing if t not in hung) or tuple(failing)


def not_begun(run: TestRun, ours: Callable[[str], bool]) -> tuple[TestCase, ...]:
    """Tests that failed before any of the code ran: no edit of it turns them green.

    A module that imports what is not installed, or a fixture that broke with nothing but tests on
    the way there (a locale, a service, a file this machine lacks). `ours`: whether the repository
    has that top-level module. pytest only: in unittest an error may be the test's own.
    """
    if run.command.kind != "pytest":
        return ()
    return tuple(c for c in run.cases if c.outcome == "error" and _outside(c, ours))


def _outside(case: TestCase, ours: Callable[[str], bool]) -> bool:
    if any(not (is_test_path(f.path) or f.path.startswith("/")) for f in case.frames):
        return False
    missing = re.search(r"No module named '(\w+)", case.message)
    return not ours(missing[1]) if missing else "::" in case.id


def _mentioned(test_id: str, words: set[str], run: TestRun) -> bool:
    """By the test's name: its parameters are words of any text (`0`, `a`, `None`)."""
    names = set(re.findall(r"\w+", test_id.rpartition("::")[2].partition("[")[0]))
    case = run.case(test_id)
    if case is not None:
        names |= {f.function for f in case.frames if len(f.function) > 3}
    return bool(names & words)


def failure_text(run: TestRun, ids: Sequence[str], *, limit: int = 2000) -> str:
    """What a model is told about failing tests: id, message, the last frames; normalised so that
    the same failure gives the same text (and the same request) on every run.
    """
    parts: list[str] = []
    for test_id in ids[:3]:
        case = run.case(test_id)
        if case is None:
            continue
        frames = [f"  {f.path}:{f.line} in {f.function}" for f in case.frames[-3:]]
        parts.append("\n".join([f"{test_id}: {case.outcome}", *frames, case.message.strip()]))
    text = "\n\n".join(parts) if parts else run.output[-limit:]
    return normalise(text)[:limit]


_VARYING = (
    (re.compile(r"0x[0-9a-fA-F]{6,}"), "0x…"),
    (re.compile(r"\b\d+\.\d+ ?s(econds)?\b"), "…s"),
    (re.compile(r"(/[^\s:'\"]+)*/pointsman-[\w.-]+/[\w.-]+/"), ""),
    (re.compile(r"/tmp/[^\s:'\"]+"), "/tmp/…"),
)


def normalise(text: str) -> str:
    """Replace what differs from run to run: addresses, durations, scratch directories."""
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text
