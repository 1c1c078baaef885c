"""Tool calls in a model's text: JSON (name, arguments) or Qwen's XML form, in <tool_call>."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.types import ToolCall

__all__ = ["CLOSE", "OPEN", "split_tool_calls"]

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_BLOCK = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_FUNCTION = re.compile(r"<function=([^>\n]+)>(.*?)</function>", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>", re.DOTALL)


def split_tool_calls(
    text: str, tools: Sequence[Mapping[str, Any]]
) -> tuple[str, tuple[ToolCall, ...]]:
    """The text without its calls, and the calls. A malformed call stays text."""
    calls: list[ToolCall] = []

    def take(match: re.Match[str]) -> str:
        call = _parse(match.group(1), tools, len(calls))
        if call is None:
            return match.group(0)
        calls.append(call)
        return ""

    rest = _BLOCK.sub(take, text)
    return (rest.strip() if calls else text), tuple(calls)


def _parse(body: str, tools: Sequence[Mapping[str, Any]], index: int) -> ToolCall | None:
    xml = _FUNCTION.search(body)
    if xml:
        name = xml.group(1).strip()
        types = _types(name, tools)
        arguments = {k: _value(v, types.get(k)) for k, v in _PARAMETER.findall(xml.group(2))}
    else:
        try:
            raw = json.loads(body)
            name, arguments = raw["name"], raw.get("arguments", {})
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return None
    return ToolCall(
        id=f"call_{index}", name=name, arguments=json.dumps(arguments, ensure_ascii=False)
    )


def _types(name: str, tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    for tool in tools:
        function = tool.get("function", {})
        if function.get("name") == name:
            properties = function.get("parameters", {}).get("properties", {})
            return {k: v.get("type", "string") for k, v in properties.items()}
    return {}


_PYTHON = {"True": True, "False": False, "None": None}
"""The published templates show arguments that are no object as Python writes them."""


def _value(text: str, kind: Any) -> Any:
    """`kind`: the schema's type, or a list of them."""
    kinds = kind if isinstance(kind, list) else [kind]
    if "null" in kinds and text in ("null", "None"):
        return None
    if {None, "string"} & set(kinds):
        return text
    if text in _PYTHON:
        return _PYTHON[text]
    try:
        return json.loads(text)
    except ValueError:
        return text
