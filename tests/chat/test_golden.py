"""The prompts and the story of one conversation: a change to either is a change to review."""

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from agent import events
from agent.approvals import Decision
from tests.chat.talking import Answers, app_for, call, shop, turn
from tests.loopback import dialects, serve

GOLDEN = Path(__file__).parent / "golden"
OLD = "    if value > high:\n        return low"
NEW = "    if value > high:\n        return high"


def golden(name: str, text: str) -> None:
    """Compare with a stored text; UPDATE_GOLDEN=1 stores it anew."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


def steady(text: str) -> str:
    """Without what differs from run to run and machine to machine."""
    text = re.sub(r"data-[0-9a-f]{10}", "data-…", text)
    text = re.sub(r"\d{8}-\d{6}-[0-9a-f]{6}", "RUN", text)
    text = re.sub(r"\d+\.\d s\b", "… s", text)
    text = re.sub(r"(duration_s|seconds)=[\d.e-]+", r"\1=…", text)
    text = re.sub(r"entry_id='[^']+'", "entry_id='…'", text)
    return re.sub(r"sandbox \((bwrap|sandlock)\)", "sandbox (…)", text)


def story(seen: Sequence[events.Event]) -> str:
    lines = []
    for event in seen:
        if isinstance(event, events.TextDelta | events.Spent):
            continue
        if isinstance(event, events.ToolFinished):
            event = dataclasses.replace(event, output="…")
        lines.append(repr(event))
    return steady("\n".join(lines)) + "\n"


def test_one_conversation(tmp_path):
    root = shop(tmp_path / "shop")
    (root / "AGENTS.md").write_text("Docstrings end in a full stop.\n")
    script = [
        dialects.anthropic("I look.", thinking="Where?", tools=[
            call("search", "c1", query="clamp", how="words"),
            call("outline", "c2", path="shop.py"),
            call("references", "c3", name="clamp"),
            call("read", "c4", path="shop.py", first_line=4, last_line=10),
        ]),
        dialects.anthropic(tools=[
            call("edit", "c5", path="shop.py", search="return lo", replace="return high"),
            call("edit", "c6", path="shop.py", search=OLD, replace=NEW),
            call("run", "c7", argv=["sh", "-c", "pytest | tail -1"], timeout_s=0, keep="nothing"),
            call("test", "c8", ids=[]),
        ]),
        dialects.anthropic("shop.py:9 returned the wrong bound; 4 tests pass now."),
    ]  # fmt: skip
    answers = Answers(Decision(answer="yes"), Decision(answer="no", reason="use the test tool"))
    with serve(script) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            seen = turn(app, talk, "clamp(12, 1, 9) gives 1. Why?", approver=answers)
    last = server.received[-1].body
    sent = {k: last[k] for k in ("system", "tools", "messages", "thinking")}
    golden("requests.json", steady(json.dumps(sent, indent=1, ensure_ascii=False)) + "\n")
    golden("story.txt", story(seen))
