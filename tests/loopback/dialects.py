"""Well-formed answers, in Anthropic's and in OpenAI's streaming dialect."""

import json
from collections.abc import Sequence
from typing import Any

from tests.loopback.server import Reply

Events = list[dict[str, Any]]


def anthropic_events(
    text: str = "",
    *,
    thinking: str = "",
    tools: Sequence[tuple[str, str, str]] = (),
    stop_reason: str | None = None,
    model: str = "claude-opus-5-5",
    usage: dict[str, Any] | None = None,
    output_tokens: int = 5,
) -> Events:
    """The events of one message. `tools` are (id, name, arguments)."""
    counts = {"input_tokens": 10, "output_tokens": 1, **(usage or {})}
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": counts,
    }  # fmt: skip
    events: Events = [{"type": "message_start", "message": message}]
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if thinking:
        parts: list[dict[str, Any]] = [
            {"type": "thinking_delta", "thinking": thinking},
            {"type": "signature_delta", "signature": f"signed:{thinking}"},
        ]
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, parts))
    if text:
        halves = [h for h in (text[: len(text) // 2], text[len(text) // 2 :]) if h]
        deltas = [{"type": "text_delta", "text": h} for h in halves]
        blocks.append(({"type": "text", "text": ""}, deltas))
    for call_id, name, arguments in tools:
        cut = len(arguments) // 2
        deltas = [
            {"type": "input_json_delta", "partial_json": part}
            for part in (arguments[:cut], arguments[cut:])
        ]
        blocks.append(({"type": "tool_use", "id": call_id, "name": name, "input": {}}, deltas))
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": d} for d in deltas]
        events.append({"type": "content_block_stop", "index": index})
    reason = stop_reason or ("tool_use" if tools else "end_turn")
    events.append(
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": output_tokens},
        }
    )
    events.append({"type": "message_stop"})
    return events


def anthropic_sse(events: Events) -> tuple[bytes, ...]:
    return tuple(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events)


def anthropic(text: str = "", **options: Any) -> Reply:
    """A complete answer of the Messages API."""
    return Reply(pieces=anthropic_sse(anthropic_events(text, **options)))


def openai_chunks(
    text: str = "",
    *,
    choices: Sequence[str] = (),
    tools: Sequence[tuple[str, str, str]] = (),
    stop_reason: str | None = None,
    usage: dict[str, Any] | None = None,
    extension: dict[str, Any] | None = None,
) -> Events:
    """The chunks of one chat completion; several `choices` share the stream."""
    texts = list(choices) or [text]
    chunks: Events = []
    for index, whole in enumerate(texts):
        for part in (whole[: len(whole) // 2], whole[len(whole) // 2 :]):
            chunks.append(_chunk([{"index": index, "delta": {"content": part}}]))
    for position, (call_id, name, arguments) in enumerate(tools):
        cut = len(arguments) // 2
        for part, head in ((arguments[:cut], True), (arguments[cut:], False)):
            function = {"arguments": part} | ({"name": name} if head else {})
            call = {"index": position, "function": function} | ({"id": call_id} if head else {})
            chunks.append(_chunk([{"index": 0, "delta": {"tool_calls": [call]}}]))
    reason = stop_reason or ("tool_calls" if tools else "stop")
    ends = [{"index": i, "delta": {}, "finish_reason": reason} for i in range(len(texts))]
    chunks.append(_chunk(ends))
    counts = usage or {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16}
    last = _chunk([]) | {"usage": counts}
    chunks.append(last if extension is None else last | {"pointsman": extension})
    return chunks


def openai_sse(chunks: Events) -> tuple[bytes, ...]:
    return (*(f"data: {json.dumps(c)}\n\n".encode() for c in chunks), b"data: [DONE]\n\n")


def openai(text: str = "", **options: Any) -> Reply:
    """A complete answer of chat completions."""
    return Reply(pieces=openai_sse(openai_chunks(text, **options)))


def _chunk(choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "m",
        "choices": choices,
    }  # fmt: skip
