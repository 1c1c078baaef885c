"""Servers that speak OpenAI's chat completions: our own worker, vLLM, SGLang, llama-server, APIs.

Always streamed, one attempt per call. With `dialect="pointsman"` (our own worker) the request
carries decoding hints and the last chunk decode statistics, both under `"pointsman"`.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from agent.errors import PointsmanError, ProviderUnavailable, RequestRejected
from agent.providers.base import check_window
from agent.providers.calls import Gatherer, written_out
from agent.providers.http import HttpLimits, guarded, status_error, transport_error
from agent.types import (
    CancelToken,
    Choice,
    Completion,
    DecodeStats,
    Endpoint,
    Location,
    Message,
    OnText,
    Reading,
    Request,
    StopReason,
    Thought,
    ToolCall,
    ToolSpec,
    Usage,
)

if TYPE_CHECKING:
    import httpx2

__all__ = ["Dialect", "OpenAICompatibleProvider"]

Dialect = Literal["openai", "pointsman"]

_STOPS: dict[str, StopReason] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_ERROR_BYTES = 64 << 10


class OpenAICompatibleProvider:
    """One model of an OpenAI-compatible server.

    `endpoint` is called for every attempt, in a short-lived thread: it may start the worker.
    """

    def __init__(
        self,
        *,
        endpoint: Callable[[], Endpoint],
        model: str,
        context_window: int,
        location: Location,
        name: str,
        dialect: Dialect = "openai",
        limits: HttpLimits | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._dialect: Dialect = dialect
        self._limits = limits or HttpLimits(total_s=1800.0)
        self.name = name
        self.model = model
        self.location: Location = location
        self.context_window = context_window

    def complete(self, request: Request, on_text: OnText, cancel: CancelToken) -> Completion:
        """Raises ProviderError; EngineError if the worker cannot start; Cancelled."""
        # Our worker counts exactly and refuses by itself: only the absurd is refused here.
        per_token = 3.0 if self._dialect == "openai" else 8.0
        check_window(request, self.context_window, bytes_per_token=per_token)
        body = _body(request, self.model, self._dialect)
        endpoint = self._endpoint()
        headers = {"authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        began = time.monotonic()
        answer = _Answer()
        with guarded(self.name, self._limits, cancel, uds=endpoint.uds, headers=headers) as (
            http,
            guard,
        ):
            try:
                url = f"{endpoint.base_url.rstrip('/')}/chat/completions"
                for event in _events(http, url, body, self.name):
                    answer.take(event, on_text)
            except PointsmanError as error:
                raise guard.error() or error from None
            except _foreign() as error:
                raise transport_error(error, guard) from error
            return answer.completion(self, time.monotonic() - began, request.tools)


def _foreign() -> tuple[type[Exception], ...]:
    """What httpx2 and JSON may raise; OSError when the watcher shut the socket."""
    import httpx2

    return (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, ValueError, OSError)


def _events(
    http: "httpx2.Client", url: str, body: dict[str, Any], name: str
) -> Iterator[dict[str, Any]]:
    """The stream's JSON chunks. Ends normally only after `[DONE]`."""
    import httpx2

    with http.stream("POST", url, json=body) as response:
        if response.status_code != 200:
            raise status_error(
                name,
                response.status_code,
                _error_text(response),
                retry_after=response.headers.get("retry-after"),
            )
        for event in httpx2.EventSource(response):
            if event.data.strip() == "[DONE]":
                return
            chunk = event.json()
            if not isinstance(chunk, dict):
                raise ProviderUnavailable(f"{name} sent a chunk that is not an object")
            yield chunk
    raise ProviderUnavailable(f"{name}: the stream ended before the answer did")


def _error_text(response: "httpx2.Response") -> str:
    """The error's message, from at most 64 kB of the body."""
    raw = b""
    for piece in response.iter_bytes():
        raw += piece
        if len(raw) >= _ERROR_BYTES:
            break
    text = raw[:_ERROR_BYTES].decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        return text
    if not isinstance(error, dict):
        return str(error)
    return f"{error.get('message', '')} {error.get('code') or error.get('type') or ''}".strip()


# --------------------------------------------------------------------------- request


def _body(request: Request, model: str, dialect: Dialect) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [_message(m) for m in request.messages],
        "max_tokens": request.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    optional: tuple[tuple[str, Any], ...] = (
        ("temperature", request.temperature),
        ("seed", request.seed),
        ("n", request.n if request.n > 1 else None),
        ("stop", list(request.stop) or None),
        ("tool_choice", None if request.tool_choice == "auto" else request.tool_choice),
    )
    body.update({key: value for key, value in optional if value is not None})
    if request.json_schema is not None:
        schema = _json(request.json_schema, "json_schema")
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": True},
        }
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": t.name,
                    "description": t.description,
                    "parameters": _json(t.schema, t.name),
                    **({"strict": True} if t.strict else {}),
                },
            }
            for t in request.tools
        ]
    if request.copy_sources and dialect == "pointsman":
        # Elsewhere `prediction` costs: rejected tokens of it are billed as output.
        parts = [{"type": "text", "text": text} for text in request.copy_sources]
        body["prediction"] = {"type": "content", "content": parts}
    if request.thinking and dialect == "pointsman":
        body["chat_template_kwargs"] = {"enable_thinking": True}
    if dialect == "pointsman":
        hints = request.hints
        body["pointsman"] = {
            f.name: getattr(hints, f.name)
            for f in fields(hints)
            if getattr(hints, f.name) is not None
        }
    return body


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise RequestRejected(f"the schema of {what} is not JSON: {error}", billed="no") from error


def _message(message: Message) -> dict[str, Any]:
    out: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        out["tool_calls"] = [
            {
                "id": c.id,
                "type": "function",
                "function": {"name": c.name, "arguments": c.arguments},
            }
            for c in message.tool_calls
        ]
    if message.role == "tool":
        out["tool_call_id"] = message.tool_call_id or ""
    return out


# --------------------------------------------------------------------------- answer


@dataclass(slots=True)
class _Answer:
    """Gathers a stream of chunks; choices are told apart by their index."""

    texts: dict[int, list[str]] = field(default_factory=dict)
    calls: Gatherer = field(default_factory=Gatherer)
    stops: dict[int, str] = field(default_factory=dict)
    counts: dict[str, Any] | None = None
    extension: dict[str, Any] = field(default_factory=dict)

    def take(self, chunk: dict[str, Any], on_text: OnText) -> None:
        if chunk.get("error"):
            error = chunk["error"]
            text = error.get("message", error) if isinstance(error, dict) else error
            raise ProviderUnavailable(f"the stream reported an error: {str(text)[:300]}")
        if isinstance(chunk.get("usage"), dict):
            self.counts = chunk["usage"]
        if isinstance(chunk.get("pointsman"), dict):
            self.extension = chunk["pointsman"]
            reading = _reading(self.extension.get("prefill"))
            if reading is not None:
                on_text(reading)
        for choice in chunk.get("choices") or ():
            if not isinstance(choice, dict) or not isinstance(choice.get("index", 0), int):
                raise ProviderUnavailable("a choice of the stream is malformed")
            self._choice(choice.get("index", 0), choice, on_text)

    def _choice(self, index: int, choice: dict[str, Any], on_text: OnText) -> None:
        delta = choice.get("delta") or {}
        if not isinstance(delta, dict):
            raise ProviderUnavailable("a choice of the stream is malformed")
        text = delta.get("content")
        if isinstance(text, str) and text:
            if index in self.stops:
                raise ProviderUnavailable("the stream went on after its end")
            self.texts.setdefault(index, []).append(text)
            if index == 0:
                on_text(text)
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought and index == 0:
            on_text(Thought(thought))
        for call in delta.get("tool_calls") or ():
            if index == 0 and isinstance(call, dict):
                self.calls.take(call)
        if choice.get("finish_reason"):
            self.stops[index] = str(choice["finish_reason"])

    def completion(
        self, provider: OpenAICompatibleProvider, duration_s: float, tools: Sequence[ToolSpec]
    ) -> Completion:
        name = provider.name
        if 0 not in self.stops:
            raise ProviderUnavailable(f"{name}: the answer has no finish reason")
        if self.stops[0] not in _STOPS:
            raise ProviderUnavailable(
                f"{name} stopped for a reason not known here: {self.stops[0]!r}"
            )
        stop = _STOPS[self.stops[0]]
        text, calls = self._said("".join(self.texts.get(0, ())), stop, tools)
        return Completion(
            text=text,
            stop_reason="tool_use" if calls and stop == "end" else stop,
            usage=self._usage(provider),
            model=provider.model,
            provider=name,
            location=provider.location,
            duration_s=duration_s,
            tool_calls=calls,
            choices=self._choices(),
            decode=self._decode(name),
        )

    def _said(
        self, text: str, stop: StopReason, tools: Sequence[ToolSpec]
    ) -> tuple[str, tuple[ToolCall, ...]]:
        """The text and the calls, which some servers leave in the text."""
        calls = self.calls.calls()
        if tools and not calls:
            text, calls = written_out(text, tools)
        if stop == "length":
            # A call cut by max_tokens is dropped: half an argument list must never be acted on.
            calls = tuple(c for c in calls if not c.malformed and c.arguments != "{}")
        return text, calls

    def _choices(self) -> tuple[Choice, ...]:
        """All choices that finished, when there is more than one or they have log-probabilities."""
        extra = self.extension.get("choices") or []
        found = []
        for index in sorted(self.stops):
            given = extra[index] if index < len(extra) and isinstance(extra[index], dict) else {}
            logprob = given.get("logprob")
            text = "".join(self.texts.get(index, ()))
            number = float(logprob) if isinstance(logprob, int | float) else None
            found.append(Choice(text=text, logprob=number))
        keep = len(found) > 1 or any(c.logprob is not None for c in found)
        return tuple(found) if keep else ()

    def _decode(self, name: str) -> DecodeStats | None:
        given = self.extension.get("decode")
        if not isinstance(given, dict):
            return None
        known = {f.name for f in fields(DecodeStats)}
        try:
            return DecodeStats(**{k: v for k, v in given.items() if k in known})
        except TypeError as error:
            raise ProviderUnavailable(f"{name}: malformed decode statistics: {error}") from error

    def _usage(self, provider: OpenAICompatibleProvider) -> Usage:
        """`prompt_tokens` and `completion_tokens` are totals there; ours are disjoint."""
        name, counts = provider.name, self.counts
        if counts is None:
            if provider.location == "frontier":
                raise ProviderUnavailable(f"{name} did not report its usage", billed="unknown")
            counts = {}
        prompt = _count(counts, "prompt_tokens", name)
        output = _count(counts, "completion_tokens", name)
        cached = _count(counts.get("prompt_tokens_details"), "cached_tokens", name)
        thinking = _count(counts.get("completion_tokens_details"), "reasoning_tokens", name)
        return Usage(
            input=max(0, prompt - cached),
            cache_read=min(cached, prompt),
            output=max(0, output - thinking),
            thinking=min(thinking, output),
            raw=json.dumps(counts, sort_keys=True, default=str),
        )


def _reading(given: object) -> Reading | None:
    """How far the worker has read the prompt; what is malformed is no reason to fail."""
    if not isinstance(given, dict):
        return None
    done, total = given.get("done"), given.get("total")
    if not isinstance(done, int) or not isinstance(total, int) or not 0 <= done <= total:
        return None
    return Reading(done, total)


def _count(counts: object, key: str, name: str) -> int:
    """A token count. Nonsense makes the cost unknown, so the row must be closed as such."""
    value = counts.get(key) if isinstance(counts, dict) else None
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ProviderUnavailable(f"{name} reported {key} = {value!r}", billed="unknown")
    return value
