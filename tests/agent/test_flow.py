"""The whole loop over real parts: git, sandbox, pytest, SQLite, and model servers on loopback.

Golden files hold the prompts and the trajectory: a change to either is a change to review.
"""

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent import config, events
from agent.app import App, open_app
from agent.types import Task
from tests.agent.repos import FIXED, PACKAGE, TESTS, shop, snapshot
from tests.loopback import dialects, faults, serve

GOLDEN = Path(__file__).parent / "golden"
PLAN = json.dumps(
    {
        "summary": "clamp returns the wrong bound",
        "steps": [
            {
                "kind": "edit",
                "goal": "return high when value is above high",
                "files": ["shop.py"],
                "symbols": ["clamp"],
            }
        ],
    }
)


def block(old: str, new: str, path: str = "shop.py") -> str:
    return f"{path}\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"


NO_MATCH = block("    while total > limit:\n        total -= step", "    return high")
OLD = "    if value > high:\n        return low"
WRONG = block(OLD, OLD.replace("return low", "return value"))
RIGHT = block(OLD, OLD.replace("return low", "return high"))


def app(root: Path, **flags: Any) -> App:
    chosen = {"local_model": "none", "zero_token": False, **flags}
    return open_app(config.load(chosen, {}, root), root)


def fix(app: App, text: str = "clamp(12, 1, 9) gives 1", **options: Any) -> list[events.Event]:
    return list(app.run(Task(goal="fix", text=text, root=app.start, **options)))


def outcome(seen: Sequence[events.Event]) -> Any:
    assert isinstance(seen[-1], events.RunFinished)
    return seen[-1].outcome


def of(seen: Sequence[events.Event], kind: type) -> list[Any]:
    return [e for e in seen if isinstance(e, kind)]


def golden(name: str, text: str) -> None:
    """Compare with a stored text; UPDATE_GOLDEN=1 stores it anew."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


def test_plan_edit_repair_escalate(tmp_path):
    """The frontier plans, the endpoint fails twice, the frontier edits. Each attempt is a row."""
    root = shop(tmp_path / "shop")
    with (
        serve([dialects.anthropic(PLAN), dialects.anthropic(RIGHT)]) as frontier,
        serve([dialects.openai(NO_MATCH), dialects.openai(WRONG)]) as onprem,
    ):
        one = app(
            root,
            anthropic_api_key="sk-ant-test",
            anthropic_base_url=frontier.url,
            onprem_url=onprem.url,
            onprem_model="coder",
        )
        seen = fix(one)
    assert outcome(seen).verdict == "verified", outcome(seen)
    assert outcome(seen).exit_code == 0
    assert (root / "shop.py").read_text() == FIXED
    assert [e.route.location for e in of(seen, events.Routed)] == [
        "frontier",
        "onprem",
        "onprem",
        "frontier",
    ]
    assert len(of(seen, events.Escalated)) == 1
    assert [e.error for e in of(seen, events.EditRefused)] == ["NoMatch"]
    rows = one.ledger.rows(run_id=of(seen, events.RunStarted)[0].run_id)
    assert len(rows) == len(frontier.received) + len(onprem.received) == 4
    assert {r.state for r in rows} == {"settled"}
    prompts = [r.body["messages"] for r in (*frontier.received, *onprem.received)]
    golden("prompts.json", json.dumps(prompts, indent=1, ensure_ascii=False) + "\n")
    golden("trajectory.txt", story(seen))


def story(seen: Sequence[events.Event]) -> str:
    """A trajectory without what differs from run to run."""
    lines = []
    for event in seen:
        name = type(event).__name__
        if name in ("TextDelta", "Progress", "Spent", "CompletionRecorded", "RunStarted"):
            continue
        if isinstance(event, events.TestsFinished):
            event = dataclasses.replace(event, tail="…" if event.tail else "")
        shown = re.sub(r"(duration_s|seconds|model_s|test_s)=[\d.e-]+", r"\1=…", repr(event))
        shown = re.sub(r"\d{8}-\d{6}-[0-9a-f]{6}", "RUN", shown)
        shown = re.sub(r"(interpreter|argv)=('[^']*'|\([^)]*\))", r"\1=…", shown)
        lines.append(re.sub(r"/[\w./-]+/RUN", "…/RUN", shown))
    return "\n".join(lines) + "\n"


def test_undo_gives_back_every_byte(tmp_path):
    root = shop(tmp_path / "shop")
    before = snapshot(root)
    with serve([dialects.openai(PLAN), dialects.openai(RIGHT)]) as onprem:
        one = app(root, onprem_url=onprem.url, onprem_model="coder")
        assert outcome(fix(one)).applied
    assert snapshot(root) != before
    one.journal.undo(root)
    assert snapshot(root) == before


def test_faults_cost_a_row_each_and_change_nothing(tmp_path):
    """429, 529 and a cut stream before the answer: four attempts, four rows."""
    root = shop(tmp_path / "shop")
    plan = dialects.anthropic(PLAN)
    script = [
        faults.rate_limited("0"),
        faults.overloaded(),
        faults.cut(plan, 3),
        plan,
        dialects.anthropic(RIGHT),
    ]
    with serve(script) as frontier:
        one = app(root, anthropic_api_key="sk-ant-test", anthropic_base_url=frontier.url)
        seen = fix(one)
    run_id = of(seen, events.RunStarted)[0].run_id
    rows = one.ledger.rows(run_id=run_id)
    assert len(rows) == len(frontier.received)
    assert {r.state for r in rows} <= {"settled", "released", "unknown"}
    assert outcome(seen).verdict in ("verified", "not_solved", "unverified")


def test_a_provider_that_is_down_is_left_out_and_said_so(tmp_path):
    root = shop(tmp_path / "shop")
    with serve([dialects.openai(PLAN), dialects.openai(RIGHT)]) as onprem:
        one = app(
            root,
            anthropic_api_key="sk-ant-test",
            anthropic_base_url="http://127.0.0.1:9",
            onprem_url=onprem.url,
            onprem_model="coder",
        )
        seen = fix(one)
    assert outcome(seen).verdict == "verified"
    assert any("left out of this run" in n.message for n in of(seen, events.Notice))


def test_replay_spends_nothing_and_tells_the_same_story(tmp_path):
    root = shop(tmp_path / "shop")
    with serve([dialects.openai(PLAN), dialects.openai(RIGHT)]) as onprem:
        one = app(root, onprem_url=onprem.url, onprem_model="coder")
        first = fix(one)
        run = one.runs()[0]
        one.journal.undo(root)
        task = Task(goal="fix", text="clamp(12, 1, 9) gives 1", root=root)
        again = list(app(root).run(task, replay=run.path))
    assert len(onprem.received) == 2
    assert outcome(again).verdict == outcome(first).verdict == "verified"
    assert outcome(again).diff == outcome(first).diff
    assert not of(again, events.RequestStarted)


def test_a_run_killed_after_the_plan_resumes_without_paying_for_it_again(tmp_path):
    root = shop(tmp_path / "shop")
    with serve([dialects.openai(PLAN), dialects.openai(RIGHT)]) as onprem:
        one = app(root, onprem_url=onprem.url, onprem_model="coder")
        running = one.run(Task(goal="fix", text="clamp(12, 1, 9) gives 1", root=root))
        for event in running:
            if isinstance(event, events.PlanReady):
                break
        running.close()  # as a crash would: no last event is written
        (run,) = one.runs()
        assert run.finished is None
        seen = list(one.resume(run.run_id))
    assert outcome(seen).verdict == "verified"
    assert len(onprem.received) == 2


def test_an_edit_of_the_tests_is_refused(tmp_path):
    root = shop(tmp_path / "shop")
    before = snapshot(root)
    cheat = block("    assert clamp(10, 1, 9) == 9", "    assert True", "test_shop.py")
    with serve([dialects.openai(PLAN), dialects.openai(cheat), dialects.openai(cheat)]) as onprem:
        seen = fix(app(root, onprem_url=onprem.url, onprem_model="coder"))
    assert {e.error for e in of(seen, events.EditRefused)} == {"OutOfScope"}
    assert outcome(seen).exit_code == 1
    assert snapshot(root) == before


def test_a_green_repository_and_prose_end_unverified(tmp_path):
    """Nothing reproduces: the patch is offered with the next command, never applied."""
    root = shop(tmp_path / "shop", tests=TESTS)
    before = snapshot(root)
    script = [dialects.openai(t) for t in ("I cannot.", "Really not.", PLAN, RIGHT)]
    with serve(script) as m:
        seen = fix(app(root, onprem_url=m.url, onprem_model="coder"), "Upper bounds misbehave.")
    found = outcome(seen)
    assert (found.verdict, found.exit_code, found.applied) == ("unverified", 1, False)
    assert found.next_command.startswith("git apply ")
    assert "return high" in found.diff
    assert snapshot(root) == before


def test_the_issue_becomes_a_red_test(tmp_path):
    root = shop(tmp_path / "shop", tests=TESTS)
    code = "from shop import clamp\nassert clamp(12, 1, 9) == 9"
    issue = f"Too large values\n\n```python\n{code}\n```\n"
    with serve([dialects.openai(PLAN), dialects.openai(RIGHT)]) as onprem:
        seen = fix(app(root, onprem_url=onprem.url, onprem_model="coder"), issue)
    (shown,) = of(seen, events.Reproduced)
    assert shown.kind == "built"
    assert outcome(seen).verdict == "verified"
    assert sorted(p.name for p in root.iterdir() if p.name != ".git") == [
        "pyproject.toml",
        "shop.py",
        "test_shop.py",
    ]


def test_the_zero_token_stage_needs_no_model(tmp_path):
    root = shop(tmp_path / "shop")
    seen = fix(app(root, zero_token=True))
    assert outcome(seen).verdict == "verified"
    assert (root / "shop.py").read_text() == FIXED
    assert not of(seen, events.RequestStarted)


def test_with_nothing_that_can_edit_it_says_what_to_add(tmp_path):
    root = shop(tmp_path / "shop")
    seen = fix(app(root))
    assert outcome(seen).exit_code == 1
    assert outcome(seen).next_command == "agent models fit"
    assert (root / "shop.py").read_text() == PACKAGE


def test_a_file_changed_meanwhile_is_kept(tmp_path):
    root = shop(tmp_path / "shop")
    mine = PACKAGE + "\n# mine\n"
    with serve([dialects.openai(PLAN), dialects.openai(RIGHT)]) as onprem:
        seen: list[events.Event] = []
        for event in app(root, onprem_url=onprem.url, onprem_model="coder").run(
            Task(goal="fix", text="clamp(12, 1, 9) gives 1", root=root)
        ):
            seen.append(event)
            if isinstance(event, events.EditProposed):
                (root / "shop.py").write_text(mine)
    assert outcome(seen).exit_code == 1
    assert (root / "shop.py").read_text() == mine
    assert "return high" in outcome(seen).diff


def test_uncommitted_work_is_part_of_the_base_and_survives(tmp_path):
    root = shop(tmp_path / "shop")
    (root / "shop.py").write_text(PACKAGE + "\nRATE = 3  # not committed\n")
    (root / "notes.txt").write_bytes(b"\xff\xfe mine\r\n")
    with serve([dialects.openai(PLAN), dialects.openai(RIGHT)]) as onprem:
        seen = fix(app(root, onprem_url=onprem.url, onprem_model="coder"))
    assert outcome(seen).verdict == "verified"
    assert (root / "shop.py").read_text() == FIXED + "\nRATE = 3  # not committed\n"
    assert (root / "notes.txt").read_bytes() == b"\xff\xfe mine\r\n"


@pytest.mark.parametrize("phase", ["test", "localize", "plan", "edit", "verify"])
def test_interrupted_anywhere_the_tree_is_as_found(tmp_path, phase):
    root = shop(tmp_path / "shop")
    before = snapshot(root)

    class Stop:
        now = False

        def is_set(self) -> bool:
            return self.now

    stop = Stop()
    with serve([dialects.openai(PLAN), dialects.openai(RIGHT)]) as onprem:
        flags = {"local_model": "none", "zero_token": False, "onprem_url": onprem.url}
        flags["onprem_model"] = "coder"
        one = open_app(config.load(flags, {}, root), root, cancel=stop)
        seen = []
        for event in one.run(Task(goal="fix", text="clamp(12, 1, 9) gives 1", root=root)):
            seen.append(event)
            stop.now = stop.now or (isinstance(event, events.Phase) and event.name == phase)
    assert outcome(seen).exit_code == 130
    assert outcome(seen).next_command == f"agent resume {seen[0].run_id}"
    assert snapshot(root) == before


def test_options_of_a_plugin_that_is_not_installed_are_left_out(tmp_path):
    root = shop(tmp_path / "shop", tests=TESTS)
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "--cov-xyz=shop"\n')
    issue = "Too large\n\n```python\nfrom shop import clamp\nassert clamp(12, 1, 9) == 9\n```\n"
    with serve([dialects.openai(PLAN), dialects.openai(RIGHT)]) as onprem:
        seen = fix(app(root, onprem_url=onprem.url, onprem_model="coder"), issue)
    assert outcome(seen).verdict == "verified"
    assert [e.passed for e in of(seen, events.TestsFinished) if e.purpose == "verify"] == [4]
    assert any("left out" in n.message for n in of(seen, events.Notice))


LACKING = """
import locale
import pytest

@pytest.fixture
def german():
    locale.setlocale(locale.LC_ALL, "xx_NOWHERE.UTF-8")

@pytest.mark.parametrize("limit", [1, "values"])
def test_prices(german, limit): ...
"""


def test_what_this_machine_lacks_is_no_bug(tmp_path):
    """Tests that never began are no targets, although one even holds a word of the issue."""
    root = shop(tmp_path / "shop")
    (root / "test_locale.py").write_text(LACKING)
    (root / "test_mocked.py").write_text("import nowhere_mock\n\ndef test_values(): ...\n")
    seen = fix(app(root), "values above the limit come out wrong")
    assert [(e.kind, e.failing) for e in of(seen, events.Reproduced)] == [
        ("existing", ("test_shop.py::test_above",))
    ]
    (aside,) = [n for n in of(seen, events.Notice) if "left aside" in n.message]
    assert "3 tests" in aside.message
    assert "locale" in aside.message
    assert "nowhere_mock" in aside.message


def test_a_module_of_the_repository_that_cannot_be_imported_is_a_bug(tmp_path):
    root = shop(tmp_path / "shop")
    (root / "test_more.py").write_text("from shop.extra import more\n\ndef test_more(): ...\n")
    seen = fix(app(root))
    assert "test_more.py" in of(seen, events.Reproduced)[0].failing
