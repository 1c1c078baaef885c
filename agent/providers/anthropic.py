"""Anthropic's API through its SDK: always streamed, one attempt per call.

The answer counts only after `message_stop` and a proper stop reason: the SDK returns a normal
looking message when the connection ends early, even in the middle of a tool call.
"""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from agent.errors import (
    ContextOverflow,
    PointsmanError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from agent.providers.base import check_window
from agent.providers.http import Guard, HttpLimits, guarded, status_error, transport_error
from agent.types import (
    CancelToken,
    Completion,
    Location,
    Message,
    OnText,
    Request,
    StopReason,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    import httpx2

__all__ = ["AnthropicProvider"]

_STOPS: dict[str, StopReason] = {
    "end_turn": "end",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_use",
    "refusal": "refusal",
}


class AnthropicProvider:
    """One model of Anthropic's API. `seed`, `temperature` and `n` have no counterpart there."""

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        context_window: int,
        base_url: str = "https://api.anthropic.com",
        cache_ttl: Literal["5m", "1h"] = "5m",
        limits: HttpLimits | None = None,
        name: str = "anthropic",
        location: Location = "frontier",
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._cache_ttl = cache_ttl
        self._limits = limits or HttpLimits()
        self.name = name
        self.model = model
        self.location: Location = location
        self.context_window = context_window

    def complete(self, request: Request, on_text: OnText, cancel: CancelToken) -> Completion:
        """Raises ProviderError; Cancelled if `cancel` was set."""
        import anthropic  # noqa: F401  # takes 1-2 s: not out of the attempt's deadline

        check_window(request, self.context_window)
        began = time.monotonic()
        with guarded(self.name, self._limits, cancel) as (http, guard), _ours(self.name, guard):
            answer = _Answer()
            for event in self._events(http, _body(request, self.model, self._cache_ttl)):
                answer.take(event, on_text)
            stop = answer.stop_reason(self.name)
        return Completion(
            text="".join(answer.texts),
            stop_reason=stop,
            usage=answer.usage(self.name, self._cache_ttl),
            model=self.model,
            provider=self.name,
            location=self.location,
            duration_s=time.monotonic() - began,
            tool_calls=answer.calls(self.name),
        )

    def _events(self, http: "httpx2.Client", body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The stream's events as plain JSON: the SDK's models let malformed values through."""
        import anthropic

        client = anthropic.Anthropic(
            api_key=self._api_key,
            base_url=self._base_url,
            max_retries=0,
            http_client=http,
            timeout=http.timeout,
            open_telemetry=False,  # an exporter in the environment would get the prompts
        )
        with client.messages.create(**body, stream=True) as stream:
            for event in stream:
                yield event.to_dict() if hasattr(event, "to_dict") else {"type": None}


@contextmanager
def _ours(name: str, guard: Guard) -> Iterator[None]:
    """Every error of SDK, HTTP client and JSON as one of ours.

    Anything may escape the SDK: httpx2 and JSON errors, a bare AssertionError for an empty 200.
    """
    try:
        yield
    except PointsmanError:
        raise
    except Exception as error:  # the SDK's boundary: what it may raise is not bounded
        raise _mapped(error, name, guard) from error


def _mapped(error: Exception, name: str, guard: Guard) -> PointsmanError:
    import anthropic

    stopped = guard.error()
    if stopped is not None:
        return stopped
    if not isinstance(error, anthropic.APIStatusError):
        cause = error.__cause__ if isinstance(error, anthropic.APIConnectionError) else None
        return transport_error(cause if isinstance(cause, Exception) else error, guard)
    text = error.api_message or str(error.body or error)
    status = error.status_code
    if status == 200:  # an `error` event inside a stream that had begun
        return _in_stream(name, error.type or "", text)
    return status_error(name, status, text, retry_after=error.response.headers.get("retry-after"))


def _in_stream(name: str, kind: str, text: str) -> PointsmanError:
    """Part of an answer may have been produced and billed: never `billed="no"`."""
    if kind in ("overloaded_error", "rate_limit_error"):
        return RateLimited(f"{name} broke off: {kind}: {text[:300]}", billed="unknown")
    if kind == "invalid_request_error":
        return RequestRejected(f"{name} broke off: {kind}: {text[:300]}", billed="unknown")
    return ProviderUnavailable(f"{name} broke off: {kind or 'error'}: {text[:300]}")


# --------------------------------------------------------------------------- request


def _body(request: Request, model: str, cache_ttl: Literal["5m", "1h"]) -> dict[str, Any]:
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
        kinds = {"auto": "auto", "none": "none", "required": "any"}
        body["tool_choice"] = {"type": kinds[request.tool_choice]}
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
    blocks: list[dict[str, Any]] = []
    if message.content:
        blocks.append({"type": "text", "text": message.content})
    for call in message.tool_calls:
        arguments = _json(call.arguments or "{}", call.name)
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments})
    return blocks


# --------------------------------------------------------------------------- answer


@dataclass(slots=True)
class _Tool:
    id: str
    name: str
    parts: list[str] = field(default_factory=list)
    closed: bool = False


@dataclass(slots=True)
class _Answer:
    """Gathers a stream; refuses one whose order makes no sense."""

    texts: list[str] = field(default_factory=list)
    tools: dict[int, _Tool] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)
    counts: dict[str, Any] = field(default_factory=dict)
    stop: str | None = None
    started: bool = False
    finished: bool = False

    def take(self, event: dict[str, Any], on_text: OnText) -> None:
        kind = event.get("type")
        if kind == "message_start":
            self._require(not self.started, event)
            self.started = True
            self.counts.update(_present(event.get("message", {}).get("usage")))
        elif kind in ("content_block_start", "content_block_delta", "content_block_stop"):
            self._require(self.started and not self.finished, event)
            self._block(kind, event, on_text)
        elif kind == "message_delta":
            self._require(self.started and not self.finished, event)
            self.stop = event.get("delta", {}).get("stop_reason") or self.stop
            self.counts.update(_present(event.get("usage")))  # cumulative, so the last one counts
        elif kind == "message_stop":
            self._require(self.started and not self.open, event)
            self.finished = True

    def _block(self, kind: str, event: dict[str, Any], on_text: OnText) -> None:
        index = event.get("index")
        if not isinstance(index, int):
            raise ProviderUnavailable("a stream event without an index")
        if kind == "content_block_start":
            self._require(index not in self.open, event)
            self.open.add(index)
            block = event.get("content_block") or {}
            if block.get("type") == "tool_use":
                self.tools[index] = _Tool(str(block.get("id", "")), str(block.get("name", "")))
        elif kind == "content_block_stop":
            self._require(index in self.open, event)
            self.open.discard(index)
            if index in self.tools:
                self.tools[index].closed = True
        else:
            self._require(index in self.open, event)
            self._delta(index, event.get("delta") or {}, on_text)

    def _delta(self, index: int, delta: dict[str, Any], on_text: OnText) -> None:
        if delta.get("type") == "text_delta":
            text = str(delta.get("text") or "")
            self.texts.append(text)
            on_text(text)
        elif delta.get("type") == "input_json_delta" and index in self.tools:
            self.tools[index].parts.append(str(delta.get("partial_json") or ""))

    def _require(self, right: bool, event: dict[str, Any]) -> None:
        if not right:
            raise ProviderUnavailable(f"the stream's events are out of order at {event['type']}")

    def stop_reason(self, name: str) -> StopReason:
        if not self.finished:
            raise ProviderUnavailable(f"{name}: the stream ended before the answer did")
        if self.stop == "model_context_window_exceeded":
            raise ContextOverflow(f"{name}: the model's window was full before the answer ended")
        if self.stop not in _STOPS:
            raise ProviderUnavailable(f"{name} stopped for a reason not known here: {self.stop!r}")
        return _STOPS[self.stop]

    def calls(self, name: str) -> tuple[ToolCall, ...]:
        found = []
        for tool in self.tools.values():
            arguments = "".join(tool.parts) or "{}"
            try:
                whole = tool.closed and isinstance(json.loads(arguments), dict)
            except ValueError:
                whole = False
            # A call cut by max_tokens is dropped: half an argument list must never be acted on.
            if whole:
                found.append(ToolCall(id=tool.id, name=tool.name, arguments=arguments))
            elif self.stop == "tool_use":
                raise ProviderUnavailable(f"{name}: the arguments of {tool.name} are not JSON")
        return tuple(found)

    def usage(self, name: str, cache_ttl: Literal["5m", "1h"]) -> Usage:
        writes = self.counts.get("cache_creation") or {}
        total = _count(self.counts, "cache_creation_input_tokens", name)
        hour = _count(writes, "ephemeral_1h_input_tokens", name)
        if not writes and cache_ttl == "1h":
            hour = total
        thinking = _count(self.counts.get("output_tokens_details") or {}, "thinking_tokens", name)
        output = _count(self.counts, "output_tokens", name)
        return Usage(
            input=_count(self.counts, "input_tokens", name),
            cache_read=_count(self.counts, "cache_read_input_tokens", name),
            cache_write_5m=max(0, total - hour),
            cache_write_1h=hour,
            output=max(0, output - thinking),
            thinking=min(thinking, output),
            raw=json.dumps(self.counts, sort_keys=True, default=str),
        )


def _present(usage: object) -> Iterable[tuple[str, Any]]:
    return [(k, v) for k, v in usage.items() if v is not None] if isinstance(usage, dict) else []


def _count(counts: object, key: str, name: str) -> int:
    """A token count. Nonsense makes the cost unknown, so the row must be closed as such."""
    value = counts.get(key, 0) if isinstance(counts, dict) else 0
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ProviderUnavailable(f"{name} reported {key} = {value!r}", billed="unknown")
    return value
