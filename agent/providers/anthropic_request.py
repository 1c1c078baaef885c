"""A request as the Messages API takes it: turns that alternate, strict tools, cache marks."""

import json
from typing import Any, Literal

from agent.errors import RequestRejected
from agent.types import Message, Request

__all__ = ["body_of"]


def body_of(request: Request, model: str, cache_ttl: Literal["5m", "1h"]) -> dict[str, Any]:
    cache = {"type": "ephemeral", "ttl": cache_ttl}
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens,
        "messages": _messages(request.messages),
        # Marks the last cacheable block: the next turn of the step reads the prefix at a tenth.
        "cache_control": cache,
    }
    system = "\n\n".join(m.content for m in request.messages if m.role == "system")
    if system:
        body["system"] = [{"type": "text", "text": system, "cache_control": cache}]
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.json_schema is not None:
        schema = {"type": "json_schema", "schema": _json(request.json_schema, "json_schema")}
        body["output_config"] = {"format": schema}
    if request.tools:
        body["tools"] = [
            {
                "name": t.name,
                "description": t.description,
                "input_schema": _json(t.schema, t.name),
                **({"strict": True} if t.strict else {}),
            }
            for t in request.tools
        ]
        if request.tool_choice != "auto":
            kind = "none" if request.tool_choice == "none" else "any"
            body["tool_choice"] = {"type": kind}
    if request.thinking:
        body["thinking"] = {"type": "adaptive"}
    return body


def _json(text: str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise RequestRejected(f"the schema of {what} is not JSON: {error}", billed="no") from error
    if not isinstance(value, dict):
        raise RequestRejected(f"the schema of {what} is not an object", billed="no")
    return value


def _messages(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """Turns alternate there, and tool results belong to the user: neighbours are joined."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [
            {
                "type": "tool_result",
                "tool_use_id": message.tool_call_id or "",
                "content": message.content,
            }
        ]
    if message.native:
        verbatim: list[dict[str, Any]] = json.loads(message.native)
        return verbatim
    blocks: list[dict[str, Any]] = []
    if message.content:
        blocks.append({"type": "text", "text": message.content})
    for call in message.tool_calls:
        arguments = _json(call.arguments or "{}", call.name)
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments})
    return blocks
