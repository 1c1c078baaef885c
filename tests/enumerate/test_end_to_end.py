"""Issue to plausible repair with the tools themselves: runner, workspace, suspects, candidates."""

import sys
from pathlib import Path

from tools.enumerate import apply, candidates
from tools.localize import localize
from tools.quicktry import ForkServer
from tools.sandbox.direct import DirectExecution
from tools.testrun.runner import TestRunner
from tools.types import TestCommand
from tools.validate import Space, collect, validate
from tools.workspace import Workspace

COMMAND = TestCommand(kind="pytest", argv=(sys.executable, "-m", "pytest"), source="--test")
SOURCE = '''\
def runs(values):
    """Lengths of runs of equal values."""
    found = []
    count = 0
    for index, value in enumerate(values):
        count += 1
        if index == len(values) or values[index + 1] != value:
            found.append(count)
            count = 0
    return found


def longest(values):
    return max(runs(values), default=0)
'''
TESTS = """\
from seq.runs import longest, runs


def test_runs():
    assert runs("aabccc") == [2, 1, 3]


def test_one():
    assert runs("a") == [1]


def test_empty():
    assert longest("") == 0
"""


def test_from_a_red_suite_to_the_repair(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    (root / "src" / "seq").mkdir(parents=True)
    (root / "src" / "seq" / "__init__.py").touch()
    (root / "src" / "seq" / "runs.py").write_text(SOURCE)
    (root / "test_runs.py").write_text(TESTS)
    files = ("src/seq/__init__.py", "src/seq/runs.py", "test_runs.py")
    sandbox, python = DirectExecution(), Path(sys.executable)
    first = Workspace.create(root, files, tmp_path / "w0")
    second = first.clone(tmp_path / "w1")

    def runner(space: Space) -> TestRunner:
        return TestRunner(
            sandbox=sandbox,
            root=space.root,
            command=COMMAND,
            interpreter=python,
            original_root=root,
        )

    before, coverage = runner(first).coverage()
    assert set(before.failing) == {"test_runs.py::test_runs", "test_runs.py::test_one"}
    suspects = localize(
        run=before, coverage=coverage, hits=(), read=first.read, files=files, issue=""
    )
    assert suspects[0].line == 7
    path = suspects[0].path
    found = candidates(SOURCE.encode(), path, suspects, limit=60)
    result = collect(
        validate(
            found,
            make_workspace=lambda n: (first, second)[n],
            runner_for=runner,
            failing=before.failing,
            before=before,
            deadline_s=60,
            max_runs=60,
            quick=ForkServer(sandbox=sandbox, interpreter=python, command=COMMAND),
        )
    )
    assert result.server == "forked"
    repaired = [apply(SOURCE.encode(), c).decode() for c in result.plausible]
    assert any("index == len(values) - 1 or" in text for text in repaired)
    assert (root / "src" / "seq" / "runs.py").read_text() == SOURCE
    assert first.read(path) == SOURCE.encode()
    assert second.read(path) == SOURCE.encode()
