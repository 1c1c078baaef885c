"""Anthropic's dialect at the front: a messages request to a question, a completion to events."""

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.context import strictest
from agent.errors import RequestRejected
from agent.providers.base import estimate_tokens
from agent.serve.chat import Hints, where
from agent.serve.classify import classify
from agent.serve.front.desk import Question, Served
from agent.serve.front.openai import extension
from agent.types import (
    DecodeHints,
    Message,
    Privacy,
    Request,
    StopReason,
    ToolCall,
    ToolSpec,
    Usage,
)

__all__ = ["Blocks", "MessagesRequest", "body_of", "question"]

_STOPS: dict[StopReason, str] = {
    "end": "end_turn",
    "stop": "stop_sequence",
    "length": "max_tokens",
    "tool_use": "tool_use",
    "refusal": "refusal",
    "cancelled": "end_turn",
    "pause": "pause_turn",
}
_UNSEEN = ("thinking", "redacted_thinking")
"""Of earlier turns: signed for the model that thought them, and no part of the conversation."""


class _Open(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Block(_Open):
    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: dict[str, Any] = Field(default_factory=dict)
    tool_use_id: str = ""
    content: "str | list[_Block] | None" = None
    is_error: bool = False


class _Turn(_Open):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]


class _Tool(_Open):
    type: str | None = None
    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    input_schema: dict[str, Any] = Field(default_factory=lambda: {"type": "object"})
    strict: bool = False


class _Choice(_Open):
    type: Literal["auto", "any", "tool", "none"] = "auto"
    name: str = ""


class _Format(_Open):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class _OutputConfig(_Open):
    format: _Format | None = None


class _Thinking(_Open):
    type: Literal["enabled", "adaptive", "disabled"] = "disabled"


class MessagesRequest(_Open):
    """POST /v1/messages; counting tokens takes the same without `max_tokens`."""

    model: str
    messages: Annotated[list[_Turn], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] = 1
    system: str | list[_Block] = ""
    tools: list[_Tool] = Field(default_factory=list)
    tool_choice: _Choice = Field(default_factory=_Choice)
    stop_sequences: list[str] = Field(default_factory=list)
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    output_config: _OutputConfig = Field(default_factory=_OutputConfig)
    thinking: _Thinking = Field(default_factory=_Thinking)
    stream: bool = False
    pointsman: Hints | None = None


def question(
    body: bytes, *, privacy: Privacy, counting: bool = False
) -> tuple[MessagesRequest, Question]:
    """Raises RequestRejected."""
    try:
        asked = MessagesRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestRejected(where(error), billed="no") from error
    refusal = _refusal(asked, counting)
    if refusal:
        raise RequestRejected(refusal, billed="no")
    messages = _messages(asked)
    shown = classify(
        [(m.role, m.content) for m in messages], predicted=False, temperature=asked.temperature
    )
    given = asked.pointsman
    stated = DecodeHints(**given.model_dump(exclude={"grammar", "privacy"})) if given else None
    kind = given.step_kind if given else "chat"
    tools = asked.tools if asked.tool_choice.type != "none" else []
    if asked.tool_choice.type == "tool":
        tools = [t for t in tools if t.name == asked.tool_choice.name]
    wanted = asked.output_config.format
    request = Request(
        id=uuid.uuid4().hex,
        step_kind=kind,
        messages=tuple(messages),
        max_tokens=asked.max_tokens,
        privacy=strictest(privacy, given.privacy if given else "open"),
        hints=stated or shown or DecodeHints(step_kind="chat"),
        temperature=asked.temperature,
        stop=tuple(asked.stop_sequences),
        json_schema=json.dumps(wanted.schema_) if wanted else None,
        tools=tuple(_tool(t) for t in tools),
        tool_choice="required" if asked.tool_choice.type in ("any", "tool") else "auto",
        thinking=asked.thinking.type != "disabled",
    )
    return asked, Question(model=asked.model, kind=kind, request=request)


def _refusal(asked: MessagesRequest, counting: bool) -> str:
    """What this server does not do; empty if it does all that was asked for."""
    given = asked.model_fields_set
    served = [t.type for t in asked.tools if t.type not in (None, "custom")]
    choice = asked.tool_choice
    forced = choice.type in ("any", "tool")
    rules: tuple[tuple[bool, str], ...] = (
        (not counting and "max_tokens" not in given, "max_tokens: Field required"),
        (bool(served), f"tools that run on the server are not offered here: {served[:1]}"),
        (forced and not asked.tools, "tool_choice asks for a call, but there are no tools"),
        (choice.type == "tool" and choice.name not in [t.name for t in asked.tools],
         f"tool_choice names {choice.name!r}, which is not among the tools"),
        (asked.messages[-1].role == "assistant" and not counting,
         "the last message is the assistant's: continuing it is not supported"),
    )  # fmt: skip
    return next((text for applies, text in rules if applies), "")


def _tool(tool: _Tool) -> ToolSpec:
    return ToolSpec(
        name=tool.name,
        description=tool.description,
        schema=json.dumps(tool.input_schema),
        strict=tool.strict,
    )


def _messages(asked: MessagesRequest) -> list[Message]:
    system = _text(asked.system)
    found = [Message(role="system", content=system)] if system else []
    for turn in asked.messages:
        if isinstance(turn.content, str):
            found.append(Message(role=turn.role, content=turn.content))
        elif turn.role == "assistant":
            found.append(_assistant(turn.content))
        else:
            found += _user(turn.role, turn.content)
    return found


def _assistant(blocks: Sequence[_Block]) -> Message:
    known = [b for b in blocks if b.type not in _UNSEEN]
    calls = tuple(
        ToolCall(id=b.id, name=b.name, arguments=json.dumps(b.input, ensure_ascii=False))
        for b in known
        if b.type == "tool_use"
    )
    text = _text([b for b in known if b.type != "tool_use"])
    return Message(role="assistant", content=text, tool_calls=calls)


def _user(role: Literal["user", "assistant", "system"], blocks: Sequence[_Block]) -> list[Message]:
    """Results of tools are messages of their own, in the order of the blocks."""
    found: list[Message] = []
    texts: list[_Block] = []

    def flush() -> None:
        if texts:
            found.append(Message(role=role, content=_text(texts)))
            texts.clear()

    for block in blocks:
        if block.type != "tool_result":
            texts.append(block)
            continue
        flush()
        content = _text(block.content or "")
        told = f"error: {content}" if block.is_error else content
        found.append(Message(role="tool", content=told, tool_call_id=block.tool_use_id))
    flush()
    return found


def _text(content: str | Sequence[_Block]) -> str:
    if isinstance(content, str):
        return content
    other = next((b.type for b in content if b.type != "text"), None)
    if other:
        raise RequestRejected(f"only text is supported, not {other!r}", billed="no")
    return "\n\n".join(b.text for b in content)


# --------------------------------------------------------------------------- answer


def body_of(served: Served, thinking: str) -> dict[str, Any]:
    """The whole message of a request that does not stream."""
    done = served.completion
    content: list[dict[str, Any]] = []
    if thinking:
        content.append({"type": "thinking", "thinking": thinking, "signature": ""})
    if done.text:
        content.append({"type": "text", "text": done.text})
    for call in done.tool_calls:
        arguments = json.loads(call.arguments)
        content.append(
            {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}
        )  # fmt: skip
    return {
        **_head(done.model),
        "content": content,
        "stop_reason": _STOPS[done.stop_reason],
        "usage": usage(done.usage),
        "pointsman": extension(served),
    }


def _head(model: str) -> dict[str, Any]:
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def usage(used: Usage) -> dict[str, Any]:
    written = used.cache_write_5m + used.cache_write_1h
    return {
        "input_tokens": used.input,
        "cache_read_input_tokens": used.cache_read,
        "cache_creation_input_tokens": written,
        "output_tokens": used.output + used.thinking,
        "output_tokens_details": {"thinking_tokens": used.thinking},
    }


Event = dict[str, Any]


class Blocks:
    """The events of one message while it is written: at most one block is open."""

    def __init__(self) -> None:
        self._index = -1
        self._open: str | None = None

    def begin(self, question: Question) -> Iterator[Event]:
        """Model and tokens as far as they are known: the last event has the counts."""
        counts = {"input_tokens": estimate_tokens(question.request), "output_tokens": 0}
        yield {"type": "message_start", "message": {**_head(question.model), "usage": counts}}

    def said(self, kind: Literal["thinking", "text"], text: str) -> Iterator[Event]:
        if self._open != kind:
            yield from self._close()
            empty = {"type": kind, kind: ""} | ({"signature": ""} if kind == "thinking" else {})
            yield self._start(kind, empty)
        yield self._delta({"type": f"{kind}_delta", kind: text})

    def end(self, served: Served) -> Iterator[Event]:
        done = served.completion
        yield from self._close()
        for call in done.tool_calls:
            block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            yield self._start("tool_use", block)
            yield self._delta({"type": "input_json_delta", "partial_json": call.arguments})
            yield from self._close()
        yield {
            "type": "message_delta",
            "delta": {"stop_reason": _STOPS[done.stop_reason], "stop_sequence": None},
            "usage": usage(done.usage),
            "pointsman": extension(served),
        }
        yield {"type": "message_stop"}

    def _start(self, kind: str, block: dict[str, Any]) -> Event:
        self._index, self._open = self._index + 1, kind
        return {"type": "content_block_start", "index": self._index, "content_block": block}

    def _delta(self, delta: dict[str, Any]) -> Event:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _close(self) -> Iterator[Event]:
        if self._open is not None:
            yield {"type": "content_block_stop", "index": self._index}
        self._open = None
