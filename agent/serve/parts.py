"""A model's text told apart: what it thought, what it says, which tools it calls.

Whole (`part`) or as it comes (`PartStream`). Thinking stands in `<think>` at the beginning; where
the prompt has opened it already, the text begins inside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent.engine.toolcalls import OPEN, split_tool_calls
from agent.types import ToolCall

__all__ = ["Field", "PartStream", "Parted", "part"]

THINK, THOUGHT = "<think>", "</think>"

Field = Literal["reasoning_content", "content"]
"""Names of a delta in the dialect; the first is what other local servers call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """A whole answer. A malformed call stays in the content."""

    reasoning: str
    content: str
    calls: tuple[ToolCall, ...]


def part(text: str, *, tools: Sequence[Mapping[str, Any]], thinking: bool) -> Parted:
    """`thinking`: the prompt ended inside a `<think>`."""
    reasoning, rest = _reasoning(text, thinking)
    content, calls = split_tool_calls(rest, tools) if tools else (rest, ())
    return Parted(reasoning=reasoning, content=content, calls=calls)


def _reasoning(text: str, thinking: bool) -> tuple[str, str]:
    if not thinking and text.lstrip().startswith(THINK):
        text, thinking = text.lstrip().removeprefix(THINK), True
    if not thinking:
        return "", text
    thought, _, rest = text.partition(THOUGHT)
    return thought.strip("\n"), rest.lstrip("\n")


class PartStream:
    """Feed text, get the deltas that are final. Calls are held back until the end."""

    def __init__(self, *, tools: Sequence[Mapping[str, Any]], thinking: bool) -> None:
        self._tools = tools
        self._mode: Literal["start", "thinking", "gap", "content", "calls"] = (
            "thinking" if thinking else "start"
        )
        self._held = ""
        self._thought = False
        """Something was thought: newlines before it are no part of it."""

    def feed(self, text: str) -> list[tuple[Field, str]]:
        self._held += text
        deltas: list[tuple[Field, str]] = []
        mode = None
        while mode != self._mode:
            mode = self._mode
            if self._mode == "start":
                self._start()
            elif self._mode == "thinking":
                deltas += self._think()
            elif self._mode == "gap":
                self._held = self._held.lstrip("\n")
                self._mode = "content" if self._held else "gap"
            elif self._mode == "content":
                deltas += self._say()
        return deltas

    def finish(self) -> tuple[list[tuple[Field, str]], tuple[ToolCall, ...]]:
        """What was held back, and the calls in it."""
        rest, calls = self._held, tuple[ToolCall, ...]()
        if self._mode == "thinking":
            return [("reasoning_content", t) for t in [rest.rstrip("\n")] if t], ()
        if self._mode == "calls":
            rest, calls = split_tool_calls(rest, self._tools)
        return [("content", t) for t in [rest] if t], calls

    def _start(self) -> None:
        text = self._held.lstrip()
        if text.startswith(THINK):
            self._held, self._mode = text.removeprefix(THINK), "thinking"
        elif not THINK.startswith(text):
            self._mode = "content"

    def _think(self) -> list[tuple[Field, str]]:
        if not self._thought:
            self._held = self._held.lstrip("\n")
        thought, end, rest = self._held.partition(THOUGHT)
        if end:
            self._held, self._mode = rest, "gap"
            return [("reasoning_content", t) for t in [thought.rstrip("\n")] if t]
        return self._release("reasoning_content", THOUGHT, "\n")

    def _say(self) -> list[tuple[Field, str]]:
        if not self._tools:
            return self._release("content", "", "")
        text, call, rest = self._held.partition(OPEN)
        if call:
            self._held, self._mode = call + rest, "calls"
            return [("content", text)] if text else []
        return self._release("content", OPEN, "")

    def _release(self, field: Field, marker: str, trailing: str) -> list[tuple[Field, str]]:
        """All but a tail that may become the marker, and what would be stripped before it."""
        keep = next((n for n in range(len(marker) - 1, 0, -1)
                     if self._held.endswith(marker[:n])), 0)  # fmt: skip
        ready = (
            self._held[: len(self._held) - keep].rstrip(trailing)
            if trailing
            else (self._held[: len(self._held) - keep])
        )
        self._held = self._held[len(ready) :]
        self._thought |= bool(ready)
        return [(field, ready)] if ready else []
