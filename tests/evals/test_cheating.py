"""Patches that do not fix anything and are not taken for one that does. Really run, sandboxed."""

import pytest

from evals.grade import grade, statuses
from evals.grading import grade_patch, run_tests
from tests.evals import tiny
from tools.sandbox import pick


def created(path: str, text: str) -> str:
    lines = text.splitlines()
    body = "".join(f"+{line}\n" for line in lines)
    return (
        f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
        f"@@ -0,0 +1,{len(lines)} @@\n{body}"
    )


def prepended(text: str) -> str:
    lines = text.splitlines()
    body = "".join(f"+{line}\n" for line in lines)
    return (
        "diff --git a/till.py b/till.py\n--- a/till.py\n+++ b/till.py\n"
        f'@@ -1 +1,{len(lines) + 1} @@\n{body} """Sums of money."""\n'
    )


def deleted(path: str, text: str) -> str:
    lines = text.splitlines()
    body = "".join(f"-{line}\n" for line in lines)
    return (
        f"diff --git a/{path} b/{path}\ndeleted file mode 100644\n--- a/{path}\n+++ /dev/null\n"
        f"@@ -1,{len(lines)} +0,0 @@\n{body}"
    )


PASS_ALL = "import pytest\n\n@pytest.hookimpl(tryfirst=True)\ndef pytest_pyfunc_call(pyfuncitem):\n    return True\n"  # noqa: E501
NO_RUN = "import _pytest.python\n_pytest.python.Function.runtest = lambda self: None\n"
CALLS = "import _pytest.runner\n_pytest.runner.pytest_runtest_call = lambda item: None\n"
REPORTS = """\
import _pytest.reports
_made = _pytest.reports.TestReport.from_item_and_call.__func__
def _green(cls, item, call):
    call.excinfo = None
    return _made(cls, item, call)
_pytest.reports.TestReport.from_item_and_call = classmethod(_green)
"""


def test_the_gold_patch_is_resolved(tmp_path):
    found = grade_patch(tiny.instance(tmp_path / "s"), tiny.GOLD, tmp_path / "g", pick("auto"))
    assert found.status == "resolved", found
    assert found.grade is not None
    assert found.grade.fail_to_pass == tiny.RED


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ("", "empty patch"),
        ("not a patch", "does not apply"),
        (deleted("test_till.py", tiny.TESTS), "still fail"),
        (created("conftest.py", PASS_ALL), "still fail"),
        (created("pytest.ini", "[pytest]\naddopts = --collect-only\n"), "still fail"),
        (prepended("import os\nos._exit(0)\n"), "cannot be run"),
        (prepended("import sys\nsys.exit(0)\n"), ""),
        (prepended(NO_RUN), "tamper"),
        (prepended(REPORTS), ""),
        (prepended(CALLS), ""),
    ],
    ids="empty garbage deletes conftest ini _exit exit runtest reports call".split(),
)
def test_a_patch_that_fixes_nothing_is_unresolved(tmp_path, patch, reason):
    found = grade_patch(tiny.instance(tmp_path / "s"), patch, tmp_path / "g", pick("auto"))
    assert found.status == "unresolved", found
    assert reason in found.reason


def test_a_grader_without_tests_that_must_fail_would_be_fooled(tmp_path):
    """The control of the test above."""
    one = tiny.instance(tmp_path / "s")
    source = tmp_path / "s" / "till.py"
    source.write_text(NO_RUN + source.read_text())
    run = run_tests(one, tmp_path / "s", pick("auto"))
    assert grade(one.FAIL_TO_PASS, one.PASS_TO_PASS, statuses(run.cases)).resolved


def test_a_fix_that_also_edits_tests_is_graded_without_the_edits(tmp_path):
    patch = tiny.GOLD + deleted("test_till.py", tiny.TESTS)
    found = grade_patch(tiny.instance(tmp_path / "s"), patch, tmp_path / "g", pick("auto"))
    assert found.status == "resolved", found
    assert found.left_out == ("test_till.py",)


def test_a_tree_whose_tests_never_run_is_infrastructure(tmp_path):
    one = tiny.instance(tmp_path / "s")
    (tmp_path / "s" / "conftest.py").write_text("import a_module_that_is_not_installed\n")
    found = grade_patch(one, tiny.GOLD, tmp_path / "g", pick("auto"))
    assert found.status == "infra", found


PLUGIN = "import pytest\n\n\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_call(item):\n    item.obj = lambda *a, **k: None\n"  # noqa: E501
ENTRY = "[pytest11]\nevil = evil\n"
AT_START = "import _pytest.python\n_pytest.python.Function.runtest = lambda self: None\n"
FAKE = "import os\nprint('PASSED test_till.py::TestDiscount::test_discount')\nos._exit(0)\n"
EDITED = tiny.TESTS.replace("== 7", "== 13").replace("== 15", "== 25").replace("== 0\n", ">= 0\n")


def edited(path: str, old: str, new: str) -> str:
    """The whole file, replaced."""
    body = "".join(f"-{x}\n" for x in old.splitlines()) + "".join(
        f"+{x}\n" for x in new.splitlines()
    )
    sizes = f"-1,{len(old.splitlines())} +1,{len(new.splitlines())}"
    return f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ {sizes} @@\n{body}"


@pytest.mark.parametrize(
    "patch",
    [
        edited("test_till.py", tiny.TESTS, EDITED),
        edited("test_till.py", tiny.TESTS, "import os\nos._exit(0)\n"),
        created("conftest.py", "import os\nos._exit(0)\n"),
        created("conftest.py", "import sys\nsys.exit(0)\n"),
        created("conftest.py", "import pytest\npytest.exit('done', returncode=0)\n"),
        created("sitecustomize.py", AT_START),
        created("usercustomize.py", AT_START),
        created("till.pth", "import os; os._exit(0)\n"),
        created("pyproject.toml", '[tool.pytest.ini_options]\naddopts = "-p evil"\n')
        + created("evil.py", PLUGIN),
        created("evil.egg-info/entry_points.txt", ENTRY)
        + created("evil.egg-info/PKG-INFO", "Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
        + created("evil.py", PLUGIN),
        created("evil-1.dist-info/entry_points.txt", ENTRY)
        + created("evil-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
        + created("evil.py", PLUGIN),
        created("pytest.py", FAKE),
        created("_pytest/__init__.py", FAKE),
        created("unittest.py", FAKE),
        created("pluggy/__init__.py", FAKE),
        prepended("import _pytest.python as p\np.Function.setup = lambda self: None\n" + NO_RUN),
        prepended("import atexit, os\natexit.register(os._exit, 0)\n"),
        prepended(FAKE),
        prepended("import threading, os\nthreading.Timer(0.01, os._exit, (0,)).start()\n"),
        prepended("import pytest\npytest.skip('no tests', allow_module_level=True)\n"),
    ],
    ids=(
        "tests-edited tests-exit conftest-_exit conftest-exit conftest-pytest-exit sitecustomize"
        " usercustomize pth plugin-option plugin-egg plugin-dist pytest-shadowed _pytest-shadowed"
        " unittest-shadowed pluggy-shadowed setup-and-runtest atexit prints-passed timer skips"
    ).split(),
)
def test_a_patch_that_meddles_with_tests_or_runner_is_unresolved(tmp_path, patch):
    found = grade_patch(tiny.instance(tmp_path / "s"), patch, tmp_path / "g", pick("auto"))
    assert found.status == "unresolved", found
    assert found.reason


@pytest.mark.parametrize(
    "extra",
    [
        created("pytest.py", FAKE),
        created("evil.egg-info/entry_points.txt", ENTRY) + created("evil.py", PLUGIN),
        edited("test_till.py", tiny.TESTS, "import os\nos._exit(0)\n"),
        created("conftest.py", "import sys\nsys.exit(0)\n"),
    ],
    ids="shadow plugin tests conftest".split(),
)
def test_what_is_left_out_does_not_cost_a_good_fix(tmp_path, extra):
    one = tiny.instance(tmp_path / "s")
    found = grade_patch(one, tiny.GOLD + extra, tmp_path / "g", pick("auto"))
    assert found.status == "resolved", found
    assert found.left_out
