"""The published chat templates of the Qwen models: what is rendered from them, and read back.

The templates are others' work and not in this repository; what they make of one conversation is, in
`published/`. Rendering is tested where QWEN_TEMPLATES names a folder that has them: the source
distribution of llama-cpp-python does, in `vendor/llama.cpp/models/templates`.
QWEN_TEMPLATES_WRITE=1 writes the files anew. Reading is tested always.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.engine.callgrammar import CallForm, forced
from agent.engine.grammar import Grammar
from agent.engine.llama import Model
from agent.engine.template import ChatTemplate
from agent.engine.toolcalls import split_tool_calls
from tests.engine import tiny_gguf

FOLDER = Path(__file__).with_name("published")
TEMPLATES = Path(os.environ.get("QWEN_TEMPLATES", "nowhere"))
NAMES: dict[str, CallForm] = {
    "Qwen-Qwen2.5-7B-Instruct": "json",
    "Qwen-QwQ-32B": "json",
    "Qwen-Qwen3-0.6B": "json",
    "Qwen3-Coder": "tagged",
    "Qwen3.5-4B": "tagged",
}
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Größe <b> of a file",
        "parameters": {
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "where"},
                "lines": {"type": "integer"},
                "deep": {"type": "boolean"},
            },
            "required": ["path", "lines"],
        },
    },
}
ARGUMENTS = {"path": "src/ä.py", "lines": 3, "deep": True}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nfirst"},
    {"role": "user", "content": "two"},
    {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [
            {"type": "function", "id": "c1", "function": {"name": "look", "arguments": ARGUMENTS}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "a"},
    {"role": "tool", "tool_call_id": "c2", "content": "b"},
]
CASES = [(name, thinking) for name in NAMES for thinking in (False, True)]


def golden(name: str, thinking: bool) -> Path:
    return FOLDER / f"{name}{'.thinking' if thinking else ''}.txt"


@pytest.mark.skipif(not TEMPLATES.is_dir(), reason="QWEN_TEMPLATES names no folder of templates")
@pytest.mark.parametrize(("name", "thinking"), CASES)
def test_a_published_template_is_rendered_to_the_letter(
    name: str, thinking: bool, tmp_path: Path
) -> None:
    source = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    model = Model(tiny_gguf.write(tmp_path / "x.gguf", tiny_gguf.Shape(layers=2, template=source)))
    template = ChatTemplate(model)
    ids = template.render(TALK, tools=[TOOL], thinking=thinking)
    text = b"".join(model.piece(t) for t in ids).decode()
    model.close()
    if "QWEN_TEMPLATES_WRITE" in os.environ:
        golden(name, thinking).write_text(text, encoding="utf-8")
    assert template.call_form == NAMES[name]
    assert text == golden(name, thinking).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    made = Model(tiny_gguf.write(tmp_path_factory.mktemp("m") / "tiny.gguf"))
    yield made
    made.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_call_a_template_writes_is_read_back_and_allowed_by_the_grammar(
    name: str, model: Model
) -> None:
    """A model imitates the calls it is shown."""
    text = golden(name, thinking=False).read_text(encoding="utf-8")
    answer = text.split("I look.")[1].split("<|im_end|>")[0]
    rest, (call,) = split_tool_calls(answer, [TOOL])
    assert (rest, call.name, json.loads(call.arguments)) == ("", "look", ARGUMENTS)

    grammar = Grammar(model, forced([TOOL], NAMES[name]))
    for token in model.tokenize(answer.strip(), special=False):
        assert grammar.allows(token)
        grammar.accept(token)
    assert grammar.allows(model.end_token())
    grammar.close()


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [("boolean", "False", False), ("boolean", "false", False), ("string", "True", "True"),
     (["string", "null"], "None", None), (["string", "null"], "3", "3"), ("integer", "x", "x"),
     ("array", '["a"]', ["a"]), ("null", "None", None)],
)  # fmt: skip
def test_a_tagged_argument_is_read_by_its_type(kind: Any, text: str, value: object) -> None:
    parameters = {"type": "object", "properties": {"x": {"type": kind}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    answer = (
        f"<tool_call>\n<function=f>\n<parameter=x>\n{text}\n</parameter>\n</function>\n</tool_call>"
    )
    _, (call,) = split_tool_calls(answer, [tool])
    assert json.loads(call.arguments) == {"x": value}
