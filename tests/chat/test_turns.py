"""Whole turns over real parts: git, journal, sandbox, SQLite, the SDK against a loopback server."""

import itertools
import json

import pytest

from agent import events
from agent.approvals import Decision
from tests.agent.repos import FIXED, PACKAGE, snapshot
from tests.chat.talking import (
    EDIT,
    NEW,
    NO,
    OLD,
    RUN,
    YES,
    Answers,
    app_for,
    both,
    call,
    of,
    shop,
    turn,
)
from tests.loopback import dialects, faults, serve


@pytest.mark.parametrize("kind", ["frontier", "onprem"])
def test_look_edit_test_answer_undo(tmp_path, kind):
    root = shop(tmp_path / "shop")
    before = snapshot(root)
    say, place = both(kind)
    script = [
        say("Let me look.", tools=[call("read", path="shop.py", first_line=0, last_line=0)]),
        say(tools=[EDIT, call("test", "c3", ids=[])]),
        say("Fixed: shop.py:9 returned the wrong bound."),
    ]
    with serve(script) as server:
        app = app_for(root, **{place: server.url})
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


def test_each_request_begins_with_the_last_one(tmp_path):
    """Or no prefix cache, ours or theirs, would keep what was read."""
    root = shop(tmp_path / "shop")
    script = [
        dialects.anthropic("a", thinking="hm", tools=[call("outline", path="shop.py")]),
        dialects.anthropic("b", tools=[call("references", "c2", name="clamp")]),
        dialects.anthropic("done"),
        dialects.anthropic("again"),
    ]
    with serve(script) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            turn(app, talk, "What is clamp?")
            turn(app, talk, "And why?")
    bodies = [r.body for r in server.received]
    for one, two in itertools.pairwise(bodies):
        assert two["messages"][: len(one["messages"])] == one["messages"]
        assert (two["system"], two["tools"]) == (one["system"], one["tools"])
    assert all(b["cache_control"]["type"] == "ephemeral" for b in bodies)
    assert bodies[0]["system"][0]["cache_control"]["type"] == "ephemeral"
    assert bodies[1]["messages"][1]["content"][0]["signature"] == "signed:hm"
    assert all(t["strict"] for t in bodies[0]["tools"])


def test_a_refused_edit_is_told_and_changes_nothing(tmp_path):
    root = shop(tmp_path / "shop")
    before = snapshot(root)
    with serve([dialects.anthropic(tools=[EDIT]), dialects.anthropic("Then not.")]) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            seen = turn(app, talk, "fix it", approver=Answers(NO))
    assert snapshot(root) == before
    assert seen[-1].denied == 1
    (result,) = server.received[1].body["messages"][-1]["content"]
    assert "Refused: not now" in result["content"]


def test_nobody_there_denies_and_says_how_to_allow(tmp_path):
    root = shop(tmp_path / "shop")
    script = [dialects.anthropic(tools=[EDIT, RUN]), dialects.anthropic("I may not.")]
    with serve(script) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            seen = turn(app, talk, "fix it")
    assert seen[-1].denied == 2
    texts = [t.output for t in of(seen, events.ToolFinished)]
    assert all("nobody is there to ask" in t for t in texts)
    assert "--mode accept-edits" in texts[0]
    assert "--mode auto" in texts[1]


def test_half_an_edit_can_be_taken(tmp_path):
    from tools.types import FileChange

    root = shop(tmp_path / "shop")
    part = FileChange(path="shop.py", before=PACKAGE.encode(), after=FIXED.encode())
    wide = call("edit", "e1", path="shop.py", search='"""Prices."""', replace='"""All prices."""')
    with serve([dialects.anthropic(tools=[wide]), dialects.anthropic("ok")]) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            took = Decision(answer="yes", accepted=(part,))
            seen = turn(app, talk, "rename", approver=Answers(took))
    assert (root / "shop.py").read_text() == FIXED
    assert "Only a part of it was taken" in of(seen, events.ToolFinished)[0].output


def test_always_for_an_edit_goes_on_without_asking(tmp_path):
    root = shop(tmp_path / "shop")
    back = call("edit", "e2", path="shop.py", search=NEW, replace=OLD)
    with serve([dialects.anthropic(tools=[EDIT, back]), dialects.anthropic("ok")]) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            turn(app, talk, "there and back", approver=Answers(Decision(answer="always")))
            assert talk.mode == "accept-edits"
    assert (root / "shop.py").read_text() == PACKAGE


def test_auto_works_in_the_scratch_copy_and_offers_what_changed(tmp_path):
    root = shop(tmp_path / "shop")
    before = snapshot(root)
    script = [
        dialects.anthropic(tools=[EDIT, call("test", "t1", ids=[]), RUN]),
        dialects.anthropic(tools=[call("read", "c4", path="shop.py", first_line=9, last_line=9)]),
        dialects.anthropic("Done."),
    ]
    with serve(script) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            seen = turn(app, talk, "fix it", mode="auto")
            assert snapshot(root) == before
            assert "return high" in seen[-1].pending_diff
            tools = of(seen, events.ToolFinished)
            assert [t.ok for t in tools] == [True, True, True, True]
            assert "return high" in tools[3].output
            assert "42" in tools[2].output
            ident = talk.id
        with app.talks.conversation(ident) as talk:  # the scratch copy is gone, the change is not
            entry = app.talks.apply(talk)
            assert not talk.edits("pending")
    assert (root / "shop.py").read_text() == FIXED
    app.journal.undo(root, entry.id)
    assert snapshot(root) == before


def test_a_pending_change_the_user_overtook_is_dropped_and_told(tmp_path):
    root = shop(tmp_path / "shop")
    mine = PACKAGE.replace("return low\n    return value", "return 0\n    return value")
    script = [
        dialects.anthropic(tools=[EDIT]),
        dialects.anthropic("Done."),
        dialects.anthropic(tools=[call("test", "t1", ids=[])]),
        dialects.anthropic("I see."),
    ]
    with serve(script) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            turn(app, talk, "fix it", mode="auto")
            (root / "shop.py").write_text(mine)
            turn(app, talk, "test it")
            assert not talk.edits("pending")
    assert (root / "shop.py").read_text() == mine
    assert "was dropped, since the user changed the file" in json.dumps(server.received[3].body)


def test_plan_mode_offers_nothing_that_acts(tmp_path):
    root = shop(tmp_path / "shop")
    with serve([dialects.anthropic(tools=[EDIT]), dialects.anthropic("A plan.")]) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            seen = turn(app, talk, "plan it", mode="plan", approver=Answers())
    names = [t["name"] for t in server.received[0].body["tools"]]
    assert names == ["read", "outline", "search", "references"]
    assert "not offered in plan mode" in of(seen, events.ToolFinished)[0].output
    assert (root / "shop.py").read_text() == PACKAGE


def test_the_same_call_thrice_ends_the_turn(tmp_path):
    root = shop(tmp_path / "shop")
    same = [dialects.anthropic(tools=[call("outline", f"c{i}", path="shop.py")]) for i in range(9)]
    with serve(same) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            seen = turn(app, talk, "hm")
    assert len(server.received) == 3
    assert (seen[-1].status, seen[-1].exit_code) == ("limit", 1)
    assert "same result 3 times" in seen[-1].reason


def test_a_cut_off_answer_goes_on_and_a_pause_too(tmp_path):
    root = shop(tmp_path / "shop")
    script = [
        dialects.anthropic("first half", stop_reason="max_tokens"),
        dialects.anthropic("a pause", stop_reason="pause_turn"),
        dialects.anthropic("the end"),
    ]
    with serve(script) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            seen = turn(app, talk, "tell")
    assert (seen[-1].status, seen[-1].text) == ("answered", "the end")
    assert "cut off by its length limit" in json.dumps(server.received[1].body)
    assert server.received[2].body["messages"][-1]["role"] == "assistant"


def test_a_refusal_is_said_with_its_exit_code(tmp_path):
    root = shop(tmp_path / "shop")
    with serve([dialects.anthropic("", stop_reason="refusal")]) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            end = turn(app, talk, "tell")[-1]
    assert (end.status, end.exit_code) == ("refused", 4)


def test_nothing_is_done_for_an_answer_that_did_not_end(tmp_path):
    """The SDK gives a normal-looking message when the stream ends inside a tool call."""
    root = shop(tmp_path / "shop")
    whole = dialects.anthropic(tools=[EDIT])
    cut = [faults.cut(whole, n) for n in (4, 5)]
    with serve([*cut, whole, dialects.anthropic("ok")]) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            seen = turn(app, talk, "fix", approver=Answers(YES))
            rows = app.ledger.rows(run_id=talk.id)
    assert seen[-1].status == "answered"
    assert len(of(seen, events.EditApplied)) == 1
    assert [r.state for r in rows] == ["unknown", "unknown", "settled", "settled"]


def test_malformed_arguments_are_told_to_the_model(tmp_path):
    root = shop(tmp_path / "shop")
    bad = ("x", "read", '{"path": "shop.py')
    script = [
        dialects.openai(tools=[bad]),
        dialects.openai(tools=[("y", "read", '{"path": 7}'), ("z", "nonsense", "{}")]),
        dialects.openai("ok"),
    ]
    with serve(script) as server:
        app = app_for(root, onprem=server.url)
        with app.talks.conversation() as talk:
            seen = turn(app, talk, "look")
    texts = [t.output for t in of(seen, events.ToolFinished)]
    assert "not a JSON object, so nothing was done" in texts[0]
    assert '"path" must be a string' in texts[1]
    assert "does not exist" in texts[2]
    sent = server.received[1].body["messages"][-2]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(sent) == {}


def test_the_budget_of_a_conversation_is_kept(tmp_path):
    root = shop(tmp_path / "shop")
    with serve([dialects.anthropic("never sent")]) as server:
        app = app_for(root, frontier=server.url, max_cost_usd_micro="0.0001")
        with app.talks.conversation() as talk:
            end = turn(app, talk, "hi")[-1]
    assert (end.status, end.exit_code) == ("limit", 3)
    assert not server.received


def test_a_place_that_is_down_is_left_out_and_said_so(tmp_path):
    root = shop(tmp_path / "shop")
    with serve([dialects.anthropic("from afar")]) as server:
        app = app_for(root, frontier=server.url, onprem="http://127.0.0.1:9")
        with app.talks.conversation() as talk:
            seen = turn(app, talk, "hi")
    assert seen[-1].text == "from afar"
    assert any("left out of this turn" in n.message for n in of(seen, events.Notice))


def test_what_is_said_while_it_works_is_read_between_actions(tmp_path):
    root = shop(tmp_path / "shop")
    inbox = iter([None, "look at discount too", None])
    script = [dialects.anthropic(tools=[call("outline", path="shop.py")]), dialects.anthropic("ok")]
    with serve(script) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            turn(app, talk, "hi", inbox=lambda: next(inbox, None))
    last = server.received[1].body["messages"][-1]["content"]
    assert last[0]["type"] == "tool_result"
    assert last[1]["text"] == "look at discount too"
