"""What an OpenAI chat request may hold. The worker and the front server read it alike.

Our extension travels in the field `pointsman`: decoding hints in, decode statistics out.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.errors import RequestRejected
from agent.serve.classify import classify
from agent.types import DecodeHints, EditFormatName, Privacy, StepKind

__all__ = ["ChatRequest", "parse_request", "parse_tokenize"]

MAX_TOKENS = 4096
"""Of an answer, where the client names no limit."""


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
    enable_thinking: bool | None = None


class Hints(BaseModel):
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
    privacy: Privacy = "open"
    """For the front server: where this may go."""


class _ToolName(_Open):
    name: Annotated[str, Field(min_length=1, max_length=256)]
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)
    strict: bool = False


class _NamedTool(_Open):
    """Also of a tool: the name is all that is checked there."""

    function: _ToolName


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
    tool_choice: Literal["none", "auto", "required"] | _NamedTool | None = None
    parallel_tool_calls: bool = True
    reasoning_effort: str | None = None
    chat_template_kwargs: _TemplateOptions = Field(default_factory=_TemplateOptions)
    pointsman: Hints | None = None
    logit_bias: dict[str, float] | None = None

    def limit(self) -> int:
        return self.max_completion_tokens or self.max_tokens or MAX_TOKENS

    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    def copy_sources(self) -> tuple[str, ...]:
        if self.prediction is None:
            return ()
        content = self.prediction.content
        texts = [content] if isinstance(content, str) else [p.text for p in content]
        return tuple(t for t in texts if t)

    def choice(self) -> str:
        """`none`, `auto`, `required`, or the name of the tool that must be called."""
        if isinstance(self.tool_choice, _NamedTool):
            return self.tool_choice.function.name
        return self.tool_choice or "auto"

    def offered(self) -> list[dict[str, Any]]:
        """The tools the model is told of."""
        return [] if self.tool_choice == "none" else self.tools

    def thinking(self) -> bool:
        """Asked for by the template's own switch, else by an effort that is not `none`."""
        asked = self.chat_template_kwargs.enable_thinking
        return asked if asked is not None else self.reasoning_effort not in (None, "none")

    def answer_schema(self) -> str | None:
        """The JSON schema the answer must follow."""
        wanted = self.response_format
        if wanted is None or wanted.type == "text":
            return None
        return json.dumps(wanted.json_schema.schema_ if wanted.json_schema else {"type": "object"})

    def hints(self) -> DecodeHints | None:
        """What the client says of its text, else what the request shows of it."""
        if self.pointsman is not None:
            return DecodeHints(**self.pointsman.model_dump(exclude={"grammar", "privacy"}))
        return classify(
            [(m["role"], m["content"]) for m in self.template_messages()],
            predicted=bool(self.copy_sources()),
            temperature=self.temperature,
        )

    def template_messages(self) -> list[dict[str, Any]]:
        """Messages as chat templates expect them: text content, parsed call arguments."""
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
                    for args in [_object(c.function.arguments or "{}")]
                ]
            result.append(made)
        return result


class TokenizeRequest(_Open):
    """POST /tokenize: a text, or the messages of a chat."""

    content: str | None = None
    messages: list[_Message] = Field(default_factory=list)
    tools: list[dict[str, Any]] = Field(default_factory=list)

    def as_chat(self) -> ChatRequest:
        return ChatRequest(messages=self.messages, tools=self.tools)


def parse_tokenize(body: bytes) -> TokenizeRequest:
    """Raises RequestRejected."""
    try:
        asked = TokenizeRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestRejected(where(error), billed="no") from error
    if (asked.content is None) == (not asked.messages):
        raise RequestRejected("expected content (a text) or messages", billed="no")
    return asked


def parse_request(body: bytes) -> ChatRequest:
    """Raises RequestRejected with what is wrong and where."""
    try:
        request = ChatRequest.model_validate_json(body)
        request.template_messages()
    except ValidationError as error:
        raise RequestRejected(where(error), billed="no") from error
    except ValueError as error:
        raise RequestRejected("tool call arguments are not a JSON object", billed="no") from error
    refusal = _refusal(request)
    if refusal:
        raise RequestRejected(refusal, billed="no")
    return request


def where(error: ValidationError) -> str:
    """The first mistake and the field it is in."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "body"
    return f"{place}: {first['msg']}"


def _refusal(request: ChatRequest) -> str:
    """What this server does not do; empty if it does all that was asked for."""
    names = [t.get("function", {}).get("name") for t in request.tools]
    choice = request.choice()
    forced = choice not in ("none", "auto")
    rules: tuple[tuple[bool, str], ...] = (
        (any(p.type != "text" for p in _parts(request)), "only text content is supported"),
        (bool(request.logit_bias), "logit_bias is not supported"),
        (bool(request.tools) and not all(isinstance(n, str) and n for n in names),
         "tools: each needs a function with a name"),
        (choice == "required" and not names, "tool_choice is required, but there are no tools"),
        (forced and choice != "required" and choice not in names,
         f"tool_choice names {choice!r}, which is not among the tools"),
        (forced and request.answer_schema() is not None,
         "a tool call and response_format exclude each other"),
    )  # fmt: skip
    return next((text for applies, text in rules if applies), "")


def _parts(request: ChatRequest) -> list[_Part]:
    return [p for m in request.messages if isinstance(m.content, list) for p in m.content]


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
