"""What leaves this machine: the privacy check, redaction, and the name of a request's content."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from agent.errors import PolicyError
from agent.router import may_leave_to
from agent.types import Completion, Location, Message, Request, ToolCall
from tools.secrets import Redactor

__all__ = ["check_egress", "fingerprint", "hide", "redact", "restore"]


def check_egress(request: Request, location: Location) -> None:
    """Raises PolicyError if the request's label does not allow this location."""
    if not may_leave_to(location, request.privacy):
        raise PolicyError(
            f"the request is labelled {request.privacy}: it may not go to {location}",
            remedy="run with --local-only, or change the labels of the files it is made from",
        )


def fingerprint(request: Request) -> str:
    """SHA-256 of everything in the request but its id: equal content, equal answer on replay."""
    content = asdict(request)
    del content["id"]
    _without_defaults(content)
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _without_defaults(content: dict[str, Any]) -> None:
    """Fields that came later count only where they are used: older recordings keep their names."""
    if content["tool_choice"] == "auto":
        del content["tool_choice"]
    for message in content["messages"]:
        if not message["native"]:
            del message["native"]


def redact(request: Request, redactor: Redactor) -> Request:
    """The request with every secret replaced by its placeholder."""
    swap = redactor.redact
    return replace(
        request,
        messages=tuple(_message(m, swap) for m in request.messages),
        stop=tuple(swap(s) for s in request.stop),
        copy_sources=tuple(swap(s) for s in request.copy_sources),
        json_schema=None if request.json_schema is None else swap(request.json_schema),
        tools=tuple(
            replace(t, description=swap(t.description), schema=swap(t.schema))
            for t in request.tools
        ),
    )


def restore(completion: Completion, request: Request, redactor: Redactor) -> Completion:
    """The answer with its placeholders turned back; inside JSON the secret is escaped."""
    text = restorer(request, redactor)
    return _answer(completion, text, redactor.restore_json)


def hide(completion: Completion, request: Request, redactor: Redactor) -> Completion:
    """The answer as it may be written to disk; `restore` undoes it."""
    text = redactor.hide if request.json_schema is None else redactor.hide_json
    return _answer(completion, text, redactor.hide_json)


def restorer(request: Request, redactor: Redactor) -> Callable[[str], str]:
    """How the text of an answer to this request is turned back."""
    return redactor.restore if request.json_schema is None else redactor.restore_json


def _answer(
    completion: Completion, text: Callable[[str], str], arguments: Callable[[str], str]
) -> Completion:
    return replace(
        completion,
        text=text(completion.text),
        choices=tuple(replace(c, text=text(c.text)) for c in completion.choices),
        tool_calls=_calls(completion.tool_calls, arguments),
    )


def _message(message: Message, swap: Callable[[str], str]) -> Message:
    return replace(
        message, content=swap(message.content), tool_calls=_calls(message.tool_calls, swap)
    )


def _calls(calls: tuple[ToolCall, ...], swap: Callable[[str], str]) -> tuple[ToolCall, ...]:
    return tuple(replace(c, arguments=swap(c.arguments)) for c in calls)
