"""unittest suites and commands judged by their exit code."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.sandbox import pick
from tools.testrun import TestRunner
from tools.types import Frame, TestCommand

MakeRunner = Callable[..., TestRunner]

SUITE = """
import os, sys, time, unittest
import lib

class T(unittest.TestCase):
    def test_passes(self):
        self.assertEqual(lib.double(2), 4)
    def test_fails(self):
        self.assertEqual(lib.double(2), 5)
    def test_error(self):
        lib.boom()
    @unittest.skip("no")
    def test_skipped(self): ...
    @unittest.expectedFailure
    def test_expected(self):
        self.fail()
    def test_sub(self):
        for i in range(2):
            with self.subTest(i=i):
                self.assertEqual(i, 0)
    def test_hangs(self):
        time.sleep(60)
    def test_zz_exits(self):
        os._exit(0)
    def test_zzz_last(self): ...
"""
LIB = "def double(x):\n    return x * 2\n\ndef boom():\n    raise ValueError('boom')\n"
FILES = {"lib.py": LIB, "tests/test_lib.py": SUITE}
UNITTEST = "python -m unittest discover -s tests"


def test_unittest_outcomes(runner: MakeRunner) -> None:
    target = runner(FILES, UNITTEST)
    run = target.run(per_test_timeout_s=1)
    assert run.command.kind == "unittest"
    assert run.status == "failed"
    assert {c.id.removeprefix("test_lib.T."): c.outcome for c in run.cases} == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_error": "error",
        "test_skipped": "skipped",
        "test_expected": "xfailed",
        "test_sub": "failed",
        "test_hangs": "timeout",
        "test_zz_exits": "error",
        "test_zzz_last": "passed",
    }
    error = run.case("test_lib.T.test_error")
    assert error is not None
    assert error.message == "ValueError: boom"
    assert error.frames[-1] == Frame(path="lib.py", line=5, function="boom")


def test_unittest_selection_and_coverage(runner: MakeRunner) -> None:
    target = runner(FILES, UNITTEST)
    ids = ("test_lib.T.test_passes",)
    run, coverage = target.coverage(ids)
    assert (run.status, run.passing) == ("passed", ids)
    assert coverage.lines[ids[0]]["lib.py"] == {2}
    assert target.run(("test_lib.T.nothing",)).status == "no_tests"


def test_unittest_import_error(runner: MakeRunner) -> None:
    files = {"tests/test_bad.py": "import lib\n", "lib.py": "x = 1\nimport not_there\n"}
    run = runner(files, UNITTEST).run()
    assert run.status == "collection_error"
    assert Frame(path="lib.py", line=2, function="<module>") in run.cases[0].frames


def test_unittest_class_that_cannot_be_set_up(runner: MakeRunner) -> None:
    code = "import unittest\nclass T(unittest.TestCase):\n    @classmethod\n"
    code += "    def setUpClass(cls):\n        raise OSError('no')\n    def test_a(self): ...\n"
    run = runner({"tests/test_a.py": code}, UNITTEST).run()
    assert run.status == "failed"


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [("exit 0", "passed", 0), ("echo why; exit 3", "failed", 3), ("sleep 60", "timeout", None)],
)
def test_command(runner: MakeRunner, script: str, status: str, code: int | None) -> None:
    target = runner({"check.sh": script}, "/bin/sh check.sh")
    run = target.run(timeout_s=1.5)
    assert run.status == status
    assert code is None or run.exit_code == code
    assert (run.failing == ()) is (status == "passed")
    if status == "failed":
        assert run.cases[0].message == "why"


def test_command_with_a_traceback(runner: MakeRunner) -> None:
    files = {"lib.py": LIB, "check.py": "import lib\nlib.boom()\n"}
    run = runner(files, f"{sys.executable} check.py").run()
    assert run.cases[0].frames == (
        Frame(path="check.py", line=2, function="<module>"),
        Frame(path="lib.py", line=5, function="boom"),
    )


def test_command_that_cannot_be_executed_is_infrastructure(runner: MakeRunner) -> None:
    run = runner({"x.txt": ""}, "/bin/sh -c 'no-such-program-at-all'").run()
    assert run.status == "infra"


@pytest.mark.parametrize("tier", ["bwrap", "sandlock", "direct"])
def test_each_tier_runs_the_same(runner: MakeRunner, tier: str) -> None:
    from tools.sandbox.probe import status

    if tier != "direct" and not status(tier).works:  # type: ignore[arg-type]
        pytest.skip(f"{tier} does not work here")
    sandbox = pick(tier)  # type: ignore[arg-type]
    run = runner({"test_a.py": "def test_a(tmp_path): ...\n"}, sandbox=sandbox).run()
    assert (run.status, run.passing) == ("passed", ("test_a.py::test_a",)), run.output


def test_no_execution_raises(make: Callable[..., Path]) -> None:
    from tools.errors import SandboxError

    root = make({"test_a.py": "def test_a(): ...\n"})
    command = TestCommand(kind="pytest", argv=("python", "-m", "pytest"), source="")
    target = TestRunner(
        sandbox=pick("none"),
        root=root,
        command=command,
        interpreter=Path(sys.executable),
        original_root=None,
    )
    with pytest.raises(SandboxError):
        target.run()
