"""A conversation over a small real repository and a scripted model server."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent import config, events
from agent.app import App, open_app
from agent.approvals import Approval, Decision
from tests.agent.repos import shop
from tests.loopback import dialects

__all__ = [
    "EDIT",
    "NEW",
    "NO",
    "OLD",
    "RUN",
    "YES",
    "Answers",
    "app_for",
    "both",
    "call",
    "of",
    "shop",
    "turn",
]

KEY = "sk-ant-test-0123456789abcdefghij"


def app_for(root: Path, *, frontier: str = "", onprem: str = "", **flags: Any) -> App:
    chosen: dict[str, Any] = {"local_model": "none", **flags}
    if frontier:
        chosen |= {"anthropic_api_key": KEY, "anthropic_base_url": frontier}
    if onprem:
        chosen |= {"onprem_url": onprem, "onprem_model": "coder"}
    return open_app(config.load(chosen, {}, root), root)


def call(tool: str, call_id: str = "c1", /, **arguments: Any) -> tuple[str, str, str]:
    return call_id, tool, json.dumps(arguments)


def of(seen: Sequence[events.Event], kind: type) -> list[Any]:
    return [e for e in seen if isinstance(e, kind)]


class Answers:
    """An approver with a script; what it was asked is kept."""

    def __init__(self, *decisions: Decision) -> None:
        self._left = list(decisions)
        self.asked: list[Approval] = []

    def approve(self, request: Approval) -> Decision:
        self.asked.append(request)
        return self._left.pop(0)


def turn(app: App, talk: Any, text: str | None, **options: Any) -> list[events.Event]:
    seen = list(app.talks.chat(talk, text, **options))
    assert isinstance(seen[-1], events.TurnFinished)
    return seen


OLD = "    if value > high:\n        return low"
NEW = "    if value > high:\n        return high"
YES, NO = Decision(answer="yes"), Decision(answer="no", reason="not now")
EDIT = call("edit", "e1", path="shop.py", search=OLD, replace=NEW)
RUN = call("run", "r1", argv=["python3", "-c", "print(6 * 7)"], timeout_s=0, keep="nothing")


def both(kind: str):
    """The dialect of a place and how the app is told of it."""
    return (dialects.anthropic, "frontier") if kind == "frontier" else (dialects.openai, "onprem")
