"""Checks on what a model proposes: scope, tampering with tests, going in circles. All pure."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from agent.types import Plan
from tools.errors import OutOfScope
from tools.localize import is_test_path
from tools.types import Patch

RUNNER_FILES = frozenset(
    {"conftest.py", "pytest.ini", "tox.ini", "setup.cfg", "noxfile.py", "sitecustomize.py"}
    | {"usercustomize.py", "Makefile", ".coveragerc"}
)
"""Files that decide how tests run: a fix that edits them proves nothing."""


def check_scope(patch: Patch, plan: Plan, *, protected: frozenset[str]) -> None:
    """Raise OutOfScope, addressed to the model, when the patch leaves the plan.

    `protected`: files that hold the evidence (failing tests, the built reproduction).
    """
    for path in patch.paths:
        if path in protected or PurePosixPath(path).name in RUNNER_FILES:
            raise OutOfScope(
                f"{path} may not be edited: it decides whether the fix is right. "
                "Change the code under test instead."
            )
        if plan.files_in_scope and path not in plan.files_in_scope:
            raise OutOfScope(
                f"{path} is not in the plan. Files in scope: {', '.join(plan.files_in_scope)}. "
                "Edit one of those."
            )


def protects(goal: str, failing: Sequence[str], files: Sequence[str]) -> frozenset[str]:
    """Test files no step of this goal may touch.

    A fix may not touch any existing test; a `test` task may add to them.
    """
    named = {test_id.split("::", 1)[0] for test_id in failing}
    if goal == "test":
        return frozenset(named)
    return frozenset(named | {f for f in files if is_test_path(f)})


def repeats(answers: Sequence[str], *, limit: int = 2) -> bool:
    """Whether the last answer was already given `limit` times before: the model is in a loop."""
    return bool(answers) and answers[:-1].count(answers[-1]) >= limit


def tampered(before: Sequence[str], after: Sequence[str], targets: Sequence[str]) -> str:
    """Why the test evidence cannot be trusted, or the empty string.

    `before` and `after` are the ids of all collected tests; a patch that makes tests disappear is
    not a fix, however green the rest.
    """
    gone = sorted(set(before) - set(after))
    if gone:
        return f"{len(gone)} tests are no longer collected, first: {gone[0]}"
    missing = sorted(set(targets) - set(after))
    return f"target test did not run: {missing[0]}" if missing else ""
