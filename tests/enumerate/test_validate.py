"""Candidates meet real tests in real processes: forked, plain, hanging, crashing."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools.enumerate import apply, candidates
from tools.quicktry import ForkServer
from tools.rivals import group
from tools.sandbox.direct import DirectExecution
from tools.types import Candidate, Suspect, TestCase, TestCommand, TestRun
from tools.validate import Validation, collect, no_worse, validate

COMMAND = TestCommand(kind="pytest", argv=(sys.executable, "-m", "pytest"), source="--test")

STATS = """\
def mean(values):
    total = 0
    for value in values:
        total += value
    return total / (len(values) - 1)


def spread(values):
    return max(values) - min(values)
"""
TESTS = """\
from stats import mean, spread


def test_mean():
    assert mean([1, 2, 3, 6]) == 3


def test_mean_of_two():
    assert mean([1, 2]) == 1.5


def test_spread():
    assert spread([4, 1, 9]) == 8
"""
MakeLab = Callable[[dict[str, str]], Any]


def suspects(path: str, *lines: int) -> tuple[Suspect, ...]:
    return tuple(
        Suspect(path=path, line=n, symbol=None, score=1 - i / 10) for i, n in enumerate(lines)
    )


def server(command: TestCommand = COMMAND) -> ForkServer:
    return ForkServer(sandbox=DirectExecution(), interpreter=Path(sys.executable), command=command)


def search(
    lab: Any,
    path: str,
    lines: tuple[int, ...],
    failing: tuple[str, ...],
    quick: ForkServer | None,
    **limits: Any,
) -> Validation:
    source = (lab.root / path).read_bytes()
    found = candidates(source, path, suspects(path, *lines), limit=limits.pop("limit", 400))
    return collect(
        validate(
            limits.pop("given", found),
            make_workspace=lab.space,
            runner_for=lab.runner,
            failing=failing,
            before=lab.before(),
            deadline_s=limits.pop("deadline_s", 40),
            max_runs=limits.pop("max_runs", 400),
            quick=quick,
            **limits,
        )
    )


def test_finds_the_repair_and_leaves_the_repository_alone(lab: MakeLab) -> None:
    made = lab({"stats.py": STATS, "test_stats.py": TESTS})
    result = search(
        made,
        "stats.py",
        (5,),
        ("test_stats.py::test_mean", "test_stats.py::test_mean_of_two"),
        server(),
        limit=16,
    )
    fixed = [apply(STATS.encode(), c).decode() for c in result.plausible]
    assert any("return total / len(values)\n" in f or "/ (len(values))" in f for f in fixed)
    assert result.server == "forked"
    assert (made.root / "stats.py").read_text() == STATS
    assert len(result.runs) == len(result.plausible)
    assert all(run.status == "passed" for run in result.runs)


def test_sole_only_after_everything_near_was_tried(lab: MakeLab) -> None:
    made = lab({"stats.py": STATS, "test_stats.py": TESTS})
    failing = ("test_stats.py::test_mean", "test_stats.py::test_mean_of_two")
    whole = search(made, "stats.py", (5,), failing, server(), limit=24)
    assert len(whole.rivals) >= 1
    assert whole.tried == whole.generated or whole.stopped_by in ("sole", "rivals")
    cut = search(made, "stats.py", (5,), failing, server(), max_runs=8)
    assert not cut.sole


def test_weak_tests_leave_rivals_and_say_so(lab: MakeLab) -> None:
    source = "def area(a, b):\n    return a + b\n"
    tests = "from shape import area\n\ndef test_area():\n    assert area(1, 3) == 3\n"
    made = lab({"shape.py": source, "test_shape.py": tests})
    result = search(made, "shape.py", (2,), ("test_shape.py::test_area",), server(), limit=24)
    assert len(result.rivals) >= 2
    assert not result.sole
    assert result.stopped_by == "rivals"
    assert any("a * b" in c.after for c in result.plausible)


def test_a_candidate_that_breaks_another_test_is_not_plausible(lab: MakeLab) -> None:
    source = "def clip(x, top):\n    if x < top:\n        return top\n    return x\n"
    tests = (
        "from clip import clip\n\ndef test_low():\n    assert clip(1, 5) == 1\n\n"
        "def test_high():\n    assert clip(9, 5) == 5\n\n"
        "def test_same():\n    assert clip(5, 5) == 5\n"
    )
    made = lab({"clip.py": source, "test_clip.py": tests})
    result = search(made, "clip.py", (2, 3), ("test_clip.py::test_low",), server(), limit=16)
    assert result.tried > 5
    for candidate in result.plausible:
        names: dict[str, Any] = {}
        exec(apply(source.encode(), candidate), names)
        assert names["clip"](5, 5) == 5


def test_the_plain_runner_and_the_server_agree(lab: MakeLab) -> None:
    source = "def double(x):\n    return x + 2\n"
    tests = "from twice import double\n\ndef test_it():\n    assert double(5) == 10\n"
    made = lab({"twice.py": source, "test_twice.py": tests})
    given = list(candidates(source.encode(), "twice.py", suspects("twice.py", 2), limit=6))
    ids = ("test_twice.py::test_it",)
    slow = search(made, "twice.py", (2,), ids, None, given=given)
    fast = search(made, "twice.py", (2,), ids, server(), given=given)
    assert slow.plausible == fast.plausible
    assert slow.server.startswith("plain")
    assert fast.server == "forked"


def test_hanging_and_crashing_candidates_do_not_stop_the_search(lab: MakeLab) -> None:
    source = "def down(n):\n    while n > 0:\n        n -= 1\n    return n + 1\n"
    tests = "from down import down\n\ndef test_it():\n    assert down(3) == 0\n"
    made = lab({"down.py": source, "test_down.py": tests})

    def edit(line: int, before: str, after: str) -> Candidate:
        return Candidate(
            path="down.py",
            line=line,
            end_line=line,
            before=before,
            after=after,
            operator="test",
            tier=0,
        )

    given = [
        edit(3, "        n -= 1\n", "        n -= 0\n"),
        edit(3, "        n -= 1\n", "        import os; os.abort()\n"),
        edit(3, "        n -= 1\n", "        import os; os._exit(0)\n"),
        edit(3, "not what is there\n", "        pass\n"),
        edit(4, "    return n + 1\n", "    return n\n"),
    ]
    result = search(
        made,
        "down.py",
        (),
        ("test_down.py::test_it",),
        server(),
        given=given,
        per_test_timeout_s=2.0,
    )
    assert [c.after for c in result.plausible] == ["    return n\n"]
    assert result.tried == 5


def test_same_size_edits_are_not_confused_by_bytecode(lab: MakeLab) -> None:
    """Bytecode of the original lies in the copy; candidates have its size and nearly its time."""
    made = lab({"m.py": "X = 1\n", "test_m.py": "import m\n\ndef test_x():\n    assert m.X == 7\n"})
    made.before()
    given = [
        Candidate(
            path="m.py",
            line=1,
            end_line=1,
            before="X = 1\n",
            after=f"X = {n}\n",
            operator="t",
            tier=0,
        )
        for n in (2, 3, 7, 8)
    ]
    result = search(made, "m.py", (), ("test_m.py::test_x",), server(), given=given, workers=1)
    assert [c.after for c in result.plausible] == ["X = 7\n"]


def test_falls_back_when_the_server_cannot_reproduce(lab: MakeLab) -> None:
    """What is green in a fork although it is red when run plainly must not be tried there."""
    text = "import sys, m\n\ndef test_x():\n    assert m.X == 2 or sys.argv[0] == 'pytest'\n"
    made = lab({"m.py": "X = 1\n", "test_m.py": text})
    given = [
        Candidate(
            path="m.py", line=1, end_line=1, before="X = 1\n", after="X = 2\n", operator="t", tier=0
        )
    ]
    result = search(made, "m.py", (), ("test_m.py::test_x",), server(), given=given)
    assert result.server.startswith("plain: the failing tests are green")
    assert [c.after for c in result.plausible] == ["X = 2\n"]


def test_falls_back_when_pytest_does_not_take_the_options(lab: MakeLab) -> None:
    made = lab({"m.py": "X = 1\n", "test_m.py": "import m\ndef test_x():\n    assert m.X == 2\n"})
    wrong = TestCommand(kind="pytest", argv=(*COMMAND.argv, "--no-such-option"), source="t")
    result = server(wrong).run(
        made.root, [("m.py", b"X = 2\n")], ["test_m.py::test_x"], timeout_s=5, wall_s=20
    )
    assert result.outcomes == ()
    assert "crash" in result.why


def test_unittest_is_forked_too(lab: MakeLab) -> None:
    made = lab(
        {
            "m.py": "X = 1\n",
            "test_m.py": "import unittest, m\n\nclass T(unittest.TestCase):\n"
            "    def test_x(self):\n        self.assertEqual(m.X, 2)\n",
        }
    )
    command = TestCommand(
        kind="unittest", argv=(sys.executable, "-m", "unittest", "discover"), source="--test"
    )
    result = server(command).run(
        made.root,
        [("m.py", b"X = 3\n"), ("m.py", b"X = 2\n")],
        ["test_m.T.test_x"],
        timeout_s=5,
        wall_s=20,
    )
    assert result.outcomes == ("red", "green")
    assert (made.root / "m.py").read_text() == "X = 1\n"


def test_at_least_ten_candidates_a_second(lab: MakeLab) -> None:
    made = lab({"stats.py": STATS, "test_stats.py": TESTS})
    data = STATS.encode()
    found = list(candidates(data, "stats.py", suspects("stats.py", 5, 4, 3, 2), limit=40))
    jobs = [("stats.py", apply(data, c)) for c in found]
    result = server().run(made.root, jobs, ["test_stats.py::test_mean"], timeout_s=5, wall_s=30)
    assert len(result.outcomes) == 40
    # The machine may be busy: compare with what one start of pytest costs here, now.
    assert result.baseline_s < made.before().duration_s


def test_limits(lab: MakeLab) -> None:
    made = lab({"stats.py": STATS, "test_stats.py": TESTS})
    ids = ("test_stats.py::test_mean",)
    counted = search(made, "stats.py", (5,), ids, server(), max_runs=3)
    assert counted.tried <= 3
    assert counted.stopped_by == "max_runs"
    late = search(made, "stats.py", (5,), ids, server(), deadline_s=0.0)
    assert late.stopped_by == "deadline"
    none = search(made, "stats.py", (5,), ids, server(), given=[])
    assert (none.tried, none.stopped_by, none.sole) == (0, "exhausted", False)
    nothing_red = search(made, "stats.py", (5,), (), server())
    assert nothing_red.tried == 0


@dataclass
class Outcomes:
    """Short spelling of a run."""

    text: str

    def run(self) -> TestRun:
        words: dict[str, Any] = {"P": "passed", "F": "failed", "S": "skipped"}
        cases = tuple(TestCase(id=x[0], outcome=words[x[1]]) for x in self.text.split())
        status: Any = "failed" if "F" in self.text else "passed"
        return TestRun(
            command=COMMAND, cases=cases, status=status, exit_code=0, output="", duration_s=0.1
        )


@pytest.mark.parametrize(
    ("before", "after", "good"),
    [
        ("aF bP", "aP bP", True),
        ("aF bP cF", "aP bP cF", True),
        ("aF bP", "aP bF", False),
        ("aF bP", "aP", False),
        ("aF bP", "aP bS", True),
        ("aF bP", "aS bP", False),
        ("aF bP", "aP bP dF", False),
        ("aF bP", "aF bP", False),
        ("aF bP cF", "aP bP", True),
    ],
)
def test_no_worse(before: str, after: str, good: bool) -> None:
    assert no_worse(Outcomes(before).run(), Outcomes(after).run(), ["a"]) is good


def test_comparisons_that_no_whole_number_tells_apart_are_synonyms() -> None:
    source = b"def f(a, b):\n    return a > b\n"

    def variant(after: str, operator: str = "bound-step") -> Candidate:
        return Candidate(
            path="m.py", line=2, end_line=2, before="    return a > b\n",
            after=f"    return {after}\n", operator=operator, tier=0,
        )  # fmt: skip

    same = [variant("a + 1 > b"), variant("a > b - 1"), variant("a >= b", "comparison")]
    other = variant("a > b - 2")
    groups = group([*same, other], lambda _: source)
    assert [len(g) for g in groups] == [3, 1]
    assert groups[0][0] == same[2]
    constants = [variant("a > 59"), variant("a + 1 > 60"), variant("a >= 60", "comparison")]
    assert len(group(constants, lambda _: source)) == 1
    assert (
        len(group([variant("59 < a"), variant("60 <= a"), variant("a > 60")], lambda _: source))
        == 2
    )
