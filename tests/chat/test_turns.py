"""Whole turns over real parts: git, journal, sandbox, SQLite, the SDK against a loopback server."""

from agent import events
from agent.approvals import Decision
from tests.agent.repos import FIXED, PACKAGE, snapshot
from tests.chat.talking import Answers, app_for, call, of, shop, turn
from tests.loopback import dialects, serve

OLD = "    if value > high:\n        return low"
NEW = "    if value > high:\n        return high"
YES = Decision(answer="yes")


def test_look_edit_test_answer_undo(tmp_path):
    root = shop(tmp_path / "shop")
    before = snapshot(root)
    script = [
        dialects.anthropic("Let me look.", tools=[call("read", path="shop.py", first_line=0)]),
        dialects.anthropic(
            tools=[call("edit", "c2", path="shop.py", search=OLD, replace=NEW),
                   call("test", "c3", ids=[])]
        ),
        dialects.anthropic("Fixed: shop.py:9 returned the wrong bound."),
    ]  # fmt: skip
    with serve(script) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            answers = Answers(YES)
            seen = turn(app, talk, "clamp(12, 1, 9) gives 1", approver=answers)
            rows = app.ledger.rows(run_id=talk.id)
    end = seen[-1]
    assert (end.status, end.exit_code, end.text[:6]) == ("answered", 0, "Fixed:"), end
    assert [a.kind for a in answers.asked] == ["edit"]
    assert (root / "shop.py").read_text() == FIXED
    tools = of(seen, events.ToolFinished)
    assert [(t.name, t.ok) for t in tools] == [("read", True), ("edit", True), ("test", True)]
    assert "4 passed" in tools[2].summary
    assert len(rows) == len(server.received) == 3
    assert {r.state for r in rows} == {"settled"}
    app.journal.undo(root)
    assert snapshot(root) == before
    assert PACKAGE == (root / "shop.py").read_text()
