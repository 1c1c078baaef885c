"""Bodies and chunks of an answer in the OpenAI chat dialect, as the worker gives them."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from agent.serve.parts import Parted
from agent.types import ToolCall

if TYPE_CHECKING:
    from agent.engine.engine import Answer

__all__ = ["calls_body", "chunk", "final_body", "finish_reason", "new_id", "usage_of"]

_FINISH = {"end": "stop", "stop": "stop", "length": "length", "loop": "length"}


def usage_of(answer: "Answer", reasoning: int = 0) -> dict[str, Any]:
    """`reasoning`: how many of the output tokens were thinking."""
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.prompt_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.reused_tokens},
        "completion_tokens_details": {"reasoning_tokens": min(reasoning, answer.output_tokens)},
    }


def extension_of(answer: "Answer") -> dict[str, Any]:
    """`pointsman` of an answer: DecodeStats by its field names, and what each choice scored."""
    return {
        "decode": asdict(answer.stats),
        "reason": answer.reason,
        "choices": [
            {"logprob": choice.logprob, "end": end}
            for choice, end in zip(answer.choices, answer.ends, strict=True)
        ],
    }


def finish_reason(end: str, calls: Sequence[ToolCall]) -> str:
    return "tool_calls" if calls else _FINISH[end]


def calls_body(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    return [
        {
            "index": i,
            "id": f"{c.id}_{uuid.uuid4().hex[:8]}",
            "type": "function",
            "function": {"name": c.name, "arguments": c.arguments},
        }
        for i, c in enumerate(calls)
    ]


def new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


def final_body(
    answer: "Answer", parts: Sequence[Parted], model: str, reasoning: int = 0
) -> dict[str, Any]:
    """The whole answer of a request that does not stream."""
    choices = []
    for i, (one, end) in enumerate(zip(parts, answer.ends, strict=True)):
        message: dict[str, Any] = {"role": "assistant", "content": one.content}
        if one.reasoning:
            message["reasoning_content"] = one.reasoning
        if one.calls:
            message["tool_calls"] = calls_body(one.calls)
        finish = finish_reason(end, one.calls)
        choices.append({"index": i, "message": message, "finish_reason": finish})
    return {
        "id": new_id(),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        "usage": usage_of(answer, reasoning),
        "pointsman": extension_of(answer),
    }


def chunk(
    ident: str, model: str, *, index: int = 0, delta: dict[str, Any], finish: str | None = None
) -> dict[str, Any]:
    return {
        "id": ident,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
    }
