"""What a conversation may do. Each tool is code here and its description in `prompts/tools/`.

read outline search references      look; never change anything, need no approval
edit                                a change through the edit formats; approved, then journaled
run test                            a command in the sandbox, in a scratch copy
"""

from agent.chat.tools.base import Desk, Result, Tool, ToolError, Undecided, arguments_of, spec
from agent.chat.tools.catalogue import READ_ONLY, TOOLS, by_name, for_mode, specs

__all__ = [
    "READ_ONLY",
    "TOOLS",
    "Desk",
    "Result",
    "Tool",
    "ToolError",
    "Undecided",
    "arguments_of",
    "by_name",
    "for_mode",
    "spec",
    "specs",
]
