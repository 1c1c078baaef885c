"""An edit example as the model reads and writes it. The product's own prompt file is used."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import prompts

__all__ = ["ANSWER_OK", "CHAT_TEMPLATE", "Edit", "answer", "apply", "chat", "edit_prompt", "parse"]

ANSWER_OK = "OK"

# Qwen's ChatML without tools or thinking: what `chat` below writes, for servers that render it.
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)

_HEAD = re.compile(r"L(\d+)(?:-(\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Replace shown lines first..last (from 1, inclusive) by `lines`.

    `lines` is never empty, and its last line is not: the product drops an answer's last newline.
    """

    first: int
    last: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    number: int
    text: str
    suspect: bool


def edit_prompt(
    path: str, lines: Sequence[str], suspects: Iterable[int], evidence: Sequence[str] = ()
) -> str:
    """The prompt for a span of lines; `suspects` are numbers in it, from 1."""
    marked = frozenset(suspects)
    shown = [_Line(number=n, text=t, suspect=n in marked) for n, t in enumerate(lines, 1)]
    return prompts.render("edit_line", path=path, lines=shown, evidence=tuple(evidence))


def chat(prompt: str) -> str:
    """The prompt as a user turn, up to where the assistant's answer starts."""
    return f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"


def answer(edit: Edit | None) -> str:
    """What the model should write: `L<n>` or `L<a>-<b>`, then the new lines; `OK` for none."""
    if edit is None:
        return ANSWER_OK
    last = f"-{edit.last}" if edit.last != edit.first else ""
    return "\n".join((f"L{edit.first}{last}", *edit.lines))


def parse(text: str) -> Edit | None:
    """The inverse of `answer`. Raises ValueError for anything else."""
    if text == ANSWER_OK:
        return None
    head, *lines = text.split("\n")
    found = _HEAD.fullmatch(head)
    if not found or not lines:
        raise ValueError(f"not an edit: {text[:60]!r}")
    first = int(found[1])
    last = int(found[2] or first)
    if not 1 <= first <= last:
        raise ValueError(f"no such span: {head}")
    return Edit(first=first, last=last, lines=tuple(lines))


def apply(edit: Edit | None, lines: Sequence[str]) -> tuple[str, ...]:
    """The span after the edit. Raises ValueError when it reaches past the span."""
    if edit is None:
        return tuple(lines)
    if edit.last > len(lines):
        raise ValueError(f"L{edit.last} is past the span's {len(lines)} lines")
    return (*lines[: edit.first - 1], *edit.lines, *lines[edit.last :])
