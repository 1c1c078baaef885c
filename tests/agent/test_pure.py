"""The pure parts of the agent: guards, evidence, planning, conversions between edits."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import changes, context, evidence, guards, planner
from agent.suite import merge
from agent.types import Completion, Plan, Task, Usage
from tools.errors import OutOfScope, UnparseableEdit
from tools.types import Candidate, FileChange, Patch, Suspect, TestCase, TestCommand, TestRun

PYTEST = TestCommand(kind="pytest", argv=("python", "-m", "pytest"), source="test")


def run(status="failed", exit_code=1, **cases):
    """`run(test_a="passed")`: a finished run with these outcomes."""
    return TestRun(
        command=PYTEST,
        cases=tuple(TestCase(id=f"t.py::{n}", outcome=o) for n, o in cases.items()),
        status=status,
        exit_code=exit_code,
        output="",
        duration_s=1.0,
    )


def plan(*files):
    return Plan(summary="", steps=(), files_in_scope=files, acceptance=(), made_by="localiser")


def patch(path):
    return Patch(changes=(FileChange(path=path, before=b"a\n", after=b"b\n"),))


def completion(text):
    return Completion(
        text=text,
        stop_reason="end",
        usage=Usage(),
        model="m",
        provider="p",
        location="frontier",
        duration_s=0.0,
    )


class TestCompare:
    def test_red_to_green(self, tmp_path):
        found = evidence.compare(
            run(a="failed", b="passed"),
            run(status="passed", exit_code=0, a="passed", b="passed"),
            targets=["t.py::a"],
        )
        assert found.ok
        assert found.newly_passing == ("t.py::a",)

    def test_another_test_breaks(self):
        found = evidence.compare(
            run(a="failed", b="passed"), run(a="passed", b="failed"), targets=["t.py::a"]
        )
        assert not found.ok
        assert found.newly_failing == ("t.py::b",)

    def test_a_deleted_test_is_not_a_fix(self):
        found = evidence.compare(
            run(a="failed", b="passed"),
            run(status="passed", exit_code=0, b="passed"),
            targets=["t.py::a"],
        )
        assert not found.ok
        assert "no longer collected" in found.reason

    def test_old_failures_do_not_count(self):
        before = run(a="failed", old="failed")
        found = evidence.compare(before, run(a="passed", old="failed"), targets=["t.py::a"])
        assert found.ok

    def test_infrastructure_is_not_a_result(self):
        found = evidence.compare(run(a="failed"), run(status="infra"), targets=["t.py::a"])
        assert not found.ok
        assert "infra" in found.reason


def test_tests_the_issue_names():
    before = run(test_merge="failed", test_other="failed")
    assert evidence.named(before.failing, "see test_merge", before) == ("t.py::test_merge",)
    assert evidence.named(before.failing, "it is broken", before) == ()


def test_failure_text_is_the_same_on_every_run():
    case = TestCase(
        id="t.py::a", outcome="failed", message="<X at 0x7f12ab34cd56> took 1.234s in /tmp/q/x.py"
    )
    one = TestRun(
        command=PYTEST, cases=(case,), status="failed", exit_code=1, output="", duration_s=1.0
    )
    assert evidence.failure_text(one, ["t.py::a"]) == (
        "t.py::a: failed\n<X at 0x…> took …s in /tmp/…"
    )


def test_scope():
    guards.check_scope(patch("a.py"), plan("a.py"), protected=frozenset())
    with pytest.raises(OutOfScope, match="not in the plan"):
        guards.check_scope(patch("b.py"), plan("a.py"), protected=frozenset())
    with pytest.raises(OutOfScope, match="decides whether"):
        guards.check_scope(patch("conftest.py"), plan("conftest.py"), protected=frozenset())
    with pytest.raises(OutOfScope, match="decides whether"):
        guards.check_scope(patch("t.py"), plan("t.py"), protected=frozenset({"t.py"}))


def test_a_test_task_may_add_tests_but_not_touch_the_evidence():
    files = ["tests/test_a.py", "a.py"]
    assert "tests/test_a.py" in guards.protects("fix", [], files)
    assert guards.protects("test", [], files) == frozenset()
    assert guards.protects("test", ["tests/test_a.py::x"], files) == {"tests/test_a.py"}


def test_repeats():
    assert not guards.repeats(["a", "a"])
    assert guards.repeats(["a", "b", "a", "a"])


class TestPlanner:
    task = Task(goal="fix", text="\n  It breaks\nbadly", root=".")

    def test_localiser_plan(self):
        suspects = [
            Suspect(path="a.py", line=3, symbol="f", score=1.0),
            Suspect(path="b.py", line=9, symbol="g", score=0.5),
        ]
        found = planner.localiser_plan(self.task, suspects, ["t.py::x"])
        assert found.steps[0].goal == "It breaks. Most suspicious: f in a.py"
        assert found.files_in_scope == ("a.py", "b.py")
        assert found.acceptance == ("t.py::x",)

    def test_a_plan_in_a_fence(self):
        step = {"kind": "edit", "goal": "g", "files": ["./a.py", "/etc/passwd"], "symbols": []}
        text = f"Here:\n```json\n{json.dumps({'summary': 's', 'steps': [step]})}\n```"
        found = planner.parse_plan(completion(text), task=self.task, known=["a.py"], acceptance=())
        assert found.files_in_scope == ("a.py",)
        assert found.made_by == "p/m"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("no idea", "not JSON"),
            ('{"summary": "s"}', "non-empty list"),
            ('{"steps": [{"kind": "delete"}]}', "needs a"),
            ('{"steps": [{"kind": "edit", "goal": "g", "files": ["zz.py"]}]}', "No file"),
        ],
    )
    def test_errors_are_for_the_model(self, text, said):
        with pytest.raises(UnparseableEdit, match=said):
            planner.parse_plan(completion(text), task=self.task, known=["a.py"], acceptance=())


LINES = st.lists(st.text("ab ", max_size=3), min_size=1, max_size=6)


@given(LINES, LINES)
def test_a_patch_and_its_candidate_do_the_same(old, new):
    before = "".join(f"{line}\n" for line in old).encode()
    after = "".join(f"{line}\n" for line in new).encode()
    whole = Patch(changes=(FileChange(path="a.py", before=before, after=after),))
    candidate = changes.as_candidate(whole, operator="x", tier=0, suspicion=0.0)
    assert candidate is not None
    assert changes.as_patch(candidate, before).changes[0].after == after


def test_inverse_takes_back():
    one = patch("a.py")
    assert changes.inverse(changes.inverse(one)) == one
    assert changes.inverse(one).changes[0].after == b"a\n"


def test_a_candidate_keeps_the_files_line_ends():
    candidate = Candidate(
        path="a.py", line=2, end_line=2, before="b\n", after="c\n", operator="x", tier=0
    )
    assert changes.as_patch(candidate, b"a\r\nb\r\n").changes[0].after == b"a\r\nc\r\n"
    assert changes.as_patch(candidate, b"a\nb").changes[0].after == b"a\nc"


def test_merge_takes_the_worst_status():
    merged = merge([run(status="passed", exit_code=0, a="passed"), run(b="failed")])
    assert (merged.status, merged.exit_code, merged.duration_s) == ("failed", 1, 2.0)
    assert [c.id for c in merged.cases] == ["t.py::a", "t.py::b"]


def test_clip_marks_the_cut():
    text = context.clip("x" * 1000, 100)
    assert "900 characters left out" in text
    assert context.clip("short", 100) == "short"


@given(st.lists(st.sampled_from(["open", "onprem_ok", "local_only"]), max_size=4))
def test_the_strictest_label_wins(labels):
    found = context.strictest(*labels)
    assert found == (
        "local_only" if "local_only" in labels else "onprem_ok" if "onprem_ok" in labels else "open"
    )
