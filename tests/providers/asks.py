"""Requests and tokens that the provider tests share."""

import threading
from dataclasses import replace
from typing import Any

from agent.types import DecodeHints, Message, Request

REQUEST = Request(
    id="r1",
    step_kind="plan",
    messages=(
        Message(role="system", content="You plan."),
        Message(role="user", content="Fix the bug."),
    ),
    max_tokens=100,
    privacy="open",
    hints=DecodeHints(step_kind="plan"),
)


def ask(**changes: Any) -> Request:
    return replace(REQUEST, **changes)


class Never:
    def is_set(self) -> bool:
        return False


def after(seconds: float) -> threading.Event:
    """A cancel token that is set after a while."""
    event = threading.Event()
    timer = threading.Timer(seconds, event.set)
    timer.daemon = True
    timer.start()
    return event
