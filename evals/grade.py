"""Grading, pure: statuses of tests in, resolved or not out. SWE-bench's semantics.

- A test of FAIL_TO_PASS passes on PASSED or XFAIL only; missing or skipped is a failure.
- A test of PASS_TO_PASS may also be SKIPPED.
- Resolved: all of both pass.
- Ids of rows may be cut at the first blank, as the official log parser cuts them.
- An unexpected pass (XPASS) is a status the official parser does not read: as good as missing.

`evals/harness.py` writes what the official package needs to come to the same grades.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from tools.types import TestCase

__all__ = [
    "CONFIG_FILES",
    "Grade",
    "cut_ids",
    "grade",
    "is_test_file",
    "prediction_row",
    "shadows_runner",
    "statuses",
]

STATUS = {
    "passed": "PASSED",
    "xpassed": "XPASS",
    "xfailed": "XFAIL",
    "skipped": "SKIPPED",
    "failed": "FAILED",
    "error": "ERROR",
    "timeout": "FAILED",
}
WORST = ("ERROR", "FAILED", "XPASS", "SKIPPED", "XFAIL", "PASSED")
FIXED = ("PASSED", "XFAIL")
KEPT = ("PASSED", "XFAIL", "SKIPPED")

CONFIG_FILES = frozenset(
    "pytest.ini .pytest.ini pytest.toml .pytest.toml tox.ini setup.cfg pyproject.toml noxfile.py "
    "sitecustomize.py usercustomize.py entry_points.txt .coveragerc".split()
)
"""They decide how tests are run, or run before them."""
SHADOWED = frozenset("pytest _pytest pluggy iniconfig unittest coverage".split())
"""Modules of a test runner."""
INSTALLED = (".egg-info", ".dist-info")
"""Where a distribution's entry points are declared: pytest loads plugins by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """Ids by list and by whether they did what they should."""

    fail_to_pass: tuple[str, ...]
    fail_to_pass_failed: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    pass_to_pass_failed: tuple[str, ...]

    @property
    def resolved(self) -> bool:
        return not self.fail_to_pass_failed and not self.pass_to_pass_failed


def statuses(cases: Iterable[TestCase]) -> dict[str, str]:
    """Official status words by test id."""
    return {case.id: STATUS[case.outcome] for case in cases}


def grade(
    fail_to_pass: Iterable[str], pass_to_pass: Iterable[str], found: Mapping[str, str]
) -> Grade:
    """Sort the ids of both lists by what was found for them."""
    cut = cut_ids(found)

    def status(test_id: str) -> str:
        return found.get(test_id) or cut.get(test_id, "MISSING")

    first, second = tuple(fail_to_pass), tuple(pass_to_pass)
    return Grade(
        fail_to_pass=tuple(t for t in first if status(t) in FIXED),
        fail_to_pass_failed=tuple(t for t in first if status(t) not in FIXED),
        pass_to_pass=tuple(t for t in second if status(t) in KEPT),
        pass_to_pass_failed=tuple(t for t in second if status(t) not in KEPT),
    )


def cut_ids(found: Mapping[str, str]) -> dict[str, str]:
    """By id up to the first blank; where several share one, the worst counts."""
    cut: dict[str, str] = {}
    for test_id, word in found.items():
        short = test_id.split(" ", 1)[0]
        if short not in cut or WORST.index(word) < WORST.index(cut[short]):
            cut[short] = word
    return cut


def is_test_file(path: str, named: Iterable[str] = ()) -> bool:
    """Whether a patch's change to this file is left out before grading."""
    pure = PurePosixPath(path)
    name = pure.name
    if path in set(named) or name in CONFIG_FILES or name == "conftest.py":
        return True
    if name.endswith(".pth") or any(part in ("tests", "test", "testing") for part in pure.parts):
        return True
    if any(part.endswith(INSTALLED) for part in pure.parts):
        return True
    stem = pure.stem
    return pure.suffix == ".py" and (
        stem.startswith("test_") or stem.endswith("_test") or stem in ("test", "tests")
    )


def shadows_runner(path: str) -> bool:
    """Whether a new file there would be imported in place of a test runner's module."""
    return any(part.partition(".")[0] in SHADOWED for part in PurePosixPath(path).parts[:2])


def prediction_row(instance_id: str, model: str, patch: str) -> str:
    """One line of a predictions file, as the official harness reads it."""
    row = {"instance_id": instance_id, "model_name_or_path": model, "model_patch": patch}
    return json.dumps(row, ensure_ascii=True) + "\n"
