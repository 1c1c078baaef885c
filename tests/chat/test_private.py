"""Labels hold in conversations: what may not leave is not read, not run, not in a summary."""

import json

from agent import events
from tests.agent.repos import git
from tests.chat.talking import app_for, call, of, shop, turn
from tests.loopback import dialects, serve

CANARY = "CANARY_7f3a"


def private(root):
    shop(root)
    (root / "private").mkdir()
    (root / "private" / "keys.py").write_text(f"def canary_fn():\n    return '{CANARY}'\n")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "private")
    return root


def test_nothing_of_a_local_only_file_reaches_the_wire(tmp_path):
    root = private(tmp_path / "shop")
    cat = ["python3", "-c", "import pathlib; print(open('private/keys.py').read())"]
    listing = ["python3", "-c", "import os; print(sorted(os.listdir('.')))"]
    calls = [
        call("read", "c1", path="private/keys.py"),
        call("outline", "c2", path="private/keys.py"),
        call("outline", "c3", path=""),
        call("search", "c4", query="canary_fn", how="words"),
        call("search", "c5", query="CANARY_", how="regex"),
        call("references", "c6", name="canary_fn"),
        call("edit", "c7", path="private/keys.py", search="def canary_fn():", replace="def x():"),
        call("run", "c8", argv=cat, timeout_s=0, keep="nothing"),
        call("run", "c9", argv=listing, timeout_s=0, keep="nothing"),
        call("read", "d1", path=""),
    ]
    with serve([dialects.anthropic(tools=calls), dialects.anthropic("ok")]) as server:
        app = app_for(root, frontier=server.url, privacy_local_only=["private/"])
        with app.talks.conversation() as talk:
            seen = turn(app, talk, "what is in there?", mode="auto")
    wire = "".join(json.dumps(r.body["messages"][-1]) for r in server.received[1:])
    assert CANARY not in wire
    assert "labelled local_only" in wire
    tools = of(seen, events.ToolFinished)
    assert [t.ok for t in tools] == [False, False, True, True, True, True, False, False, True, True]
    assert "private" not in tools[8].output
    assert "private" not in tools[9].output


def test_without_labels_the_same_calls_show_it(tmp_path):
    """The control."""
    root = private(tmp_path / "shop")
    calls = [
        call("read", "c1", path="private/keys.py"),
        call("search", "c5", query="CANARY_", how="regex"),
        call("run", "c8", argv=["cat", "private/keys.py"], timeout_s=0, keep="nothing"),
    ]
    with serve([dialects.anthropic(tools=calls), dialects.anthropic("ok")]) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            seen = turn(app, talk, "what is in there?")
    assert all(CANARY in t.output for t in of(seen, events.ToolFinished))


def test_rules_are_read_from_the_root_down_shown_once_and_bounded(tmp_path):
    root = shop(tmp_path / "shop")
    (root / "AGENTS.md").write_text("ROOT RULE\u202e\n" + "x" * 20_000)
    (root / "CLAUDE.md").write_text("SAME AGAIN")
    (root / "sub").mkdir()
    (root / "sub" / "CLAUDE.md").write_text("NEAR RULE")
    (root / "sub" / "m.py").write_text("a = 1\n")
    edit = call("edit", "e1", path="sub/m.py", search="a = 1", replace="a = 2")
    script = [dialects.anthropic(tools=[edit]), dialects.anthropic("a"), dialects.anthropic("b")]
    with serve(script) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            first = turn(app, talk, "one", mode="accept-edits")
            second = turn(app, talk, "two")
    system = [r.body["system"][0]["text"] for r in server.received]
    assert "ROOT RULE" in system[0]
    assert "NEAR RULE" not in system[0]
    assert system[2].index("ROOT RULE") < system[2].index("NEAR RULE")
    assert "SAME AGAIN" not in system[2]
    assert "the user has not confirmed this" in system[0]
    assert "\u202e" not in system[0]
    assert len(system[0]) < 20_000
    told = [n.message for n in of(first, events.Notice)]
    assert any("advice only" in t for t in told)
    assert any("invisible characters" in t for t in told)
    assert not any("AGENTS.md" in n.message for n in of(second, events.Notice)
                   if not n.message.startswith("sub/"))  # fmt: skip


def test_rules_the_user_trusts_are_binding_until_they_change(tmp_path):
    from agent import paths
    from agent.trust import TrustStore

    root = shop(tmp_path / "shop")
    (root / "AGENTS.md").write_text("RULE")
    key = paths.repo_key(root / ".git")
    TrustStore(paths.state_dir() / "trust").trust(key, "AGENTS.md", b"RULE")
    with serve([dialects.anthropic("a"), dialects.anthropic("b")]) as server:
        app = app_for(root, frontier=server.url)
        with app.talks.conversation() as talk:
            turn(app, talk, "one")
            (root / "AGENTS.md").write_text("RULE!")
            turn(app, talk, "two")
    one, two = (r.body["system"][0]["text"] for r in server.received)
    assert "has not confirmed" not in one
    assert "has not confirmed" in two
