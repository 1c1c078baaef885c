"""Grammars of tool calls: in the form the model's template writes them, with checked arguments.

Two forms are in use: JSON (Qwen2.5, Qwen3) and tagged parameters (Qwen3-Coder, Qwen3.5 and later).
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from agent.engine.grammar import schema_to_grammar
from agent.engine.toolcalls import CLOSE, OPEN
from agent.errors import RequestRejected

__all__ = ["CallForm", "after_open", "forced"]

CallForm = Literal["json", "tagged"]

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|[A-Za-z][A-Za-z0-9-]*')
_THOUGHT = "</think>"


def forced(
    tools: Sequence[Mapping[str, Any]],
    form: CallForm,
    *,
    name: str | None = None,
    several: bool = False,
    thinking: bool = False,
) -> str:
    """GBNF of an answer that is a call: of `name`, else of any tool; `several` allows more.

    `thinking`: it begins inside a `<think>`, which must be closed first. Raises RequestRejected
    for a schema that cannot be used.
    """
    chosen = [t for t in tools if name in (None, _function(t)["name"])]
    rules = _calls(chosen, form)
    begin = "thought " if thinking else ""
    more = r' ("\n" call)*' if several else ""
    if thinking:
        rules.append(f"thought ::= {_until(_THOUGHT)} [\\n]{{0,2}}")
    return "\n".join([f"root ::= {begin}call{more}", f"call ::= {_quoted(OPEN)} inside", *rules])


def after_open(tools: Sequence[Mapping[str, Any]], form: CallForm) -> str:
    """GBNF of what follows `<tool_call>`, up to and with its end."""
    return "\n".join(["root ::= inside", *_calls(tools, form)])


def _calls(tools: Sequence[Mapping[str, Any]], form: CallForm) -> list[str]:
    """The rule `inside` and those it needs."""
    make = _json_call if form == "json" else _tagged_call
    rules: list[str] = []
    names = []
    for i, tool in enumerate(tools):
        names.append(f"t{i}")
        rules += make(f"t{i}", _function(tool))
    if not names:
        raise RequestRejected("there is no tool to call", billed="no")
    white = r"[ \n]{0,2}"  # bounded: a weak model fills its limit with what is always allowed
    return [f"inside ::= {white} ({' | '.join(names)}) {white} {_quoted(CLOSE)}", *rules]


def _json_call(rule: str, function: Mapping[str, Any]) -> list[str]:
    head = _quoted(f'{{"name": {json.dumps(function["name"])}, "arguments": ')
    arguments = _schema(f"{rule}a", function.get("parameters") or {"type": "object"})
    return [f'{rule} ::= {head} {rule}a-root "}}"', *arguments]


def _tagged_call(rule: str, function: Mapping[str, Any]) -> list[str]:
    """Parameters in the order of the schema; those not required may be left out."""
    schema = function.get("parameters") or {}
    properties = schema.get("properties") or {}
    if not isinstance(properties, dict):
        raise RequestRejected("the properties of a tool are not an object", billed="no")
    required = schema.get("required") or ()
    rules, parts = [], [_quoted(f"<function={function['name']}>\n")]
    for i, (key, wanted) in enumerate(properties.items()):
        value = f"{rule}p{i}"
        rules += _value(value, wanted, schema)
        given = f'{_quoted(f"<parameter={key}>")} "\\n" {value}v "\\n"'
        parts.append(given if key in required else f"({given})?")
    # The value of a text ends where its tag does: the end is part of the rule of the value.
    return [f"{rule} ::= {' '.join([*parts, _quoted('</function>')])}", *rules]


def _value(rule: str, wanted: Any, schema: Mapping[str, Any]) -> list[str]:
    """`<rule>v`: a value and its closing tag. Texts stand bare, everything else as JSON; truth
    values as Python writes them too, for so the templates show them."""
    wanted = wanted if isinstance(wanted, dict) else {}
    end = "</parameter>"
    options = wanted.get("enum")
    if isinstance(options, list) and options and all(isinstance(o, str) for o in options):
        texts = " | ".join(_quoted(o) for o in options)
        return [f'{rule}v ::= ({texts}) "\\n" {_quoted(end)}']
    if wanted.get("type", "string") == "string" and "$ref" not in wanted:
        return [f"{rule}v ::= {_until(end)}"]
    shared = {k: schema[k] for k in ("$defs", "definitions") if k in schema}
    value = (
        f'({rule}-root | "True" | "False")' if wanted.get("type") == "boolean" else f"{rule}-root"
    )
    return [f'{rule}v ::= {value} "\\n" {_quoted(end)}', *_schema(rule, {**wanted, **shared})]


def _schema(prefix: str, schema: Any) -> list[str]:
    """The rules of a JSON schema under names of their own: `<prefix>-root` and so on."""
    lines = schema_to_grammar(json.dumps(schema)).splitlines()
    names = {line.split("::=")[0].strip() for line in lines if "::=" in line}

    def renamed(match: re.Match[str]) -> str:
        return f"{prefix}-{match[0]}" if match[0] in names else match[0]

    return [_TOKEN.sub(renamed, line) for line in lines]


def _until(stop: str) -> str:
    """Any text up to `stop`, and `stop`. Its first character may be doubled before it: that ends
    nothing here, and nothing in the parser either."""
    steps = []
    for i, char in enumerate(stop):
        other = f"[^{_escaped(char)}]"
        steps.append(f"{_quoted(stop[:i])} {other}" if i else other)
    return f"({' | '.join(steps)})* {_quoted(stop)}"


def _escaped(char: str) -> str:
    return f"\\{char}" if char in '\\]^-"' else char


def _quoted(text: str) -> str:
    """A GBNF literal."""
    body = "".join(f"\\{c}" if c in '"\\' else c for c in text)
    return '"' + body.replace("\n", "\\n").replace("\r", "\\r") + '"'


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function: Mapping[str, Any] = tool["function"]
    return function
