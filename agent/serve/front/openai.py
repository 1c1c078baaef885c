"""OpenAI's dialect at the front: a chat request to a question, a completion to chunks."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal

from agent.context import strictest
from agent.serve.chat import ChatRequest, parse_request
from agent.serve.front.desk import Question, Served
from agent.types import (
    Completion,
    DecodeHints,
    Message,
    Privacy,
    Request,
    StopReason,
    ToolCall,
    ToolSpec,
    Usage,
)

__all__ = ["Chunks", "body_of", "extension", "question"]

_FINISH: dict[StopReason, str] = {
    "end": "stop",
    "stop": "stop",
    "length": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "cancelled": "stop",
    "pause": "stop",
}


def question(body: bytes, *, privacy: Privacy) -> tuple[ChatRequest, Question]:
    """Raises RequestRejected."""
    asked = parse_request(body)
    hints = asked.hints() or DecodeHints(step_kind="chat")
    kind = asked.pointsman.step_kind if asked.pointsman else "chat"
    choice, tools = asked.choice(), asked.offered()
    if choice not in ("none", "auto", "required"):
        tools = [t for t in tools if t["function"]["name"] == choice]
        choice = "required"
    request = Request(
        id=uuid.uuid4().hex,
        step_kind=kind,
        messages=tuple(_message(asked, i) for i in range(len(asked.messages))),
        max_tokens=asked.limit(),
        privacy=strictest(privacy, asked.pointsman.privacy if asked.pointsman else "open"),
        hints=hints,
        temperature=asked.temperature,
        seed=asked.seed,
        n=asked.n,
        stop=asked.stops(),
        json_schema=asked.answer_schema(),
        tools=tuple(_tool(t["function"]) for t in tools),
        tool_choice="required" if choice == "required" and tools else "auto",
        copy_sources=asked.copy_sources(),
        thinking=asked.thinking(),
    )
    return asked, Question(model=asked.model, kind=kind, request=request)


def _message(asked: ChatRequest, at: int) -> Message:
    given, rendered = asked.messages[at], asked.template_messages()[at]
    return Message(
        role=rendered["role"],
        content=rendered["content"],
        tool_calls=tuple(
            ToolCall(id=c.id, name=c.function.name, arguments=c.function.arguments or "{}")
            for c in given.tool_calls
        ),
        tool_call_id=given.tool_call_id,
    )


def _tool(function: dict[str, Any]) -> ToolSpec:
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return ToolSpec(
        name=function["name"],
        description=str(function.get("description") or ""),
        schema=json.dumps(schema),
        strict=bool(function.get("strict")),
    )


# --------------------------------------------------------------------------- answer


def body_of(served: Served, thinking: str) -> dict[str, Any]:
    """The whole answer of a request that does not stream."""
    done = served.completion
    texts = [c.text for c in done.choices] or [done.text]
    choices = []
    for i, text in enumerate(texts):
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if i == 0 and thinking:
            message["reasoning_content"] = thinking
        if i == 0 and done.tool_calls:
            message["tool_calls"] = _calls(done)
        choices.append({"index": i, "message": message, "finish_reason": finish(done)})
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": done.model,
        "choices": choices,
        "usage": usage(done.usage),
        "pointsman": extension(served),
    }


class Chunks:
    """The chunks of one stream, in order."""

    def __init__(self, model: str) -> None:
        """`model`: as asked for; once the answer is there, chunks name the one that gave it."""
        self._ident, self._model = f"chatcmpl-{uuid.uuid4().hex}", model

    def first(self) -> dict[str, Any]:
        return self._chunk({"role": "assistant", "content": ""})

    def said(self, kind: Literal["thinking", "text"], text: str) -> dict[str, Any]:
        return self._chunk({"content" if kind == "text" else "reasoning_content": text})

    def end(self, served: Served, *, with_usage: bool) -> Iterator[dict[str, Any]]:
        """Other choices, calls, reasons to stop, and a last chunk without choices."""
        done = served.completion
        self._model = done.model
        for i, choice in enumerate(done.choices[1:], 1):
            yield self._chunk({"content": choice.text}, index=i)
        if done.tool_calls:
            yield self._chunk({"tool_calls": _calls(done)})
        for i in range(max(1, len(done.choices))):
            yield self._chunk({}, index=i, finish=finish(done))
        last = self._chunk({})
        last["choices"] = []
        if with_usage:
            last["usage"] = usage(done.usage)
        last["pointsman"] = extension(served)
        yield last

    def _chunk(
        self, delta: dict[str, Any], *, index: int = 0, finish: str | None = None
    ) -> dict[str, Any]:
        return {
            "id": self._ident,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": self._model,
            "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
        }


def finish(done: Completion) -> str:
    return _FINISH[done.stop_reason]


def usage(used: Usage) -> dict[str, Any]:
    cached = used.cache_read
    prompt = used.input + cached + used.cache_write_5m + used.cache_write_1h
    output = used.output + used.thinking
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": used.thinking},
    }


def extension(served: Served) -> dict[str, Any]:
    """`pointsman` of an answer: where it was made, why there, what it cost, how it was decoded."""
    done = served.completion
    return {
        "location": done.location,
        "provider": done.provider,
        "reason": served.route.reason,
        "usd_micro": served.usd_micro,
        "decode": asdict(done.decode) if done.decode else None,
    }


def _calls(done: Completion) -> list[dict[str, Any]]:
    return [
        {
            "index": i,
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for i, call in enumerate(done.tool_calls)
    ]
