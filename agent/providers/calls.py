"""Tool calls as servers really send them, read as what was meant; what cannot be read is said so.

Seen in the wild: arguments as an object instead of text, encoded twice, fenced, as Python, or
followed by a stray brace or by themselves once more; calls without an id or an index, or all with
index 0; names with a namespace; calls as text, because the server has no parser for its model.
"""

import ast
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.types import ToolCall, ToolSpec

__all__ = ["Gatherer", "read_arguments", "written_out"]

_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_KEPT = 2_000
"""Characters of malformed arguments that are kept, to be quoted to the model."""


def read_arguments(raw: object) -> tuple[str, str]:
    """(a JSON object as text, empty) or ("{}", what was there instead)."""
    if isinstance(raw, Mapping):
        return json.dumps(raw, ensure_ascii=False), ""
    text = raw if isinstance(raw, str) else json.dumps(raw)
    if not text.strip():
        return "{}", ""
    if (value := _object(text)) is not None:
        same = _plain(text) == value
        return (text if same else json.dumps(value, ensure_ascii=False)), ""
    return "{}", text[:_KEPT]


def written_out(text: str, tools: Sequence[ToolSpec]) -> tuple[str, tuple[ToolCall, ...]]:
    """The text without the calls it spells out, and the calls, if they name tools there are."""
    from agent.engine.toolcalls import OPEN, split_tool_calls

    names = {t.name for t in tools}
    found: tuple[ToolCall, ...] = ()
    rest = text
    if OPEN in text:
        described = [
            {"type": "function", "function": {"name": t.name, "parameters": json.loads(t.schema)}}
            for t in tools
        ]
        rest, found = split_tool_calls(text, described)
    elif text.lstrip().startswith(("{", "```")):
        value = _object(text)
        if value is not None and value.get("name") in names and "arguments" in value:
            arguments, malformed = read_arguments(value["arguments"])
            call = ToolCall(
                id="", name=str(value["name"]), arguments=arguments, malformed=malformed
            )
            rest, found = "", (call,)
    if not found or any(c.name not in names for c in found):
        return text, ()
    return rest, tuple(
        ToolCall(id=new_id(), name=c.name, arguments=c.arguments, malformed=c.malformed)
        for c in found
    )


def new_id() -> str:
    return f"call_{uuid.uuid4().hex[:12]}"


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    parts: list[str] = field(default_factory=list)
    whole: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Gatherer:
    """Puts streamed pieces of calls together."""

    _calls: list[_Call] = field(default_factory=list)
    _at: dict[int, int] = field(default_factory=dict)
    """Where the pieces with an index go: the last call that was begun with it."""

    def take(self, piece: Mapping[str, Any]) -> None:
        index = piece.get("index")
        slot = index if isinstance(index, int) and not isinstance(index, bool) else 0
        function = piece.get("function")
        function = function if isinstance(function, Mapping) else {}
        call = self._call(slot, str(piece.get("id") or ""))
        name = function.get("name")
        if isinstance(name, str) and name:
            call.name = name.removeprefix("functions.").strip()
        arguments = function.get("arguments")
        if isinstance(arguments, Mapping):
            call.whole = arguments
        elif arguments is not None:
            call.parts.append(str(arguments))

    def calls(self) -> tuple[ToolCall, ...]:
        found = []
        for call in self._calls:
            raw = call.whole if call.whole is not None else "".join(call.parts)
            arguments, malformed = read_arguments(raw)
            found.append(
                ToolCall(
                    id=call.id or new_id(),
                    name=call.name,
                    arguments=arguments,
                    malformed=malformed,
                )
            )
        return tuple(found)

    def _call(self, slot: int, ident: str) -> _Call:
        if slot in self._at:
            known = self._calls[self._at[slot]]
            if not ident or not known.id or ident == known.id:
                known.id = known.id or ident
                return known
        self._at[slot] = len(self._calls)
        self._calls.append(_Call(id=ident))
        return self._calls[-1]


def _object(text: str) -> dict[str, Any] | None:
    """What the text means, if that is one object."""
    fenced = _FENCE.fullmatch(text.strip())
    body = fenced[1] if fenced else text.strip()
    value = _plain(body)
    if isinstance(value, str):  # encoded twice
        value = _plain(value)
    if value is None:
        value = _first(body)
    if value is None:
        value = _literal(body)
    return value if isinstance(value, dict) else None


def _plain(text: str) -> Any:
    try:
        return json.loads(text, strict=False)  # raw newlines in strings are common
    except (ValueError, RecursionError):
        return None


def _first(text: str) -> Any:
    """An object that is followed by closing brackets or by itself, and by nothing else."""
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return None
    rest = text[end:].strip()
    return value if not rest.strip("}] \n") or _plain(rest) == value else None


def _literal(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
        return value if isinstance(value, dict) and json.dumps(value) else None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
