"""`agent refactor` and `agent test`: the same loop with other goals."""

import json
from pathlib import Path
from typing import Any

from agent import config, events
from agent.app import open_app
from agent.types import Goal, Task
from tests.agent.repos import PACKAGE, TESTS, shop, snapshot
from tests.loopback import dialects, serve


def plan(kind: str, goal: str, *files: str) -> str:
    step = {"kind": kind, "goal": goal, "files": list(files), "symbols": []}
    return json.dumps({"summary": "", "steps": [step]})


def block(old: str, new: str, path: str) -> str:
    return f"{path}\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"


def work(root: Path, goal: Goal, text: str, *answers: str) -> tuple[Any, list[events.Event]]:
    with serve([dialects.openai(a) for a in answers]) as onprem:
        flags = {"local_model": "none", "onprem_url": onprem.url, "onprem_model": "coder"}
        app = open_app(config.load(flags, {}, root), root)
        seen = list(app.run(Task(goal=goal, text=text, root=root)))
    assert isinstance(seen[-1], events.RunFinished)
    return seen[-1].outcome, seen


OLD = "    if value < low:\n        return low\n    if value > high:\n        return low\n"
SAME = "    if value < low or value > high:\n        return low\n"


def test_a_refactoring_that_keeps_behaviour_is_verified(tmp_path):
    root = shop(tmp_path / "shop", tests=TESTS)
    found, _ = work(
        root,
        "refactor",
        "Join the two branches of clamp",
        plan("refactor", "join the branches", "shop.py"),
        block(OLD, SAME, "shop.py"),
    )
    assert (found.verdict, found.applied) == ("verified", True)
    assert (root / "shop.py").read_text() == PACKAGE.replace(OLD, SAME)


def test_a_refactoring_that_changes_behaviour_is_not_applied(tmp_path):
    root = shop(tmp_path / "shop", tests=TESTS)
    before = snapshot(root)
    broken = block(OLD, "    return high\n", "shop.py")
    found, seen = work(
        root,
        "refactor",
        "Simplify clamp",
        plan("refactor", "simplify", "shop.py"),
        broken,
        broken,
    )
    assert found.exit_code == 1
    assert not found.applied
    assert any(isinstance(e, events.StepFinished) and e.status == "failed" for e in seen)
    assert snapshot(root) == before


GOOD = "from shop import clamp\n\n\ndef test_low_edge():\n    assert clamp(1, 1, 9) == 1\n\n\n"
GOOD += "def test_far_below():\n    assert clamp(-5, 1, 9) == 1\n"
VACUOUS = "from shop import clamp\n\n\ndef test_nothing():\n    clamp(1, 1, 9)\n    assert True\n"


def test_new_tests_that_notice_breakage_are_verified(tmp_path):
    root = shop(tmp_path / "shop", tests=TESTS)
    found, seen = work(
        root,
        "test",
        "Test the lower bound of clamp",
        plan("test", "test the lower bound", "test_more.py"),
        block("", GOOD, "test_more.py"),
    )
    assert (found.verdict, found.applied) == ("verified", True), found
    assert (root / "test_more.py").read_text() == GOOD
    (tried,) = [e for e in seen if isinstance(e, events.CandidatesTried)]
    assert tried.by == "mutants"
    assert any("deliberate breakages" in line for line in found.evidence)


def test_new_tests_that_cannot_fail_are_refused(tmp_path):
    root = shop(tmp_path / "shop", tests=TESTS)
    before = snapshot(root)
    found, _ = work(
        root,
        "test",
        "Test clamp",
        plan("test", "test clamp", "test_more.py"),
        block("", VACUOUS, "test_more.py"),
    )
    assert found.exit_code == 1
    assert "whatever the code does" in found.reason
    assert snapshot(root) == before
