"""Whether a drafted test fails for the reason the issue gives, and passes afterwards."""

import re
from pathlib import PurePosixPath

from agent.reproduce.types import Accepted, Draft, Rejected
from tools.types import TestCase, TestRun

__all__ = ["judge", "judge_after"]

_TYPE = re.compile(r"^(?:E\s+)?((?:[A-Za-z_]\w*\.)*[A-Z]\w*)(?::|$)", re.MULTILINE)
_OWN_FAULTS = frozenset(
    {
        "NameError",
        "UnboundLocalError",
        "ImportError",
        "ModuleNotFoundError",
        "SyntaxError",
        "IndentationError",
        "AttributeError",
    }
)
"""Raised in the draft's own frame they say that the draft is wrong, not the code."""
_SURROUNDINGS = frozenset(
    {
        "ImportError",
        "ModuleNotFoundError",
        "ConnectionError",
        "ConnectionRefusedError",
        "FileNotFoundError",
        "PermissionError",
        "OSError",
        "TimeoutError",
        "gaierror",
    }
)
"""What an example raises where it cannot run as it ran for its author: no network, other files."""
_NO_SUCH_PART = ("KeyError", "IndexError", "TypeError: 'NoneType' object is not")
"""Raised in the draft's own frame by taking a part of the answer: the answer is the wrong one."""
_FAILED = ("failed", "error", "timeout")


def judge(before: TestRun, draft: Draft, *, path: str = "") -> Accepted | Rejected:
    """Judge a run of the draft on the unchanged code.

    `path` is where the draft was put, for runs that hold other tests too.
    """
    found = _cases(before, draft, path)
    if isinstance(found, Rejected):
        return found
    red = [c for c in found if c.outcome in _FAILED]
    if not red:
        return Rejected(reason="the drafted test passes already: it does not show the problem")
    for case in red:
        wrong = _not_the_reason(case, draft)
        if wrong:
            return Rejected(reason=wrong)
    return Accepted(tests=tuple(c.id for c in red), evidence=_first_line(red[0].message))


def judge_after(after: TestRun, draft: Draft, *, path: str = "") -> Accepted | Rejected:
    """Judge a run of the draft on the changed code: every test of it must pass."""
    found = _cases(after, draft, path)
    if isinstance(found, Rejected):
        return found
    for case in found:
        if case.outcome != "passed":
            return Rejected(reason=f"still {case.outcome}: {_first_line(case.message)}")
    if {_name(c) for c in found} < set(draft.tests):
        return Rejected(reason="not every drafted test ran")
    return Accepted(tests=tuple(c.id for c in found), evidence="the drafted tests pass")


def _cases(run: TestRun, draft: Draft, path: str) -> list[TestCase] | Rejected:
    if run.status == "infra":
        return Rejected(reason="the drafted test could not be run (infrastructure)")
    here = [c for c in run.cases if c.id.split("::")[0] == path] if path else list(run.cases)
    found = [c for c in here if _name(c) in draft.tests]
    broken = [c for c in here if c.outcome == "error" and "::" not in c.id]
    if not found and (broken or run.status == "collection_error"):
        why = _first_line(broken[0].message if broken else run.output)
        return Rejected(reason=f"the drafted test cannot be collected: {why}")
    if not found:
        return Rejected(reason=f"the drafted test did not run (status {run.status})")
    return found


def _name(case: TestCase) -> str:
    tail = case.id.rsplit("::", 1)[-1] if "::" in case.id else case.id.rsplit(".", 1)[-1]
    return tail.split("[", 1)[0]


def _not_the_reason(case: TestCase, draft: Draft) -> str:
    """Empty if the failure is the stated one, else what it is instead."""
    if case.outcome == "timeout":
        hangs = draft.reason.kind == "any"
        return "" if hangs else "the drafted test did not end in time; the issue states no hang"
    raised = exception_of(case.message)
    inside = _in_draft(case)
    reason = draft.reason
    if inside and raised in _OWN_FAULTS and raised != reason.exception:
        return f"the drafted test itself is wrong: {_first_line(case.message)}"
    if case.outcome == "error" and inside:
        return f"the drafted test cannot be set up: {_first_line(case.message)}"
    if reason.kind == "value" and not _no_such_value(case, draft, raised, inside):
        return f"it fails with {raised or 'an unknown error'}, not with the value the issue gives"
    if reason.kind == "raises" and reason.exception not in ("", raised):
        return f"it fails with {raised}, the issue says {reason.exception}"
    if reason.kind == "silent" and not _did_not_raise(case, inside):
        return f"it fails with {raised}, but not because {reason.exception} is missing"
    if reason.kind == "any" and inside and raised != "AssertionError":
        if not _did_not_raise(case, inside):
            return f"the drafted test itself raises {raised}"
    return ""


def _no_such_value(case: TestCase, draft: Draft, raised: str, inside: bool) -> bool:
    """Whether the value the issue gives is not what comes out.

    Code that the issue gives as it should run may also raise where a value is due (of the first 36
    instances of the development set 4 are such). A sentence states what happens now: there only
    another value will do.
    """
    if raised == "AssertionError":
        return inside
    if draft.origin not in ("code", "doctest") or raised in _SURROUNDINGS:
        return False
    return not inside or _first_line(case.message).removeprefix("E ").strip().startswith(
        _NO_SUCH_PART
    )


def _did_not_raise(case: TestCase, inside: bool) -> bool:
    return "DID NOT RAISE" in case.message or not inside


def _in_draft(case: TestCase) -> bool:
    """Whether the innermost frame is the draft's own; without frames we must assume it."""
    if not case.frames:
        return True
    return PurePosixPath(case.frames[-1].path).name == PurePosixPath(case.id.split("::")[0]).name


def exception_of(message: str) -> str:
    """Bare name of the exception type a failure message names; empty if it names none."""
    text = message.strip()
    if text.startswith(("assert ", "E   assert ", "E       assert ")):
        return "AssertionError"
    found = _TYPE.findall(text)
    if found:
        return str(found[0]).rsplit(".", 1)[-1]
    return "AssertionError" if re.search(r"^E?\s*assert ", text, re.MULTILINE) else ""


def _first_line(text: str) -> str:
    lines = [x.strip() for x in text.strip().splitlines() if x.strip()]
    return lines[0][:300] if lines else ""
