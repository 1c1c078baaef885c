"""What every provider shares: token estimates, the window check, completions as JSON."""

import json
import math
from dataclasses import asdict

from agent.errors import ContextOverflow
from agent.types import Choice, Completion, DecodeStats, Request, ToolCall, Usage

__all__ = [
    "check_window",
    "decode_completion",
    "encode_completion",
    "estimate_tokens",
    "token_upper_bound",
]

BYTES_PER_TOKEN = 3.0
"""Code runs at 3 to 4 bytes a token with current vocabularies: the estimate errs high."""
_MESSAGE_OVERHEAD = 16
_REQUEST_OVERHEAD = 1024
"""Tool and schema preambles that a provider adds (a few hundred tokens on current models)."""


def _sizes(request: Request) -> tuple[int, int]:
    """UTF-8 bytes of all that is sent, and the number of parts."""
    texts = [m.content for m in request.messages]
    texts += [c.name + c.arguments for m in request.messages for c in m.tool_calls]
    texts += [t.name + t.description + t.schema for t in request.tools]
    texts.append(request.json_schema or "")
    return sum(len(t.encode("utf-8", "surrogatepass")) for t in texts), len(texts)


def estimate_tokens(request: Request, *, bytes_per_token: float = BYTES_PER_TOKEN) -> int:
    """About how many tokens the prompt has."""
    size, parts = _sizes(request)
    return math.ceil(size / bytes_per_token) + 4 * parts


def token_upper_bound(request: Request) -> int:
    """No prompt has more tokens than this: a byte-level vocabulary spends at least a byte each."""
    size, parts = _sizes(request)
    return size + _MESSAGE_OVERHEAD * parts + _REQUEST_OVERHEAD


def check_window(
    request: Request, context_window: int, *, bytes_per_token: float = BYTES_PER_TOKEN
) -> None:
    """Raises ContextOverflow if prompt and answer cannot fit. Nothing is ever truncated."""
    prompt = estimate_tokens(request, bytes_per_token=bytes_per_token)
    if prompt + request.max_tokens > context_window:
        raise ContextOverflow(
            f"about {prompt} prompt tokens and {request.max_tokens} for the answer do not fit"
            f" the window of {context_window}",
            remedy="give the step fewer files, or a model with a larger window",
            billed="no",
        )


def encode_completion(completion: Completion) -> str:
    """As one line of JSON; `decode_completion` is its inverse."""
    return json.dumps(asdict(completion), ensure_ascii=False, separators=(",", ":"))


def decode_completion(text: str) -> Completion:
    """From `encode_completion`. Raises ValueError if it is not one."""
    try:
        data = json.loads(text)
        decode = data["decode"]
        parts = {
            "usage": Usage(**data["usage"]),
            "tool_calls": tuple(ToolCall(**c) for c in data["tool_calls"]),
            "choices": tuple(Choice(**c) for c in data["choices"]),
            "decode": None if decode is None else DecodeStats(**decode),
        }
        return Completion(**{**data, **parts})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a recorded completion: {error}") from error
