"""The planner looks around before it answers, where it can; elsewhere one request does."""

import json
from pathlib import Path

import pytest

from agent import events
from agent.chat.tools.base import Desk, View
from agent.chat.tools.look import without_hidden
from agent.types import Task
from tests.agent.repos import FIXED, shop
from tests.agent.test_flow import PLAN, RIGHT, app, fix, golden, of, outcome, story
from tests.loopback import Reply, dialects, serve
from tests.providers.asks import Never

LOOK = ("l1", "references", json.dumps({"name": "clamp"}))
READ = ("l2", "read", json.dumps({"path": "shop.py", "first_line": 1, "last_line": 10}))
ACT = ("l3", "run", json.dumps({"argv": ["rm", "-rf", "."], "timeout_s": 0, "keep": "changes"}))


@pytest.mark.parametrize("kind", ["frontier", "onprem"])
def test_it_looks_around_with_tools_that_only_look(tmp_path: Path, kind: str) -> None:
    root = shop(tmp_path / "shop")
    say = dialects.anthropic if kind == "frontier" else dialects.openai
    script = [say("I look.", tools=[LOOK, ACT]), say(tools=[READ]), say(PLAN), say(RIGHT)]
    with serve(script) as server:
        flags = (
            {"anthropic_api_key": "sk-ant-test", "anthropic_base_url": server.url}
            if kind == "frontier"
            else {"onprem_url": server.url, "onprem_model": "coder"}
        )
        one = app(root, **flags)
        seen = fix(one)
        if kind == "onprem":
            one.journal.undo(root)
            task = Task(goal="fix", text="clamp(12, 1, 9) gives 1", root=root)
            again = list(app(root).run(task, replay=one.runs()[0].path))
            assert outcome(again).verdict == "verified"
            assert not of(again, events.RequestStarted)
    assert outcome(seen).verdict == "verified", outcome(seen)
    assert (root / "shop.py").read_text() == FIXED
    looked = of(seen, events.ToolFinished)
    assert [(t.name, t.ok) for t in looked] == [
        ("references", True),
        ("run", False),
        ("read", True),
    ]
    first = server.received[0].body
    names = [t.get("name") or t["function"]["name"] for t in first["tools"]]
    assert names == ["read", "outline", "search", "references"]
    assert "if value > high" in json.dumps(server.received[2].body["messages"])
    rows = one.ledger.rows(run_id=of(seen, events.RunStarted)[0].run_id)
    assert len(rows) == len(server.received) == 4
    if kind == "frontier":
        golden("planning.txt", story(seen))
        told = [r.body["messages"] for r in server.received[:3]]
        golden("planning.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def test_it_must_answer_in_the_end(tmp_path: Path) -> None:
    root = shop(tmp_path / "shop")
    looks = [dialects.openai(tools=[(f"l{i}", *LOOK[1:])]) for i in range(3)]
    with serve([*looks, dialects.openai(PLAN), dialects.openai(RIGHT)]) as server:
        seen = fix(app(root, onprem_url=server.url, onprem_model="coder"))
    assert outcome(seen).verdict == "verified"
    last = server.received[3].body
    assert "tools" not in last
    assert last["response_format"]["type"] == "json_schema"
    assert "no more calls" in last["messages"][-1]["content"]


def test_a_server_that_takes_no_tools_is_asked_without(tmp_path: Path) -> None:
    root = shop(tmp_path / "shop")
    refusal = Reply(status=400, headers=(), pieces=(b'{"error": {"message": "no tools here"}}',))
    with serve([refusal, dialects.openai(PLAN), dialects.openai(RIGHT)]) as server:
        seen = fix(app(root, onprem_url=server.url, onprem_model="coder"))
    assert outcome(seen).verdict == "verified"
    assert "tools" not in server.received[1].body
    assert any("takes no tools" in n.message for n in of(seen, events.Notice))


def test_the_map_leaves_out_what_may_not_be_sent() -> None:
    labels = {"b.py": "local_only", "c.py": "onprem_ok"}
    desk = Desk(
        audience="frontier",
        label=lambda paths: labels.get(paths[0], "open"),  # type: ignore[arg-type, return-value]
        view=lambda: View(read=lambda path: None, files=(), index=lambda: None),  # type: ignore[arg-type, return-value]
        cancel=Never(),
    )
    text = (
        "a.py:\n  def a  :1\nb.py:\n  def b  :1\n    def bb  :2\nc.py:\n  def c  :1\nd.py:\n  x\n"
    )
    assert without_hidden(text, desk) == "a.py:\n  def a  :1\nd.py:\n  x\n"
    desk.audience = "onprem"
    assert "def c" in without_hidden(text, desk)
    assert "def b" not in without_hidden(text, desk)
    desk.audience = "local"
    assert without_hidden(text, desk) == text
