"""Markdown as rows: whole, or growing at its end while an answer streams."""

from functools import cache
from typing import TYPE_CHECKING

from rich import box
from rich.markdown import CodeBlock, Heading, Markdown, TableElement
from rich.segment import Segment
from rich.style import Style
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from textual.strip import Strip

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Growing", "markdown"]

INDENT = 4
FENCE_ROWS = 40
"""Rows of an open code block that are highlighted again with every batch of text."""


class _Heading(Heading):
    """Left, bold; Rich centres the first level."""

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        text = self.text.copy()
        text.justify = "left"
        text.stylize("bold underline" if self.tag in ("h1", "h2") else "bold")
        yield text


class _Code(CodeBlock):
    """On the terminal's own background, with a bar at its side."""

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        code = str(self.text).rstrip("\n")
        syntax = Syntax(
            code, self.lexer_name, theme="ansi_dark", word_wrap=True, background_color="default"
        )
        inner = options.update(width=max(options.max_width - 2, 10))
        for line in console.render_lines(syntax, inner, pad=False):
            yield _BAR
            yield from line
            yield _END


class _Table(TableElement):
    """Rich's, with room between its columns; cells wrap."""

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
        if self.header is not None and self.header.row is not None:
            for column in self.header.row.cells:
                table.add_column(column.content, overflow="fold")
        if self.body is not None:
            for row in self.body.rows:
                table.add_row(*(cell.content for cell in row.cells))
        yield table


_BAR = Segment("│ ", Style.parse("dim"))
_END = Segment("\n")


class _Prose(Markdown):
    elements = {  # noqa: RUF012 (Rich's own)
        **Markdown.elements,
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
        "table_open": _Table,
    }

    def __init__(self, source: str) -> None:
        super().__init__("", hyperlinks=False)
        self.markup = source
        self.parsed = _parser().parse(source)


@cache
def _parser() -> "MarkdownIt":
    """Markdown without character references: `&#x202e;` would bring back what was cleaned.

    Without HTML too: nothing here could show it, and left out it would be lost from sight.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False})
    return parser.enable(["strikethrough", "table"]).disable("entity")


def markdown(source: str, width: int, console: "Console") -> list[Strip]:
    """Cleaned Markdown as rows of at most `width` cells."""
    options = console.options.update(width=max(width - INDENT, 10), height=None, highlight=False)
    indent = Text(" " * INDENT, end="")
    rows = []
    for line in console.render_lines(_Prose(source), options, pad=False):
        segments = [s for s in line if not s.control]
        rows.append(Strip([*indent.render(console), *segments]))
    while rows and not rows[-1].text.strip():
        rows.pop()
    while rows and not rows[0].text.strip():
        rows.pop(0)
    return rows


class Growing:
    """Rows of a text that only grows: finished blocks are drawn once, the last one again and again.

    What a later line could still change (a reference, the kind of a list) is right when the answer
    has ended and is drawn whole.
    """

    def __init__(self, width: int, console: "Console") -> None:
        self.width = width
        self._console = console
        self._settled: list[Strip] = []
        self._tail = ""
        self._apart = True
        """Not right after a code block was cut: its rest follows without a blank row."""

    def write(self, text: str) -> None:
        self._tail += text
        self._settle()

    def rows(self) -> list[Strip]:
        tail = markdown(self._tail, self.width, self._console)
        gap = [Strip.blank(0)] if self._apart and self._settled and tail else []
        return [*self._settled, *gap, *tail]

    def _settle(self) -> None:
        """Draw all blocks but the last; of a long open code block all but its last rows."""
        tokens = _parser().parse(self._tail)
        tops = [t.map[0] for t in tokens if t.level == 0 and t.map and t.nesting >= 0]
        if not tops:
            return
        lines = self._tail.split("\n")
        if tops[-1] > 0:
            self._keep("\n".join(lines[: tops[-1]]))
            lines = lines[tops[-1] :]
        fence = lines[0].strip()
        if fence.startswith("```") and len(lines) > 2 * FENCE_ROWS and lines[-1] != "```":
            self._keep("\n".join([*lines[:-FENCE_ROWS], "```"]))
            lines = [fence, *lines[-FENCE_ROWS:]]
            self._apart = False
        self._tail = "\n".join(lines)

    def _keep(self, source: str) -> None:
        rows = markdown(source, self.width, self._console)
        if self._apart and self._settled and rows:
            self._settled.append(Strip.blank(0))
        self._apart = True
        self._settled += rows
