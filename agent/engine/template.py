"""Messages to prompt tokens through the chat template the model carries.

The template comes with the model file, so it runs in Jinja's sandbox. Text of messages cannot
forge control tokens: where a message spells one out, it is tokenised as ordinary text.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent.engine.callgrammar import CallForm
from agent.engine.llama import Model
from agent.errors import RequestRejected

__all__ = ["CHATML", "ChatTemplate"]

CHATML = (
    "{%- for m in messages -%}"
    "{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
_BREAK = "\ue000"
"""A private-use character put inside spelled-out control tokens, taken out before tokenising."""


class ChatTemplate:
    """Compiled once per model."""

    def __init__(self, model: Model) -> None:
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        self._model = model
        self._control = model.control_texts()
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _now
        environment.filters["tojson"] = _to_json
        source = model.chat_template() or CHATML
        self.call_form: CallForm = "tagged" if "<function=" in source else "json"
        """How the model was taught to write tool calls."""
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise RequestRejected(f"the model's chat template is broken: {error}") from error

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        thinking: bool = False,
    ) -> list[int]:
        """Token ids of the prompt, ready for the assistant's turn. Raises RequestRejected."""
        from jinja2 import TemplateError

        try:
            text = self._template.render(
                messages=[self._guard(dict(m)) for m in messages],
                tools=self._guard(list(tools)) or None,
                add_generation_prompt=True,
                enable_thinking=thinking,
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            raise RequestRejected(
                f"the chat template refused the messages: {error}", billed="no"
            ) from error
        pieces = text.split(_BREAK)
        return [t for piece in pieces for t in self._model.tokenize(piece, special=True)]

    def opens_thinking(self, prompt: Sequence[int]) -> bool:
        """Whether the answer begins inside a `<think>`."""
        tail = b"".join(self._model.piece(t) for t in prompt[-8:])
        return tail.rstrip().endswith(b"<think>")

    def _guard(self, value: Any) -> Any:
        """Break spelled-out control tokens anywhere inside a message."""
        if isinstance(value, str):
            value = value.replace(_BREAK, "")
            for control in self._control:
                if len(control) > 1 and control in value:
                    value = value.replace(control, control[:1] + _BREAK + control[1:])
            return value
        if isinstance(value, dict):
            return {k: self._guard(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self._guard(v) for v in value]
        return value


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _now(form: str) -> str:
    import datetime

    return datetime.datetime.now().strftime(form)


def _to_json(
    value: Any,
    indent: int | None = None,
    ensure_ascii: bool = False,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes for HTML, which no chat model was trained on."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
