"""pytest suites in real repositories, run in the sandbox of this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.sandbox import pick
from tools.testrun import TestRunner, detect
from tools.types import Frame

MakeRunner = Callable[..., TestRunner]

SUITE = """
import pytest
from pkg import clamp

def test_passes():
    assert clamp(5) == 5

def test_fails():
    assert clamp(-1) == 0

@pytest.mark.parametrize("text", ["a b", "[x]", "a::b", "é", "-k"])
def test_text(text):
    assert text

@pytest.mark.skip(reason="not now")
def test_skipped(): ...

@pytest.mark.xfail
def test_expected():
    raise ValueError

@pytest.fixture
def broken():
    raise RuntimeError("no fixture")

def test_broken(broken): ...

class TestGroup:
    def test_method(self, tmp_path):
        (tmp_path / "f").write_text("x")
"""
PACKAGE = """
def clamp(x):
    if x < 0:
        return helper(x)
    return x

def helper(x):
    return x
"""
REPORT = "sys.argv[1].replace('config.json', 'report.jsonl')"
FILES = {"src/pkg/__init__.py": PACKAGE, "tests/test_pkg.py": SUITE, "pytest.ini": "[pytest]\n"}


def test_outcomes_frames_and_ids(runner: MakeRunner) -> None:
    run = runner(FILES).run()
    assert run.status == "failed"
    outcomes = {c.id.partition("::")[2]: c.outcome for c in run.cases}
    texts = [name for name in outcomes if name.startswith("test_text")]
    assert len(texts) == 5
    assert {k: v for k, v in outcomes.items() if k not in texts} == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_skipped": "skipped",
        "test_expected": "xfailed",
        "test_broken": "error",
        "TestGroup::test_method": "passed",
    }
    failed = run.case("tests/test_pkg.py::test_fails")
    assert failed is not None
    assert failed.message.startswith("AssertionError: assert -1 == 0")
    assert failed.frames == (Frame(path="tests/test_pkg.py", line=9, function="test_fails"),)
    assert not (runner(FILES)._root / ".pytest_cache").exists()


def test_every_id_selects_exactly_itself(runner: MakeRunner) -> None:
    target = runner(FILES)
    ids = tuple(c.id for c in target.run().cases)
    texts = tuple(i for i in ids if "test_text" in i)
    assert tuple(c.id for c in target.run(texts).cases) == texts
    for one in texts[:2]:
        assert [c.id for c in target.run((one,)).cases] == [one]
    whole = target.run(("tests/test_pkg.py::TestGroup",))
    assert [c.id for c in whole.cases] == ["tests/test_pkg.py::TestGroup::test_method"]


def test_passed_only_if_all_is_well(runner: MakeRunner) -> None:
    target = runner(FILES)
    assert target.run(("tests/test_pkg.py::test_passes",)).status == "passed"
    assert target.run(("tests/test_pkg.py::no_such_test",)).status == "no_tests"
    assert target.run(("tests/no_such_file.py::test_x",)).status != "passed"


def test_hanging_tests_time_out_one_by_one(runner: MakeRunner) -> None:
    code = "import time\ndef test_a():\n    time.sleep(60)\n"
    code += "def test_b():\n    while True:\n        try:\n            time.sleep(60)\n"
    code += "        except Exception:\n            pass\ndef test_c(): ...\n"
    run = runner({"test_hang.py": code}).run(per_test_timeout_s=0.5)
    assert [c.outcome for c in run.cases] == ["timeout", "timeout", "passed"]
    assert run.status == "failed"
    assert run.cases[0].frames[-1] == Frame(path="test_hang.py", line=3, function="test_a")
    assert run.duration_s < 30


def test_a_test_that_cannot_be_interrupted(runner: MakeRunner) -> None:
    """SIGALRM blocked, as in C code that does not return."""
    code = "import signal,time\ndef test_deaf():\n"
    code += "    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n    time.sleep(60)\n"
    code += "def test_next(): ...\n"
    run = runner({"test_deaf.py": code}).run(per_test_timeout_s=0.5)
    assert {c.id: c.outcome for c in run.cases} == {
        "test_deaf.py::test_deaf": "timeout",
        "test_deaf.py::test_next": "passed",
    }
    assert run.cases[0].frames[-1].function == "test_deaf"


def test_whole_run_out_of_time(runner: MakeRunner) -> None:
    code = "import time\ndef test_first(): ...\ndef test_slow():\n    time.sleep(60)\n"
    run = runner({"test_slow.py": code}).run(timeout_s=5, per_test_timeout_s=50)
    assert run.status == "timeout"
    assert {c.id: c.outcome for c in run.cases} == {
        "test_slow.py::test_first": "passed",
        "test_slow.py::test_slow": "timeout",
    }


@pytest.mark.parametrize("how", ["os._exit(0)", "os.kill(os.getpid(), 9)", "os.abort()"])
def test_a_crash_is_the_failure_of_one_test(runner: MakeRunner, how: str) -> None:
    code = (
        f"import os\ndef test_before(): ...\ndef test_crash():\n    {how}\ndef test_after(): ...\n"
    )
    run = runner({"test_crash.py": code}).run()
    assert run.status == "failed"
    assert {c.id.partition("::")[2]: c.outcome for c in run.cases} == {
        "test_before": "passed",
        "test_crash": "error",
        "test_after": "passed",
    }


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos._exit(0)\ndef test_a(): ...\n",
        "import os,atexit\ndef test_a(): ...\natexit.register(os._exit, 0)\nos._exit(0)\n",
        f"import sys,os\ndef test_a():\n    os.remove({REPORT})\n",
        f"import sys,os\ndef test_a():\n    os.remove({REPORT}); os.mkfifo({REPORT})\n",
    ],
    ids=["exit-at-import", "exit-at-exit", "report-deleted", "report-replaced-by-fifo"],
)
def test_never_passed_without_the_word_of_the_framework(runner: MakeRunner, code: str) -> None:
    assert runner({"test_early.py": code}).run().status == "infra"


def test_exit_during_session_finish(runner: MakeRunner) -> None:
    files = {"conftest.py": "import os\ndef pytest_unconfigure():\n    os._exit(0)\n"}
    files["test_a.py"] = "def test_a(): ...\n"
    assert runner(files).run().status in ("infra", "failed")


def test_import_errors(runner: MakeRunner) -> None:
    files = {"test_bad.py": "import pkg\n", "pkg.py": "x = 1\nimport not_there\n"}
    run = runner(files).run()
    assert run.status == "collection_error"
    assert [c.id for c in run.cases] == ["test_bad.py"]
    assert run.cases[0].message.startswith("ModuleNotFoundError")
    assert Frame(path="pkg.py", line=2, function="<module>") in run.cases[0].frames


def test_syntax_error_is_located(runner: MakeRunner) -> None:
    run = runner({"test_bad.py": "import pkg\n", "pkg.py": "x = 1\ndef (:\n"}).run()
    assert run.status == "collection_error"
    assert run.cases[0].frames[-1] == Frame(path="pkg.py", line=2, function="<module>")


def test_one_bad_module_does_not_hide_the_rest(runner: MakeRunner) -> None:
    run = runner({"test_bad.py": "import not_there\n", "test_good.py": "def test_a(): ...\n"}).run()
    assert run.status == "failed"
    assert run.passing == ("test_good.py::test_a",)
    assert run.failing == ("test_bad.py",)


def test_broken_conftest(runner: MakeRunner) -> None:
    files = {"conftest.py": "import not_there\n", "test_a.py": "def test_a(): ...\n"}
    assert runner(files).run().status == "collection_error"


def test_no_tests(runner: MakeRunner) -> None:
    assert runner({"test_a.py": "x = 1\n"}).run().status == "no_tests"


def test_missing_interpreter_is_infrastructure(runner: MakeRunner, tmp_path: Path) -> None:
    run = runner(FILES, interpreter=tmp_path / "gone" / "python").run()
    assert run.status == "infra"
    assert run.cases == ()


def test_runs_with_pytest_of_the_target(runner: MakeRunner) -> None:
    """The environment of these tests has pytest and plugins of its own."""
    run = runner(FILES, interpreter=Path(sys.executable)).run(("tests/test_pkg.py::test_passes",))
    assert (run.status, len(run.cases)) == ("passed", 1), run.output


def test_user_options_and_modules_named_like_the_standard_library(runner: MakeRunner) -> None:
    files = {
        "json.py": "raise RuntimeError('shadowed')\n",
        "signal.py": "raise RuntimeError('shadowed')\n",
        "tests/test_a.py": "def test_keep(): ...\ndef test_drop(): assert 0\n",
    }
    run = runner(files, "pytest -q tests -k 'keep'").run()
    assert (run.status, run.passing) == ("passed", ("tests/test_a.py::test_keep",))


def test_fail_fast(runner: MakeRunner) -> None:
    files = {"test_a.py": "def test_1(): assert 0\ndef test_2(): assert 0\n"}
    assert len(runner(files).run(fail_fast=True).cases) == 1
    assert len(runner(files).run().cases) == 2


def test_lines_executed_per_test(runner: MakeRunner) -> None:
    ids = ("tests/test_pkg.py::test_passes", "tests/test_pkg.py::test_fails")
    run, coverage = runner(FILES).coverage(ids)
    assert run.failing == (ids[1],)
    assert coverage.lines[ids[0]]["src/pkg/__init__.py"] == {3, 5}
    assert coverage.lines[ids[1]]["src/pkg/__init__.py"] == {3, 4, 8}
    assert {path for lines in coverage.lines.values() for path in lines} <= set(FILES)


def test_lines_of_threads_and_repeated_tests(runner: MakeRunner) -> None:
    files = {
        "lib.py": "def work():\n    return 1\n",
        "test_t.py": "import threading\nimport lib\n"
        "def test_1():\n    t = threading.Thread(target=lib.work)\n    t.start()\n    t.join()\n"
        "def test_2():\n    lib.work()\n    lib.work()\n",
    }
    _, coverage = runner(files).coverage()
    assert [lines["lib.py"] for lines in coverage.lines.values()] == [{2}, {2}]


def test_secrets_do_not_reach_the_tests(runner: MakeRunner) -> None:
    code = "import os, json\ndef test_a():\n    raise KeyError(json.dumps(sorted(os.environ)))\n"
    environ = {**os.environ, "MY_API_KEY": "x", "ANTHROPIC_BASE_URL": "x", "PLAIN": "1"}
    environ |= {"POINTSMAN_X": "1", "PYTHONPATH": "."}
    message = runner({"test_env.py": code}, environ=environ).run().cases[0].message
    names = json.loads(message.partition("'")[2].rpartition("'")[0])
    assert "PLAIN" in names
    assert not {"MY_API_KEY", "ANTHROPIC_BASE_URL", "POINTSMAN_X", "VIRTUAL_ENV"} & set(names)


def test_scratch_copy_wins_over_an_editable_install(make: Callable[..., Path]) -> None:
    """A venv whose site-packages point to the user's tree, as `pip install -e` leaves it."""
    original = make(FILES, name="original")
    scratch = make(
        {**FILES, "src/pkg/__init__.py": PACKAGE.replace("return helper(x)", "return 0")}
    )
    venv = original.parent / "venv"
    subprocess.run((sys.executable, "-m", "venv", "--without-pip", str(venv)), check=True)
    site = next(venv.glob("lib/python3*/site-packages"))
    (site / "__editable__.pkg.pth").write_text(f"{original / 'src'}\n")
    python = venv / "bin" / "python"
    ids = ("tests/test_pkg.py::test_fails",)
    control = subprocess.run(
        (str(python), "-c", "import pkg; print(pkg.__file__)"), cwd="/", capture_output=True
    )
    assert str(original).encode() in control.stdout

    def status(root: Path, mode: str) -> str:
        made = TestRunner(
            sandbox=pick(mode),  # type: ignore[arg-type]
            root=root,
            command=detect(root, None),
            interpreter=python,
            original_root=original,
            environ=os.environ,
        )
        run = made.run(ids)
        assert run.cases, run.output
        return run.status

    assert status(scratch, "auto") == "passed"
    assert status(scratch, "direct") == "passed"  # where the original is within reach
    assert status(original, "auto") == "failed"


def test_plugin_switched_off_by_the_repository(runner: MakeRunner) -> None:
    """Our `-n0` is an unknown option to a suite that turns xdist off."""
    files = {"pytest.ini": "[pytest]\naddopts = -p no:xdist\n", "test_a.py": "def test_a(): ...\n"}
    run = runner(files, interpreter=Path(sys.executable)).run()
    assert (run.status, run.passing) == ("passed", ("test_a.py::test_a",)), run.output


def test_suite_that_asks_for_workers_runs_in_one_process(runner: MakeRunner) -> None:
    pytest.importorskip("xdist")
    code = "import os\ndef test_a():\n    assert 'PYTEST_XDIST_WORKER' not in os.environ\n"
    files = {"pytest.ini": "[pytest]\naddopts = -n 2\n", "test_a.py": code}
    run = runner(files, interpreter=Path(sys.executable)).run()
    assert (run.status, run.passing) == ("passed", ("test_a.py::test_a",)), run.output
