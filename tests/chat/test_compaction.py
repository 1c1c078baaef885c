"""A long conversation made short: what is pinned is never lost, calls keep their results."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from agent import events
from agent.chat import compaction, prompt
from agent.chat import records as rec
from agent.types import Plan, Step, ToolCall
from tests.agent.repos import PACKAGE
from tests.chat.talking import app_for, call, of, shop, turn
from tests.loopback import Received, Reply, dialects, serve

TEXT = st.text(min_size=1, max_size=400)


def exchange(number: int, texts: list[str], calls: int) -> list[rec.Record]:
    """One turn: the user, answers with calls and results, the last answer."""
    made: list[rec.Record] = [rec.Said(turn=number, text=texts[0])]
    for i in range(calls):
        ident = f"c{number}-{i}"
        made += [
            answered(number, "", (ToolCall(id=ident, name="read", arguments="{}"),)),
            rec.Returned(
                call_id=ident, name="read", ok=True, summary="", content=texts[1], paths=("a.py",)
            ),
        ]
    return [*made, answered(number, texts[2]), rec.Ended(turn=number, status="answered")]


def answered(number: int, text: str, calls: tuple[ToolCall, ...] = ()) -> rec.Answered:
    return rec.Answered(
        turn=number, request_id="r", text=text, stop="end", provider="p", model="m",
        location="frontier", calls=calls,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.tuples(TEXT, TEXT, TEXT), st.integers(0, 3)), min_size=2, max_size=8),
    st.lists(TEXT, max_size=3),
    st.integers(0, 2_000),
    st.integers(1, 3),
)
def test_nothing_that_is_pinned_is_ever_lost(turns, diffs, keep, rounds):
    records: list[rec.Record] = [rec.Began(id="x", root="/", fence="k")]
    for number, (texts, calls) in enumerate(turns, 1):
        records += exchange(number, list(texts), calls)
    task, latest = turns[0][0][0], turns[-1][0][0]
    step = Step(id="s1", kind="edit", goal="goal of the plan")
    plan = Plan(summary="why", steps=(step,), files_in_scope=(), acceptance=(), made_by="m")
    changes = [
        rec.Edited(call_id=f"e{i}", state="pending", paths=(f"{i}.py",), diff=d)
        for i, d in enumerate(diffs)
    ]
    for _ in range(rounds):
        chosen = compaction.cut(records, keep)
        if chosen is None:
            break
        kept = compaction.pinned(task=task, latest=latest, plan=plan, open_changes=changes)
        text = compaction.digest(chosen.older, chosen.earlier)
        records.append(compaction.final(chosen, kept, text, "digest"))
        keep //= 2
    found = prompt.messages(records)
    told = "\n".join(m.content for m in found)
    assert task in told
    assert latest in told
    if any(isinstance(r, rec.Compaction) for r in records):
        assert "goal of the plan" in told
        assert all(d in told for d in diffs)
    asked = [c.id for m in found for c in m.tool_calls]
    results = [m.tool_call_id for m in found if m.role == "tool"]
    assert asked == results  # in order, none without the other
    assert found[0].role == "user"


def test_a_full_window_is_made_short_by_the_conversations_own_model(tmp_path):
    root = shop(tmp_path / "shop")
    (root / "long.txt").write_text("".join(f"line {i} of a long file\n" for i in range(400)))

    def answer(got: Received) -> Reply:
        text = json.dumps(got.body["messages"])
        if "Summarise the conversation below" in text:
            return dialects.openai("- Done: nothing. - Facts: long.txt is long.")
        if "read again" in got.body["messages"][-1]["content"]:
            number = text.count("read again")
            arguments = {"path": "long.txt", "first_line": 1 + number, "last_line": 300}
            return dialects.openai(tools=[call("read", f"c{number}", **arguments)])
        return dialects.openai("I read it.")

    with serve(answer) as server:
        app = app_for(root, onprem=server.url)
        with app.talks.conversation() as talk:
            seen = []
            for number in range(14):
                seen += turn(app, talk, f"THE TASK {number}: read again")
            label = prompt.privacy(talk.records, prompt.Rules())
    (first, *_) = of(seen, events.Compacted)
    assert first.by == "onprem/coder"
    assert first.after_tokens < first.before_tokens / 2
    assert {e.status for e in of(seen, events.TurnFinished)} == {"answered"}
    last = json.dumps(server.received[-1].body["messages"])
    assert "THE TASK 0: read again" in last
    assert "long.txt is long" in last
    assert label == "open"
    kinds = [row.entry.step_kind for row in app.ledger.rows(run_id=talk.id)]
    assert kinds.count("summarise") == len(of(seen, events.Compacted))


def test_asked_for_without_a_model_that_answers_a_digest_stands_in(tmp_path):
    root = shop(tmp_path / "shop")
    edit = call("edit", "e1", path="shop.py", search='"""Prices."""', replace='"""All."""')
    script = [
        dialects.openai(tools=[edit]), dialects.openai("Renamed."), dialects.openai("Yes."),
        Reply(status=400, headers=(), pieces=(b"no",)), dialects.openai("Go on."),
    ]  # fmt: skip
    with serve(script) as server:
        app = app_for(root, onprem=server.url)
        with app.talks.conversation() as talk:
            turn(app, talk, "rename the docstring", mode="auto")
            turn(app, talk, "really?")
            seen = list(app.talks.compact(talk))
            turn(app, talk, "go on")
            assert len(talk.edits("pending")) == 1
    (done,) = of(seen, events.Compacted)
    assert done.by == "digest"
    assert any("a digest stands in" in n.message for n in of(seen, events.Notice))
    told = server.received[-1].body["messages"][1]["content"]
    for words in ("rename the docstring", '+"""All."""', "- you: Renamed.", "not yet in the user"):
        assert words in told, told
    assert (root / "shop.py").read_text() == PACKAGE


def test_a_summary_is_as_private_as_what_it_tells(tmp_path):
    older = (
        rec.Said(turn=1, text="x"),
        rec.Returned(
            call_id="c", name="read", ok=True, summary="", content="y", privacy="local_only"
        ),
    )
    chosen = compaction.Cut(upto=2, older=older, earlier=None)
    assert compaction.final(chosen, "", "", "digest").privacy == "local_only"
