"""What one run of the tests amounts to. Infrastructure is never mixed with failure."""

from typing import Literal

from tools.testrun.results import Results
from tools.types import CommandResult, TestRun

Status = Literal["passed", "failed", "no_tests", "collection_error", "timeout", "infra"]
DIED = "the test ended the process it ran in"
USAGE_ERROR, NO_TESTS = 4, 5
CONFTEST = ("ImportError while loading conftest", "ConftestImportFailure")


def status_of(run: TestRun, results: Results, last: CommandResult, *, given_ids: bool) -> Status:
    """`passed` needs the framework's own word that it ended, with 0, and at least one test."""
    ran = [case for case in run.cases if case.id not in results.uncollected]
    if last.stopped == "timeout":
        return "timeout"
    if any(case.outcome in ("failed", "error", "timeout") for case in ran):
        return "failed"
    if results.exit is None:
        return _cut_short(run, results, last)
    if results.uncollected:
        return "failed" if ran else "collection_error"
    if not ran:
        return _nothing_ran(run, results, given_ids=given_ids)
    return "passed" if results.exit == 0 and last.returncode == 0 else "failed"


def _cut_short(run: TestRun, results: Results, last: CommandResult) -> Status:
    """The process ended before the framework did: killed, crashed, or os._exit between tests."""
    if results.broken or last.stopped:
        return "infra"
    if run.cases:
        return "failed"
    return "collection_error" if results.collected is None and last.returncode != 0 else "infra"


def _nothing_ran(run: TestRun, results: Results, *, given_ids: bool) -> Status:
    if results.exit == NO_TESTS or results.collected == 0:
        return "no_tests"
    if any(sign in run.output for sign in CONFTEST):
        return "collection_error"
    if results.exit == USAGE_ERROR:
        return "no_tests" if given_ids and "not found" in run.output else "infra"
    return "no_tests" if results.exit == 0 else "infra"
