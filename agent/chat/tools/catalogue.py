"""All tools, and which of them a mode offers."""

from agent.approvals import Mode
from agent.chat.tools.act import EDIT, RUN, TEST
from agent.chat.tools.base import Tool, spec
from agent.chat.tools.look import OUTLINE, READ, REFERENCES, SEARCH
from agent.types import ToolSpec

__all__ = ["READ_ONLY", "TOOLS", "by_name", "for_mode", "specs"]

READ_ONLY: tuple[Tool, ...] = (READ, OUTLINE, SEARCH, REFERENCES)
TOOLS: tuple[Tool, ...] = (*READ_ONLY, EDIT, RUN, TEST)


def by_name(name: str) -> Tool | None:
    return next((t for t in TOOLS if t.name == name), None)


def for_mode(mode: Mode) -> tuple[Tool, ...]:
    """What a mode offers: nothing that changes or runs anything in `plan`."""
    return READ_ONLY if mode == "plan" else TOOLS


def specs(tools: tuple[Tool, ...]) -> tuple[ToolSpec, ...]:
    return tuple(spec(t) for t in tools)
