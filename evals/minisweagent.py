"""A trajectory of ours as a `.traj.json` of mini-swe-agent, for the viewers made for it.

Its format is `mini-swe-agent-1.1`: `info` and a list of chat messages. What a model answered is an
assistant's message, everything else that happened a user's, as observations are there. Prompts are
not in our trajectories (they are rendered anew on replay), so only the task stands at the start.
Source: mini-swe-agent's documentation, "Output files", version 2.
"""

import json
from collections.abc import Iterable
from typing import Any

from agent.events import (
    CompletionRecorded,
    EditProposed,
    Event,
    RequestFinished,
    RunFinished,
    RunStarted,
)
from evals.story import story_lines

__all__ = ["as_trajectory"]

FORMAT = "mini-swe-agent-1.1"
SYSTEM = "Pointsman: reproduce, localise, plan, edit, test, repair."
EXITS = {0: "Submitted", 1: "Submitted", 3: "LimitsExceeded", 130: "UserInterruption"}


class Conversation:
    """Messages while they are put together: observations gather until somebody answers."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM, "extra": {}}]
        self._seen: list[str] = []

    def observe(self, lines: Iterable[str]) -> None:
        self._seen += lines

    def say(self, role: str, content: str, **extra: Any) -> None:
        self.flush()
        self.messages.append({"role": role, "content": content, "extra": extra})

    def flush(self) -> None:
        if self._seen:
            text = "\n".join(self._seen)
            self.messages.append({"role": "user", "content": text, "extra": {}})
            self._seen = []


def as_trajectory(events: Iterable[Event], instance_id: str) -> dict[str, Any]:
    """The file's content."""
    talk = Conversation()
    finished: RunFinished | None = None
    version, calls = "", 0
    for event in events:
        talk.observe(story_lines(event))
        if isinstance(event, RunStarted):
            version = event.version
            talk.say("user", event.task.text)
        elif isinstance(event, CompletionRecorded):
            _answer(talk, event)
        elif isinstance(event, EditProposed):
            talk.say("assistant", f"```diff\n{event.diff.rstrip()}\n```", actions=[])
        elif isinstance(event, RequestFinished):
            calls += 1
        elif isinstance(event, RunFinished):
            finished = event
    talk.flush()
    outcome = finished.outcome if finished else None
    status = EXITS.get(outcome.exit_code, "Error") if outcome else "Interrupted"
    patch = outcome.diff if outcome else ""
    talk.say("exit", outcome.reason if outcome else "", exit_status=status, submission=patch)
    cost = finished.totals.usd_micro / 1e6 if finished else 0.0
    return {
        "info": {
            "model_stats": {"instance_cost": cost, "api_calls": calls},
            "config": {"agent": {}, "agent_type": "pointsman", "model": {}, "environment": {}},
            "mini_version": f"pointsman {version}",
            "exit_status": status,
            "submission": patch,
        },
        "messages": talk.messages,
        "trajectory_format": FORMAT,
        "instance_id": instance_id,
    }


def _answer(talk: Conversation, event: CompletionRecorded) -> None:
    found = json.loads(event.completion_json)
    usage = found.get("usage") or {}
    text = found.get("text") or ""
    talk.say("assistant", text, actions=[], usage=usage, request_id=event.request_id)
