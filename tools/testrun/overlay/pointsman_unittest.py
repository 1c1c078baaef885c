"""Runs unittest in the target's interpreter and reports each test as it ends.

`python pointsman_unittest.py CONFIG`; discovery and options are those of `python -m unittest`.
"""

from __future__ import annotations

import sys
import time
import unittest
from collections.abc import Iterator
from typing import Any

from pointsman_report import (  # type: ignore[import-not-found]
    Clock,
    Config,
    Lines,
    Report,
    TestTimeout,
    prepare_paths,
)


class Result(unittest.TextTestResult):
    """Prints as unittest does, and writes the report."""

    settings: Config
    report: Report

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._clock = Clock(self.settings)
        self._lines = Lines(self.settings.root) if self.settings.coverage else None
        self._outcome, self._error, self._started = "passed", None, 0.0

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._outcome, self._error = "passed", None
        self._started = time.monotonic()
        self.report.write(kind="begin", id=test.id())
        self._clock.start()
        if self._lines is not None:
            self._lines.start()

    def stopTest(self, test: unittest.TestCase) -> None:
        self._clock.stop()
        if self._lines is not None:
            self.report.write(kind="lines", id=test.id(), lines=self._lines.stop())
        took = time.monotonic() - self._started
        if self._outcome == "error" and type(test).__name__ == "_FailedTest":
            self.report.write(kind="collect-error", id=test.id())
        self.report.case(test.id(), self._outcome, took, self._error)
        super().stopTest(test)

    def _set(self, outcome: str, err: Any = None) -> None:
        if self._outcome in ("failed", "error", "timeout"):
            return
        self._outcome = outcome
        if err is not None:
            self._error = err[1]
            if isinstance(err[1], TestTimeout) or self._clock.expired:
                self._outcome = "timeout"

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        if isinstance(test, unittest.TestCase):
            self._set("error", err)
        else:  # setUpClass or setUpModule: no test was started
            self.report.case(test.id(), "error", 0.0, err[1])

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._set("failed", err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._set("failed", err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._set("skipped")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._set("xfailed")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._set("failed")


class Runner(unittest.TextTestRunner):
    """Keeps only the tests that were asked for."""

    resultclass = Result

    def run(self, test: Any) -> Any:
        suite = unittest.TestSuite()
        suite.addTests(case for case in flat(test) if wanted(case))
        Result.report.write(kind="collected", count=suite.countTestCases())
        return super().run(suite)


def wanted(case: unittest.TestCase) -> bool:
    """A module that cannot be imported stands for any test asked for in it."""
    name = case.id()
    if type(case).__name__ == "_FailedTest":
        name = name.rpartition("_FailedTest.")[2]
        ids = Result.settings.ids
        return not ids or any(i == case.id() or (i + ".").startswith(name + ".") for i in ids)
    return bool(Result.settings.wants(name))


def flat(test: Any) -> Iterator[unittest.TestCase]:
    if isinstance(test, unittest.TestSuite):
        for inner in test:
            yield from flat(inner)
    else:
        yield test


def main(path: str) -> int:
    config = Config(path)
    report = Report(config)
    prepare_paths(config)
    Result.settings, Result.report = config, report
    argv = ["python -m unittest", *config.args]
    try:
        program = unittest.TestProgram(module=None, argv=argv, testRunner=Runner, exit=False)
        code = 0 if program.result.wasSuccessful() else 1
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 2
    report.write(kind="end", exit=code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
