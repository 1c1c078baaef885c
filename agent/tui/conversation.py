"""The conversation: what the user said, what happened, answers as they stream.

Everything shown here was cleaned on its way in: texts through `plain`, streams through `clean`.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from agent.sanitize import clean, one_line, plain
from agent.tui.items import Say
from agent.tui.words import Line

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from textual.widgets.markdown import MarkdownStream

__all__ = ["Answer", "Conversation", "Folding", "Lines", "Verdict"]

LABEL = 10
MANY = 80
"""Rows one widget holds; then a new one begins, so that a long run is not laid out again whole."""
SHOWN = 12
"""Rows of a folding text that are shown while it is folded."""
FENCE = "~~~~~~~~~~~~"
"""Longer than any fence an answer uses: an edit's `=======` must not become a heading."""


class Conversation(VerticalScroll):
    """Grows at its end and stays there until the user scrolls away."""

    DEFAULT_CLASSES = "conversation"
    can_focus = True

    def on_mount(self) -> None:
        self.anchor()

    def prompt(self, text: str) -> None:
        """What the user typed."""
        shown = plain(text)
        self.mount(Static(Text.assemble(("› ", "bold"), shown), classes="said"))
        self.anchor()

    def lines(self, rows: Iterable[Line]) -> None:
        """Rows below the last ones, in the same widget while it is not too long."""
        found = list(rows)
        if not found:
            return
        last = self.children[-1] if self.children else None
        if not isinstance(last, Lines) or last.count >= MANY:
            last = Lines()
            self.mount(last)
        last.add(found)

    async def show(self, widget: Widget) -> None:
        await self.mount(widget)

    async def empty(self) -> None:
        await self.remove_children()


class Labelled(Static):
    """Rows with a label column; the text wraps beside it, whatever the width."""

    def __init__(self, rows: Iterable[Line] = (), *, column: int, classes: str = "") -> None:
        super().__init__(classes=classes)
        self._rows = list(rows)
        self._column = column
        self._width = 0

    def on_resize(self) -> None:
        if self.content_size.width != self._width:
            self._width = self.content_size.width
            self._draw()

    def _draw(self) -> None:
        if self._width:
            self.update(Text("\n").join(r for row in self._rows for r in self._wrapped(row)))

    def _wrapped(self, row: Line) -> Iterable[Text]:
        text = Text.assemble(plain(row.text, row.style))
        if row.note:
            text.append_text(plain(f"  {row.note}", "dim"))
        label = self._label(row)
        width = max(self._width - self._column - 2, 20)
        for part in text.wrap(self.app.console, width, overflow="fold") or [Text()]:
            part.rstrip()
            yield Text.assemble((f"{label}  ", "cyan"), part)
            label = " " * self._column

    def _label(self, row: Line) -> str:
        return one_line(row.label, self._column).ljust(self._column)


class Lines(Labelled):
    """What happens, row by row, as it happens."""

    def __init__(self) -> None:
        super().__init__(column=LABEL)

    @property
    def count(self) -> int:
        return len(self._rows)

    def add(self, rows: Iterable[Line]) -> None:
        self._rows += rows
        self._draw()

    def _label(self, row: Line) -> str:
        return one_line(row.label, LABEL).rjust(LABEL)


class Folding(Vertical):
    """A title and a text of many lines; Ctrl+O, or a click on the title, folds it."""

    def __init__(self, title: str, text: str, *, classes: str = "") -> None:
        super().__init__(classes=f"folding {classes}".strip())
        self._title = one_line(title, 120)
        self._rows = clean(text).rstrip("\n").split("\n")
        self.folded = len(self._rows) > SHOWN

    def compose(self) -> ComposeResult:
        yield Static(classes="folding-title")
        yield Static(classes="folding-body")

    def on_mount(self) -> None:
        self._draw()

    def on_click(self, event: events.Click) -> None:
        if event.widget is self.query_one(".folding-title"):
            self.toggle()

    def toggle(self) -> None:
        self.folded = not self.folded
        self._draw()

    def _draw(self) -> None:
        total = len(self._rows)
        cut = self.folded and total > SHOWN
        rows = self._rows[:SHOWN] if cut else self._rows
        sign = "▸" if cut else "▾"
        self.query_one(".folding-title", Static).update(Text(f"{sign} {self._title}", "bold"))
        body = Text("\n".join(rows), no_wrap=False)
        if cut:
            body.append(f"\n… {total - SHOWN} more lines: Ctrl+O", "dim")
        self.query_one(".folding-body", Static).update(body)


class Answer(Vertical):
    """An answer that streams in. Prose is Markdown; what is meant for a parser stays as it is."""

    def __init__(self, title: str, *, prose: bool) -> None:
        super().__init__(classes="answer")
        self._title = one_line(title, 120)
        self._prose = prose
        self._stream: MarkdownStream | None = None
        self._lines = 0

    def compose(self) -> ComposeResult:
        from textual.widgets import Markdown

        yield Static(Text(f"▾ {self._title}", "bold"), classes="folding-title")
        yield Markdown(parser_factory=_parser, open_links=False)

    async def write(self, text: str) -> None:
        from textual.widgets import Markdown

        if self._stream is None:
            self._stream = Markdown.get_stream(self.query_one(Markdown))
            if not self._prose:
                await self._stream.write(f"{FENCE}\n")
        self._lines += text.count("\n")
        await self._stream.write(clean(text))

    async def finish(self) -> None:
        """Nothing more will come. An answer that became an edit folds: its diff says it better."""
        if self._stream is not None:
            await self._stream.stop()
            self._stream = None
        if not self._prose:
            self.toggle()

    def toggle(self) -> None:
        self.toggle_class("-folded")
        folded = self.has_class("-folded")
        sign, more = ("▸", f" · {self._lines + 1} lines: Ctrl+O") if folded else ("▾", "")
        self.query_one(".folding-title", Static).update(Text(f"{sign} {self._title}{more}", "bold"))


class Verdict(Labelled):
    """How a run ended: the closing table under its mark."""

    MARKS: ClassVar[dict[str, str]] = {
        "verified": "✔ verified",
        "unverified": "? unverified",
        "not_solved": "✘ not solved",
    }

    def __init__(self, verdict: str, rows: Iterable[tuple[str, str]], following: str) -> None:
        found = [Say(label=label, text=value) for label, value in rows]
        if following:
            found.append(Say(label="next", text=following, style="bold"))
        super().__init__(found, column=len("evidence"), classes=f"verdict -{verdict}")
        self.border_title = self.MARKS[verdict]


def _parser() -> "MarkdownIt":
    """Markdown without character references: `&#x202e;` would bring back what was cleaned."""
    from markdown_it import MarkdownIt

    return MarkdownIt("gfm-like").disable("entity")
