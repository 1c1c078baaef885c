"""Edit formats: how a model writes a change, and what it is told when the change does not fit.

get("search_replace").parse(answer, read) -> Patch
get("symbol").parse(answer, read) -> Patch
LineFormat("a.py", 10, 20).parse("L3\\n    return x\\n", read) -> Patch
"""

from typing import Literal

from tools.edits.line import LineFormat
from tools.edits.search_replace import SearchReplaceFormat, replacement
from tools.edits.symbol import SymbolFormat
from tools.types import EditFormat

__all__ = ["LineFormat", "SearchReplaceFormat", "SymbolFormat", "get", "replacement"]


def get(name: Literal["search_replace", "symbol", "line"]) -> EditFormat:
    """A format by name. `line` works on a span of one file: make a LineFormat for the span."""
    if name == "search_replace":
        return SearchReplaceFormat()
    if name == "symbol":
        return SymbolFormat()
    if name == "line":
        raise ValueError("the line format needs its span: LineFormat(path, first_line, last_line)")
    raise ValueError(f"no edit format {name!r}; there are search_replace, symbol and line")
