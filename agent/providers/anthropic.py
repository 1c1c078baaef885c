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
from agent.providers.anthropic_request import body_of
from agent.providers.base import check_window
from agent.providers.http import Guard, HttpLimits, guarded, status_error, transport_error
from agent.types import (
    CancelToken,
    Completion,
    Location,
    OnText,
    Request,
    StopReason,
    Thought,
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
    "pause_turn": "pause",
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
            for event in self._events(http, body_of(request, self.model, self._cache_ttl)):
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
            native=answer.native(),
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


# --------------------------------------------------------------------------- answer


@dataclass(slots=True)
class _Tool:
    id: str
    name: str
    parts: list[str] = field(default_factory=list)
    closed: bool = False

    def arguments(self) -> dict[str, Any] | None:
        """None for what is no JSON object."""
        try:
            value = json.loads("".join(self.parts) or "{}")
        except ValueError:
            return None
        return value if isinstance(value, dict) else None


@dataclass(slots=True)
class _Answer:
    """Gathers a stream; refuses one whose order makes no sense."""

    texts: list[str] = field(default_factory=list)
    tools: dict[int, _Tool] = field(default_factory=dict)
    blocks: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Text and thinking, by index."""
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
            kind_of_block = block.get("type")
            if kind_of_block == "tool_use":
                self.tools[index] = _Tool(str(block.get("id", "")), str(block.get("name", "")))
            elif kind_of_block in ("text", "thinking", "redacted_thinking"):
                self.blocks[index] = dict(block)
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
            self._grow(index, "text", text)
            on_text(text)
        elif delta.get("type") == "thinking_delta":
            text = str(delta.get("thinking") or "")
            self._grow(index, "thinking", text)
            if text:
                on_text(Thought(text))
        elif delta.get("type") == "signature_delta":
            self._grow(index, "signature", str(delta.get("signature") or ""))
        elif delta.get("type") == "input_json_delta" and index in self.tools:
            self.tools[index].parts.append(str(delta.get("partial_json") or ""))

    def _grow(self, index: int, key: str, text: str) -> None:
        if index in self.blocks:
            self.blocks[index][key] = str(self.blocks[index].get(key) or "") + text

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
            # A call cut by max_tokens is dropped: half an argument list must never be acted on.
            if tool.closed and tool.arguments() is not None:
                found.append(ToolCall(id=tool.id, name=tool.name, arguments=arguments))
            elif self.stop == "tool_use":
                raise ProviderUnavailable(f"{name}: the arguments of {tool.name} are not JSON")
        return tuple(found)

    def native(self) -> str:
        """The turn's blocks, where it holds thinking: that is signed, and must go back as it came
        or the next request of the turn is refused."""
        if all(b.get("type") == "text" for b in self.blocks.values()):
            return ""
        found: dict[int, dict[str, Any]] = {
            i: b for i, b in self.blocks.items() if b.get("type") != "text" or b.get("text")
        }
        for index, tool in self.tools.items():
            if tool.closed and (arguments := tool.arguments()) is not None:
                found[index] = {
                    "type": "tool_use",
                    "id": tool.id,
                    "name": tool.name,
                    "input": arguments,
                }
        return json.dumps([found[i] for i in sorted(found)], ensure_ascii=False)

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
