"""Running the tests a patch is graded by, in a fresh tree and in a sandbox.

Changes to tests and to what configures them are taken out of the patch first. Two tests that must
fail run along: where they pass, the patch has tampered with the runner.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from evals.checkout import grading_tree
from evals.datasets.instance import Instance
from evals.grade import Grade, grade, is_test_file, shadows_runner, statuses
from evals.harness import errored_log, log_of
from evals.images import container_for, environment_of, image_of
from tools.errors import EditError, PointsmanError
from tools.types import FileChange, Patch, Sandbox, TestRun

__all__ = ["Graded", "grade_patch", "run_tests", "without_tests"]

SUITE_S = 300.0
TEST_S = 60.0
CANARY = '''\
"""Two tests that fail, unless somebody keeps tests from failing."""

import unittest


def test_{nonce}():
    raise AssertionError("{nonce}")


class Test{nonce}(unittest.TestCase):
    def test_{nonce}(self):
        self.assertEqual("{nonce}", "")
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """`infra`: nothing can be said about the patch; `unresolved` carries its reason."""

    status: Literal["resolved", "unresolved", "infra"]
    reason: str = ""
    grade: Grade | None = None
    left_out: tuple[str, ...] = ()
    """Files of the patch that are tests or configure them."""
    log: str = ""
    """Of the test run, in the official harness's form."""


def grade_patch(instance: Instance, patch: str, place: Path, sandbox: Sandbox) -> Graded:
    """Grade `patch` (a unified diff) below the directory `place`, which is created."""
    if not patch.strip():
        return Graded(status="unresolved", reason="empty patch")
    place.mkdir(parents=True, exist_ok=True)
    root = place / "graded"
    grading_tree(instance, root)
    try:
        left_out = _apply(root, patch, instance.test_files)
    except PointsmanError as error:
        why = f"the patch does not apply: {error}"
        return Graded(status="unresolved", reason=why, log=errored_log(why))
    nonce = f"x{secrets.token_hex(8)}"
    run = run_tests(instance, root, sandbox, canary=nonce)
    found = statuses(run.cases)
    if not _gradable(run):
        graded = _whose_fault(instance, run, place / "control", sandbox)
    elif _tampered(run, nonce):
        why = "tests that must fail did not: the patch tampers with the runner"
        graded = Graded(status="unresolved", reason=why, log=errored_log(why, run.output))
    else:
        graded = _judged(grade(instance.FAIL_TO_PASS, instance.PASS_TO_PASS, found))
        graded = replace(graded, log=log_of(found, run.exit_code, run.output))
    return replace(graded, left_out=left_out)


def _judged(found: Grade) -> Graded:
    status: Literal["resolved", "unresolved"] = "resolved" if found.resolved else "unresolved"
    return Graded(status=status, reason=_why(found), grade=found)


def without_tests(patch: Patch, named: Iterable[str] = ()) -> tuple[Patch, tuple[str, ...]]:
    """The patch without its changes to tests, and the paths left out."""
    doomed = {
        c.path
        for c in patch.changes
        if is_test_file(c.path, named) or (c.before is None and shadows_runner(c.path))
    }
    kept = tuple(c for c in patch.changes if c.path not in doomed)
    return Patch(changes=kept), tuple(c.path for c in patch.changes if c.path in doomed)


def run_tests(
    instance: Instance,
    root: Path,
    sandbox: Sandbox,
    *,
    canary: str = "",
    only: tuple[str, ...] = (),
    timeout_s: float = SUITE_S,
) -> TestRun:
    """The instance's tests in a tree, or those of `only`; with a canary, its two are among them."""
    from tools.testrun import TestRunner, detect

    command = detect(root, instance.test_cmd)
    runner = TestRunner(
        sandbox=container_for(instance) or sandbox,
        root=root,
        command=command,
        interpreter=environment_of(instance) / "bin" / "python",
        original_root=None,
        environ={},
    )
    wanted = (*instance.FAIL_TO_PASS, *instance.PASS_TO_PASS)
    files = tuple(dict.fromkeys(t.partition("::")[0] for t in wanted))
    ids = only
    if canary and command.kind == "pytest":
        name = f"test_{canary}.py"
        (root / name).write_text(CANARY.format(nonce=canary), encoding="utf-8")
        ids = (*files, name)
    elif not ids and image_of(instance) and command.kind == "pytest":
        ids = files  # the suites of such rows take longer than a grading may
    return runner.run(ids, timeout_s=timeout_s, per_test_timeout_s=TEST_S)


def _apply(root: Path, text: str, named: Iterable[str]) -> tuple[str, ...]:
    from tools.files import Tree
    from tools.patch import from_diff

    with Tree(root) as tree:
        patch, left_out = without_tests(from_diff(text, tree.read), named)
        for change in patch.changes:
            _write(root, change)
    return left_out


def _write(root: Path, change: FileChange) -> None:
    """`root` is ours and nothing runs in it yet; the path was checked by the parser."""
    path = root / change.path
    if not path.parent.resolve().is_relative_to(root.resolve()) or path.is_symlink():
        raise EditError(f"{change.path} leads out of the tree")
    if change.after is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(change.after)
    if change.mode is not None:
        path.chmod(change.mode)


def _gradable(run: TestRun) -> bool:
    """A command that fails while no test does is not described by what its tests say."""
    return run.status == "passed" or (run.status == "failed" and bool(run.failing))


def _whose_fault(instance: Instance, run: TestRun, control: Path, sandbox: Sandbox) -> Graded:
    """Tests that could not be run count against the patch only where they run without it."""
    grading_tree(instance, control)
    without = run_tests(instance, control, sandbox)
    last = run.output.strip().splitlines()[-1:] or [f"exit code {run.exit_code}"]
    why = f"the tests cannot be run ({run.status}): {last[0][:200]}"
    if _gradable(without):
        why = f"with the patch {why}"
        return Graded(status="unresolved", reason=why, log=errored_log(why, run.output))
    return Graded(status="infra", reason=why)


def _tampered(run: TestRun, nonce: str) -> bool:
    if run.command.kind != "pytest":
        return False
    canaries = [c for c in run.cases if nonce in c.id]
    failed = [c for c in canaries if c.outcome == "failed" and nonce in c.message]
    return len(failed) != 2


def _why(result: Grade) -> str:
    parts = []
    if result.fail_to_pass_failed:
        total = len(result.fail_to_pass) + len(result.fail_to_pass_failed)
        parts.append(f"{len(result.fail_to_pass_failed)} of {total} failing tests still fail")
    if result.pass_to_pass_failed:
        parts.append(f"{len(result.pass_to_pass_failed)} tests that passed fail")
    return "; ".join(parts)
