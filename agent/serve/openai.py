"""The OpenAI chat dialect: what a request may hold, and the bodies and chunks of an answer.

Our extension travels in the field `pointsman`: decoding hints in, decode statistics out.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.engine.engine import Answer
from agent.errors import RequestRejected
from agent.types import DecodeHints, EditFormatName, StepKind, ToolCall

__all__ = ["ChatRequest", "chunk", "final_body", "parse_request", "usage_of"]


class _Open(BaseModel):
    """Fields that other clients send and that change nothing are let through."""

    model_config = ConfigDict(extra="ignore")


class _Part(_Open):
    type: str = "text"
    text: str = ""


class _Function(_Open):
    name: str
    arguments: str = "{}"


class _Call(_Open):
    id: str = ""
    type: str = "function"
    function: _Function


class _Message(_Open):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] = Field(default_factory=list)
    tool_call_id: str | None = None


class _Prediction(_Open):
    type: Literal["content"] = "content"
    content: str | list[_Part] = ""


class _JsonSchema(_Open):
    schema_: dict[str, Any] = Field(alias="schema", default_factory=dict)


class _ResponseFormat(_Open):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None


class _StreamOptions(_Open):
    include_usage: bool = False


class _TemplateOptions(_Open):
    enable_thinking: bool = False


class _Hints(BaseModel):
    """Our own extension: here a typing mistake must not pass."""

    model_config = ConfigDict(extra="forbid")
    step_kind: StepKind = "chat"
    edit_format: EditFormatName | None = None
    strategy: Literal["auto", "plain", "mtp", "copy", "combined"] = "auto"
    draft_length: Annotated[int, Field(ge=1, le=16)] | None = None
    beam: Annotated[int, Field(ge=0, le=32)] = 0
    reproducible: bool = False
    grammar: str | None = None
    """GBNF; excludes `response_format`."""


class ChatRequest(_Open):
    """POST /v1/chat/completions."""

    messages: Annotated[list[_Message], Field(min_length=1)]
    model: str = ""
    stream: bool = False
    stream_options: _StreamOptions = Field(default_factory=_StreamOptions)
    n: Annotated[int, Field(ge=1, le=32)] = 1
    stop: str | list[str] | None = None
    seed: int | None = None
    temperature: Annotated[float, Field(ge=0, le=10)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    repeat_penalty: Annotated[float, Field(gt=0, le=4)] = 1.0
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool = False
    prediction: _Prediction | None = None
    response_format: _ResponseFormat | None = None
    tools: list[dict[str, Any]] = Field(default_factory=list)
    tool_choice: str | dict[str, Any] | None = None
    chat_template_kwargs: _TemplateOptions = Field(default_factory=_TemplateOptions)
    pointsman: _Hints | None = None
    logit_bias: dict[str, float] | None = None

    def limit(self) -> int:
        return self.max_completion_tokens or self.max_tokens or 4096

    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    def copy_sources(self) -> tuple[str, ...]:
        if self.prediction is None:
            return ()
        content = self.prediction.content
        texts = [content] if isinstance(content, str) else [p.text for p in content]
        return tuple(t for t in texts if t)

    def hints(self) -> DecodeHints | None:
        if self.pointsman is None:
            return None
        return DecodeHints(**self.pointsman.model_dump(exclude={"grammar"}))

    def template_messages(self) -> list[dict[str, Any]]:
        """Messages as chat templates expect them: text content, parsed call arguments."""
        import json

        result = []
        for message in self.messages:
            content = message.content or ""
            text = content if isinstance(content, str) else "".join(p.text for p in content)
            role = "system" if message.role == "developer" else message.role
            made: dict[str, Any] = {"role": role, "content": text}
            if message.tool_calls:
                made["tool_calls"] = [
                    {"type": "function", "function": {"name": c.function.name, "arguments": args}}
                    for c in message.tool_calls
                    for args in [json.loads(c.function.arguments or "{}")]
                ]
            result.append(made)
        return result


def parse_request(body: bytes) -> ChatRequest:
    """Raises RequestRejected with what is wrong and where."""
    try:
        request = ChatRequest.model_validate_json(body)
        request.template_messages()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise RequestRejected(f"{where}: {first['msg']}", billed="no") from error
    except ValueError as error:
        raise RequestRejected("tool call arguments are not JSON", billed="no") from error
    if any(isinstance(p, _Part) and p.type != "text" for p in _parts(request)):
        raise RequestRejected("only text content is supported", billed="no")
    if request.logit_bias:
        raise RequestRejected("logit_bias is not supported", billed="no")
    if isinstance(request.tool_choice, dict) or request.tool_choice == "required":
        raise RequestRejected("tool_choice can be auto or none", billed="no")
    return request


def _parts(request: ChatRequest) -> list[_Part]:
    return [p for m in request.messages if isinstance(m.content, list) for p in m.content]


_FINISH = {"end": "stop", "stop": "stop", "length": "length", "loop": "length"}


def usage_of(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.prompt_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.reused_tokens},
    }


def extension_of(answer: Answer) -> dict[str, Any]:
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
    answer: Answer, texts: Sequence[tuple[str, Sequence[ToolCall]]], model: str
) -> dict[str, Any]:
    """The whole answer of a request that does not stream; `texts` are content and calls."""
    choices = []
    for i, ((content, calls), end) in enumerate(zip(texts, answer.ends, strict=True)):
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if calls:
            message["tool_calls"] = calls_body(calls)
        choices.append({"index": i, "message": message, "finish_reason": finish_reason(end, calls)})
    return {
        "id": new_id(),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        "usage": usage_of(answer),
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
