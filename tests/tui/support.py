"""A tiny repository, the TUI on it, and how to look at its screen."""

import argparse
import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from agent.cli.chat import setup_for
from agent.tui.app import ChatApp
from agent.tui.session import Session
from tests.agent.repos import git
from tests.loopback import dialects

BUGGY = '''\
def remaining(total, used):
    """What is left of a total."""
    return total + used
'''
RIGHT = BUGGY.replace("total + used", "total - used")
TESTS = """\
from budget import remaining


def test_remaining():
    assert remaining(10, 4) == 6
    assert remaining(9, 2) == 7


def test_nothing_used():
    assert remaining(10, 0) == 10
"""
ISSUE = "remaining(10, 4) gives 14"
CANDIDATES = 10
"""The repair is among the first; trying all 150 would only cost time here."""

DOC, NEW_DOC = '"""Prices."""', '"""Prices of a shop."""'
PLAN = json.dumps(
    {
        "summary": "clamp returns the wrong bound",
        "steps": [
            {"kind": "edit", "goal": "return high", "files": ["shop.py"], "symbols": ["clamp"]}
        ],
    }
)


def blocks(*pairs: tuple[str, str]) -> str:
    return "\n".join(
        f"shop.py\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n" for old, new in pairs
    )


ANSWER = blocks(
    ("    if value > high:\n        return low", "    if value > high:\n        return high"),
    (DOC, NEW_DOC),
)
TWO_HUNKS = (dialects.openai(PLAN), dialects.openai(ANSWER))
"""A plan and an edit of `shop`: a harmless hunk, then the one that fixes it."""


def budget(root: Path) -> Path:
    """A committed repository whose only bug is a wrong operator."""
    root.mkdir(parents=True)
    (root / "budget.py").write_text(BUGGY)
    (root / "test_budget.py").write_text(TESTS)
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["."]\n')
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "budget")
    return root


def session(root: Path, **flags: Any) -> Session:
    """As `agent chat` opens it, with settings as flags."""
    chosen = {"local_model": "none", "zero_token_candidates": CANDIDATES, **flags}
    return Session(setup_for(argparse.Namespace(directory=None, **chosen), root), root)


def chat(root: Path, **flags: Any) -> ChatApp:
    return ChatApp(session(root, **flags))


def screen(app: App[Any]) -> str:
    """What the terminal would show now, row by row."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips)


def told(app: ChatApp) -> str:
    """What the conversation says, on one line, wherever the screen breaks it."""
    return " ".join(app.talk.text.split())


async def until(pilot: Pilot[Any], ready: Callable[[], bool], timeout_s: float = 40.0) -> None:
    """Wait for the screen to get somewhere; the screen is shown when it does not."""
    end = asyncio.get_running_loop().time() + timeout_s
    while not ready():
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(screen(pilot.app))
        await pilot.pause(0.05)


async def say(pilot: Pilot[ChatApp], text: str) -> None:
    """Send a line. All but its last character is put there at once: keys take their time."""
    pilot.app.input.put(text[:-1])
    await pilot.press(text[-1], "enter")
