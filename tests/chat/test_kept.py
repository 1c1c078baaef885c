"""Conversations on the disk: killed anywhere they go on where they were."""

import json

import pytest

from agent import events
from agent.chat import records as rec
from agent.chat.conversation import Conversation, read
from agent.errors import ConfigError
from tests.agent.repos import FIXED, PACKAGE
from tests.chat.talking import app_for, call, of, shop, turn
from tests.loopback import Received, Reply, dialects, serve

OLD = "    if value > high:\n        return low"
NEW = "    if value > high:\n        return high"
SCRIPT = (
    dialects.anthropic("Let me look.", tools=[call("read", "c1", path="shop.py")]),
    dialects.anthropic(
        tools=[
            call("edit", "c2", path="shop.py", search=OLD, replace=NEW),
            call("outline", "c3", path="shop.py"),
        ]
    ),
    dialects.anthropic("Fixed."),
)
STOPS = ("TurnStarted", "Routed", "RequestStarted", "TextDelta", "RequestFinished", "Spent",
         "ToolStarted", "EditProposed", "EditApplied", "ToolFinished")  # fmt: skip


def scripted(got: Received) -> Reply:
    """By what was answered already, so that a request sent again gets its answer again."""
    return SCRIPT[sum(m["role"] == "assistant" for m in got.body["messages"])]


@pytest.mark.parametrize(
    ("stop", "mode"),
    [*((s, "accept-edits") for s in STOPS), ("ToolStarted", "auto"), ("ToolFinished", "auto")],
)
def test_killed_at_any_event_it_goes_on_where_it_was(tmp_path, stop, mode):
    root = shop(tmp_path / "shop")
    with serve(scripted) as server:
        app = app_for(root, frontier=server.url)
        talk = app.talks.conversation()
        ident = talk.id
        running = app.talks.chat(talk, "fix it", mode=mode)
        for event in running:
            if type(event).__name__ == stop:
                break
        running.close()  # as a kill would: nothing more is written
        talk.close()
        with app.talks.conversation(ident) as again:
            assert again.interrupted
            paid = sum(isinstance(r, rec.Answered) for r in again.records)
            unanswered = len(server.received) - paid
            seen = turn(app, again, None)
            assert seen[-1].status == "answered"
            rows = [r for r in app.ledger.rows(run_id=ident) if r.state != "released"]
            results = [r.call_id for r in again.records if isinstance(r, rec.Returned)]
            if mode == "auto":
                app.talks.apply(again)
    assert seen[0].resumed
    assert (root / "shop.py").read_text() == FIXED
    assert len(results) == len(set(results))
    assert len(rows) == len(server.received)
    assert len(server.received) == 3 + unanswered  # what was answered is not asked again


def test_an_edit_written_but_not_yet_recorded_is_found_in_the_journal(tmp_path):
    root = shop(tmp_path / "shop")
    append = Conversation.append

    def killed(self: Conversation, record: rec.Record) -> None:
        if isinstance(record, rec.Edited):
            raise SystemExit("killed")
        append(self, record)

    with serve(scripted) as server:
        app = app_for(root, frontier=server.url)
        talk = app.talks.conversation()
        ident = talk.id
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Conversation, "append", killed)
            with pytest.raises(SystemExit):
                list(app.talks.chat(talk, "fix it", mode="accept-edits"))
        talk.close()
        assert (root / "shop.py").read_text() == FIXED
        with app.talks.conversation(ident) as again:
            seen = turn(app, again, None)
            (edit,) = again.edits("applied")
    assert seen[-1].status == "answered"
    assert all(t.ok for t in of(seen, events.ToolFinished))
    app.journal.undo(root, edit.entry_id)
    assert (root / "shop.py").read_text() == PACKAGE


def test_a_line_that_was_cut_is_dropped_and_the_rest_goes_on(tmp_path):
    root = shop(tmp_path / "shop")
    with serve([dialects.anthropic("one"), dialects.anthropic("two")]) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            turn(app, talk, "first")
            path, ident = talk.path, talk.id
        with path.open("a") as file:
            file.write('{"type": "Said", "turn": 2, "te')
        with app.talks.conversation(ident) as talk:
            assert talk.turn == 1
            turn(app, talk, "second")
        texts = [r.text for r in read(path) if isinstance(r, rec.Said)]
    assert texts == ["first", "second"]
    assert [m["role"] for m in server.received[1].body["messages"]] == ["user", "assistant", "user"]


def test_an_unfinished_turn_may_also_be_left(tmp_path):
    root = shop(tmp_path / "shop")
    with serve([SCRIPT[1], dialects.anthropic("ok")]) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            running = app.talks.chat(talk, "fix it")
            for event in running:
                if isinstance(event, events.RequestFinished):
                    break
            running.close()
            turn(app, talk, "never mind")
    results = server.received[1].body["messages"][-1]["content"]
    assert [b["type"] for b in results] == ["tool_result", "tool_result", "text"]
    assert "Interrupted" in results[0]["content"]
    assert (root / "shop.py").read_text() == PACKAGE


def test_lists_titles_and_locks(tmp_path):
    root = shop(tmp_path / "shop")
    with serve([dialects.anthropic("a"), dialects.anthropic("b")]) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as empty:
            nothing = empty.path
        with app.talks.conversation() as one:
            turn(app, one, "\n  What is clamp?\nMore.")
            with pytest.raises(ConfigError, match="open in another process"):
                app.talks.conversation(one.id)
        with app.talks.conversation() as two:
            turn(app, two, "x" * 200)
            two.set_title("my  title\n")
    assert not nothing.exists()
    found = app.talks.conversations()
    assert {c.title for c in found} == {"What is clamp?", "my title"}
    assert [c.turns for c in found] == [1, 1]
    assert not any(c.interrupted for c in found)
    assert one.path.stat().st_mode & 0o077 == 0
    for bad in ("20260101-000000-abcdef", "../../etc/passwd"):
        with pytest.raises(ConfigError, match="no conversation"):
            app.talks.conversation(bad)
    assert app_for(shop(tmp_path / "other")).talks.conversations() == ()


def test_every_record_is_json_and_comes_back_equal(tmp_path):
    root = shop(tmp_path / "shop")
    with serve(SCRIPT) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            turn(app, talk, "fix it", mode="accept-edits")
            talk.note("the user ran `ls`:", data="a\nb")
            kept = list(talk.records)
            assert list(read(talk.path)) == kept
            for line in talk.path.read_text().splitlines():
                assert json.loads(line)["type"]


def test_ids_that_a_server_gives_twice_are_told_apart(tmp_path):
    root = shop(tmp_path / "shop")
    script = [
        dialects.openai(tools=[call("outline", "call_0", path="shop.py")]),
        dialects.openai(tools=[call("references", "call_0", name="clamp")]),
        dialects.openai("ok"),
    ]
    with serve(script) as server:
        app = app_for(root, onprem=server.url)
        with app.talks.conversation() as talk:
            seen = turn(app, talk, "look")
    ids = [t.call_id for t in of(seen, events.ToolFinished)]
    assert len(set(ids)) == 2
    sent = server.received[2].body["messages"]
    assert [m["tool_call_id"] for m in sent if m["role"] == "tool"] == ids
