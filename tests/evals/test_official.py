"""Our grades are those of the official package: recorded from it, and asked of it where it is.

swebench brings 80 distributions (490 MB), so it is no dependency. SWEBENCH_PYTHON names a Python
that has it; UPDATE_GOLDEN=1 records its outcomes anew:

    python -m venv /tmp/swebench && /tmp/swebench/bin/pip install swebench==5.0.2
    SWEBENCH_PYTHON=/tmp/swebench/bin/python python -m pytest tests/evals/test_official.py
"""

import json
import os
import random
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from evals.datasets import Instance
from evals.grade import grade
from evals.grading import Graded, grade_patch
from evals.harness import LOG, errored_log, export, log_of, row_of
from evals.result import Result, model_name
from tests.evals import tiny
from tests.evals.test_cheating import NO_RUN, deleted, prepended
from tools.sandbox import pick

GOLDEN = Path(__file__).parent / "golden" / "official.json"
DRIVER = Path(__file__).with_name("official.py")
PYTHON = os.environ.get("SWEBENCH_PYTHON", "")
official = pytest.mark.skipif(
    not PYTHON, reason="SWEBENCH_PYTHON names no Python that has swebench"
)
WORDS = ("PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL", "XPASS")
IDS = ("t.py::a", "t.py::b[x y]", "t.py::b[x z]", "t.py::C::d[1-2]", "t.py::e", "t.py::f[log(a b)]")


def ask(*words: str, stdin: object = None) -> object:
    done = subprocess.run(
        [PYTHON, str(DRIVER), *words],
        input=json.dumps(stdin), capture_output=True, text=True, check=False,
        env={"PATH": os.defpath, "HOME": os.devnull},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def instance(first: list[str], second: list[str]) -> Instance:
    return Instance(
        instance_id="a__b-1", repo="a/b", base_commit="", patch="", test_patch="",
        problem_statement="", FAIL_TO_PASS=tuple(first), PASS_TO_PASS=tuple(second),
    )  # fmt: skip


def drawn(seed: int) -> tuple[Instance, dict[str, str]]:
    """A row and what a run found: some tests missing, some ids with blanks."""
    dice = random.Random(seed)
    found = {i: dice.choice(WORDS[: 1 + seed % len(WORDS)]) for i in IDS if dice.random() < 0.9}
    names = list(IDS)
    dice.shuffle(names)
    cut = dice.randint(1, len(names) - 1)
    return instance(names[:cut], names[cut:]), found


def sides(case: dict[str, object]) -> dict[str, object]:
    """The official answer without its bookkeeping, or ours in its form."""
    lists = case.get("tests_status") or {}
    assert isinstance(lists, dict)
    kept = {
        name: {side: [i.replace("%20", " ") for i in lists[name][side]] for side in lists[name]}
        for name in ("FAIL_TO_PASS", "PASS_TO_PASS")
        if name in lists
    }
    return {"resolved": case["resolved"], **kept}


def ours(row: Instance, found: dict[str, str]) -> dict[str, object]:
    got = grade(row.FAIL_TO_PASS, row.PASS_TO_PASS, found)
    return {
        "resolved": got.resolved,
        "FAIL_TO_PASS": {
            "success": list(got.fail_to_pass),
            "failure": list(got.fail_to_pass_failed),
        },
        "PASS_TO_PASS": {
            "success": list(got.pass_to_pass),
            "failure": list(got.pass_to_pass_failed),
        },
    }


def cases(seeds: range) -> list[dict[str, object]]:
    made = []
    for seed in seeds:
        row, found = drawn(seed)
        code = int(any(w in ("FAILED", "ERROR") for w in found.values()))
        made.append({"row": row_of(row), "log": log_of(found, code, "PASSED t.py::a\n>>>>> x")})
    return made


# What the marks of a log decide before any test is looked at.
GREEN = {i: "PASSED" for i in IDS}
LOGS = {
    "all pass": log_of(GREEN, 0),
    "non-zero, nothing failed": log_of(GREEN, 1),
    "errored": errored_log("the tests cannot be run", "PASSED t.py::a"),
    "no end": log_of(GREEN, 0).split(">>>>> End")[0],
    "a forged line before the start": log_of({**GREEN, IDS[0]: "FAILED"}, 1, f"PASSED {IDS[0]}"),
}


@official
def test_random_runs_are_graded_as_the_official_package_grades_them():
    wanted = [ours(*drawn(seed)) for seed in range(400)]
    assert len({w["resolved"] for w in wanted}) == 2
    got = ask("grade", stdin=cases(range(400)))
    assert isinstance(got, list)
    # with no status at all the official package gives no lists
    blank = [not drawn(seed)[1] for seed in range(400)]
    assert [sides(g) for g, b in zip(got, blank, strict=True) if not b] == [
        w for w, b in zip(wanted, blank, strict=True) if not b
    ]


@official
def test_the_recorded_outcomes_are_still_those_of_the_official_package():
    row = row_of(instance(list(IDS[:2]), list(IDS[2:])))
    asked = cases(range(24)) + [{"row": row, "log": text} for text in LOGS.values()]
    answers = ask("grade", stdin=asked)
    assert isinstance(answers, list)
    outcomes = [sides(a) for a in answers]
    stored = {"swebench": "5.0.2", "drawn": outcomes[:24], "logs": dict(zip(LOGS, outcomes[24:], strict=True))}  # fmt: skip  # noqa: E501
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(stored, indent=1) + "\n")
    assert json.loads(GOLDEN.read_text()) == stored


def test_our_grades_are_the_recorded_official_ones():
    stored = json.loads(GOLDEN.read_text())["drawn"]
    assert [ours(*drawn(seed)) for seed in range(24)] == stored
    assert len({case["resolved"] for case in stored}) == 2


def test_logs_that_show_nothing_are_recorded_as_not_resolved():
    stored = json.loads(GOLDEN.read_text())["logs"]
    assert [name for name in stored if stored[name]["resolved"]] == ["all pass"]


def graded(tmp_path: Path) -> list[tuple[Result, Graded]]:
    """Patches of every kind, really graded."""
    one = tiny.instance(tmp_path / "source")
    wrong = tiny.GOLD.replace("- discount", "* discount")
    patches = {
        "gold": tiny.GOLD,
        "wrong": wrong,
        "exits": prepended("import os\nos._exit(0)\n"),
        "patches the runner": prepended(NO_RUN),
        "deletes": tiny.GOLD + deleted("test_till.py", tiny.TESTS),
        "garbage": "not a patch\n",
        "empty": "",
    }
    found = []
    for number, (arm, patch) in enumerate(patches.items()):
        got = grade_patch(one, patch, tmp_path / f"g{number}", pick("auto"))
        row = {"seed": 0, "stratum": "", "tests_visible": True, "patch": patch}
        found.append(
            (
                Result.from_row(
                    {**row, "instance_id": one.instance_id, "arm": arm, "status": got.status},
                    where="test",
                ),
                got,
            )
        )
    return found


@official
def test_a_run_directory_is_graded_alike_from_its_files(tmp_path):
    """Predictions, rows and logs as we write them, through the official reader and report."""
    one = tiny.instance(tmp_path / "rows")
    for result, got in graded(tmp_path):
        unit = tmp_path / "run" / "units" / result.key
        unit.mkdir(parents=True)
        if got.log:
            (unit / LOG).write_text(got.log)
        target = tmp_path / "export" / result.arm
        export([result], [one], tmp_path / "run", target, "r")
        name = model_name(result.arm, 0)
        report = ask("report", str(target), "r", f"predictions/{name}.jsonl")
        assert isinstance(report, dict)
        assert (report["resolved_ids"] == [one.instance_id]) is (got.status == "resolved"), report
        assert report["submitted_instances"] == 1
        assert (report["empty_patch_ids"] == [one.instance_id]) is (not result.patch)
        assert report["error_ids"] == []


def test_what_pytest_itself_prints_says_the_same_as_our_log(tmp_path):
    """The summary of `pytest -rA`, which the official images print, line for line."""
    one = tiny.instance(tmp_path / "source")
    got = grade_patch(one, tiny.GOLD, tmp_path / "g", pick("auto"))
    tree = tiny.tree(tmp_path / "tree")
    (tree / "till.py").write_text(tiny.GOOD)
    shown = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--rootdir", "."],
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip
    printed = {line for line in shown.stdout.splitlines() if line.startswith("PASSED ")}
    assert printed == {line for line in got.log.splitlines() if line.startswith("PASSED ")}
    assert len(printed) == len(tiny.RED) + len(tiny.GREEN)


def test_a_command_that_fails_while_no_test_does_is_not_gradable(tmp_path):
    """Here by unittest, whose run an exit handler ends with 3."""
    one = tiny.instance(tmp_path / "source")
    tests = "import unittest\nfrom till import total\n\n\nclass TestTill(unittest.TestCase):\n"
    tests += "    def test_a(self):\n        self.assertEqual(total([10], 3), 7)\n"
    (Path(one.source_dir) / "test_till.py").write_text(tests)
    one = replace(
        one,
        test_cmd="python -m unittest",
        FAIL_TO_PASS=("test_till.TestTill.test_a",),
        PASS_TO_PASS=(),
    )
    good = grade_patch(one, tiny.GOLD, tmp_path / "a", pick("auto"))
    assert good.status == "resolved", good
    ends = f"{tiny.GOLD}@@ -9 +9,4 @@\n     return value\n+import atexit\n+import os\n+atexit.register(os._exit, 3)\n"  # noqa: E501
    bad = grade_patch(one, ends, tmp_path / "b", pick("auto"))
    assert bad.status == "unresolved", bad
    assert "cannot be run" in bad.reason
    assert asdict(bad)["grade"] is None
