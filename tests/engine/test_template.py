"""Chat templates written with all that those of the Qwen models use, rendered to the letter.

The templates are our own: the published ones are not in this repository.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from agent.engine.llama import Model
from agent.engine.template import ChatTemplate
from agent.errors import RequestRejected
from tests.engine import tiny_gguf

JSON_FORM = """
{%- if tools %}
{{- '<|im_start|>system\n' + (messages[0].content if messages[0].role == 'system' else '') }}
    {%- for tool in tools %}
        {{- '\n' + (tool | tojson) }}
    {%- endfor %}
    {{- '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(last=messages|length - 1, looking=true) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if message.role != 'user' %}{% continue %}{% endif %}
    {%- if ns.looking and message.content is string %}
        {%- set ns.looking = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- elif message.role == 'assistant' %}
        {%- set content = message.content.split('</think>')[-1].lstrip('\n') %}
        {{- '<|im_start|>assistant\n' + (message.content if loop.index0 > ns.last else content) }}
        {%- for call in message.tool_calls or [] %}
            {%- if call.function %}{% set call = call.function %}{% endif %}
            {{- '\n<tool_call>\n{"name": "' + call.name + '", "arguments": ' }}
            {{- call.arguments if call.arguments is string else call.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif not (message.role == 'system' and tools) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
"""
TAGGED_FORM = """
{%- macro extra(given, known) %}
    {%- if given is mapping %}
        {%- for key in given if key not in known %}
            {{- '\n<' ~ key ~ '>' ~ (given[key] | tojson | safe if given[key] is mapping
                else given[key] | string) ~ '</' ~ key ~ '>' }}
        {%- endfor %}
    {%- endif %}
{%- endmacro %}
{%- if messages | length == 0 or messages[-1].role == 'assistant' %}
    {{- raise_exception('nothing to answer') }}
{%- endif %}
{%- for tool in tools or [] %}
    {{- '<function>' ~ tool.function.name ~ extra(tool.function, ['name', 'parameters']) }}
    {%- for name, field in tool.function.parameters.properties | items %}
        {{- '\n<parameter>' ~ name ~ extra(field, ['name']) ~ '</parameter>' }}
    {%- endfor %}
    {{- '</function>\n' }}
{%- endfor %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content | trim }}
    {%- for call in message.tool_calls or [] %}
        {{- '<function=' + call.function.name + '>\n' }}
        {%- for name, value in call.function.arguments | items %}
            {{- '<parameter=' + name + '>\n' + value | string + '\n</parameter>\n' }}
        {%- endfor %}
    {%- endfor %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking %}{{- '<think>\n' }}{%- endif %}
{%- endif %}
"""
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "ä <b>",
        "parameters": {"properties": {"at": {"type": "integer", "x": {"y": 1}}}},
    },
}
CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": 3}}}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nfirst"},
    {"role": "user", "content": "two"},
    {"role": "assistant", "content": "<think>\nso\n</think>\n\nI look", "tool_calls": [CALL]},
    {"role": "tool", "content": "a"},
    {"role": "tool", "content": "b"},
]


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Model]]:
    folder = tmp_path_factory.mktemp("forms")
    made = {}
    for name, text in (("json", JSON_FORM), ("tagged", TAGGED_FORM)):
        shape = tiny_gguf.Shape(layers=2, template=text)
        made[name] = Model(tiny_gguf.write(folder / f"{name}.gguf", shape))
    yield made
    for model in made.values():
        model.close()


def text_of(model: Model, *args: Any, **options: Any) -> str:
    tokens = ChatTemplate(model).render(*args, **options)
    return b"".join(model.piece(t) for t in tokens).decode()


def test_calls_as_json_results_joined_and_earlier_thoughts_dropped(
    forms: dict[str, Model],
) -> None:
    assert text_of(forms["json"], TALK, tools=[TOOL]) == (
        "<|im_start|>system\nBe brief.\n"
        '{"type": "function", "function": {"name": "look", "description": "ä <b>", "parameters":'
        ' {"properties": {"at": {"type": "integer", "x": {"y": 1}}}}}}<|im_end|>\n'
        "<|im_start|>user\none<|im_end|>\n"
        "<|im_start|>assistant\nfirst<|im_end|>\n"
        "<|im_start|>user\ntwo<|im_end|>\n"
        "<|im_start|>assistant\n<think>\nso\n</think>\n\nI look\n<tool_call>\n"
        '{"name": "look", "arguments": {"at": 3}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\na\n</tool_response>\n<tool_response>\nb\n"
        "</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


def test_macros_mappings_and_tagged_parameters(forms: dict[str, Model]) -> None:
    assert text_of(forms["tagged"], TALK[3:], tools=[TOOL], thinking=True) == (
        "<function>look\n<description>ä <b></description>"
        '\n<parameter>at\n<type>integer</type>\n<x>{"y": 1}</x></parameter></function>\n'
        "<|im_start|>user\ntwo<|im_end|>\n"
        "<|im_start|>assistant\n<think>\nso\n</think>\n\nI look<function=look>\n"
        "<parameter=at>\n3\n</parameter>\n<|im_end|>\n"
        "<|im_start|>tool\na<|im_end|>\n<|im_start|>tool\nb<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n"
    )


def test_the_form_of_calls_and_open_thoughts_are_seen(forms: dict[str, Model]) -> None:
    for name, thinking, opened in (
        ("json", True, False),
        ("json", False, False),
        ("tagged", True, True),
        ("tagged", False, False),
    ):
        template = ChatTemplate(forms[name])
        assert template.call_form == name
        assert template.opens_thinking(template.render(TALK[:2], thinking=thinking)) is opened


def test_what_a_template_refuses_is_told(forms: dict[str, Model]) -> None:
    with pytest.raises(RequestRejected, match="nothing to answer"):
        ChatTemplate(forms["tagged"]).render(TALK[:3])
