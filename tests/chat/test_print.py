"""`agent chat --print` as scripts run it: output, exit codes, JSON, the list, what is pending."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.agent.repos import FIXED, PACKAGE
from tests.chat.talking import KEY, call, shop
from tests.loopback import dialects, serve

OLD = "    if value > high:\n        return low"
NEW = "    if value > high:\n        return high"


def agent(root: Path, url: str, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "agent.cli.main", *words],
        cwd=root,
        env={**os.environ, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_question_from_a_script(tmp_path):
    root = shop(tmp_path / "shop")
    edit = call("edit", "e1", path="shop.py", search=OLD, replace=NEW)
    script = [
        dialects.anthropic("Let me look.", tools=[call("read", path="shop.py")]),
        dialects.anthropic("It clamps.\x1b]52;c;aGk=\x07"),
        dialects.anthropic(tools=[edit]),
        dialects.anthropic("I may not."),
        dialects.anthropic(tools=[edit]),
        dialects.anthropic("Done."),
    ]
    with serve(script) as server:
        asked = agent(root, server.url, "chat", "--print", "What does clamp do?")
        denied = agent(root, server.url, "chat", "-p", "Fix it", "--resume", "last", "--json")
        done = agent(root, server.url, "chat", "-p", "Fix it", "--mode", "auto", "-q")
        shown = agent(root, server.url, "chat", "--show", "last")
        listed = agent(root, server.url, "chat", "--list", "--json")
        assert (root / "shop.py").read_text() == PACKAGE
        applied = agent(root, server.url, "chat", "--apply", "last")
    assert (asked.returncode, asked.stdout) == (0, "It clamps.␛\n"), asked.stderr
    assert "read shop.py" in asked.stderr
    rows = [json.loads(line) for line in denied.stdout.splitlines()]
    assert denied.returncode == 4
    assert (rows[-1]["type"], rows[-1]["denied"]) == ("TurnFinished", 1)
    assert rows[0]["turn"] == 2
    assert (done.returncode, done.stdout) == (0, "Done.\n")
    assert "changes wait: agent chat --apply" in done.stderr
    assert "+        return high" in shown.stdout
    assert sorted(json.loads(line)["turns"] for line in listed.stdout.splitlines()) == [1, 2]
    assert applied.returncode == 0, applied.stderr
    assert (root / "shop.py").read_text() == FIXED


def test_with_nothing_that_can_talk_it_says_what_to_add(tmp_path):
    root = shop(tmp_path / "shop")
    done = agent(root, "", "chat", "--print", "hi", ANTHROPIC_API_KEY="", ANTHROPIC_BASE_URL="")
    assert (done.returncode, done.stdout) == (2, "")
    assert "free conversation needs a model" in done.stderr
    none = agent(root, "", "chat", "--resume", "last", "-p", "x", ANTHROPIC_API_KEY="")
    assert none.returncode == 2


def test_rules_are_trusted_by_name_and_shown_first(tmp_path):
    root = shop(tmp_path / "shop")
    (root / "AGENTS.md").write_text("RULE\x1b[2J\n")
    done = agent(root, "", "config", "trust", "AGENTS.md")
    assert (done.returncode, done.stdout) == (0, "RULE␛\n"), done.stderr
    for name in ("shop.py", "../AGENTS.md", "sub/AGENTS.md"):
        assert agent(root, "", "config", "trust", name).returncode != 0
