"""What the conversation consists of: blocks that draw themselves as rows for a width.

A block is data, not a widget: beside five thousand lines in Textual's Markdown widgets a key took
600 ms to its paint, and 250 MB; as rows of one widget 20 ms and 60 MB (evals/bench/tui.py).

Everything shown here was cleaned on its way in: texts through `plain`, streams through `clean`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.strip import Strip

from agent.sanitize import clean, one_line, plain
from agent.tui.items import Say
from agent.tui.words import Line

if TYPE_CHECKING:
    from rich.console import Console

    from agent.tui.prose import Growing

__all__ = ["Answer", "Block", "Folding", "Lines", "Said", "Verdict"]

LABEL = 10
MANY = 80
"""Rows one block of lines holds; then a new one begins: not all of a long run is drawn again."""
SHOWN = 12
"""Rows of a folding text that are shown while it is folded."""
UNFOLDED = 2_000
"""Rows of a folding text that are shown when it is not; copying gives all."""
LONG = 150
"""Rows after which an answer goes on in another block."""
WIDE = 2_000
"""Characters of one row that are drawn; minified files have rows of a megabyte."""


class Block(ABC):
    """`version` counts changes: rows drawn for an older one are drawn again."""

    def __init__(self) -> None:
        self.version = 0
        self.folded = False

    @property
    @abstractmethod
    def source(self) -> str:
        """What copying the block gives: cleaned, not wrapped."""

    @property
    def foldable(self) -> bool:
        return False

    def fold(self, folded: bool) -> None:
        if self.foldable and self.folded != folded:
            self.folded = folded
            self.version += 1

    def title_row(self, row: int) -> bool:
        """Whether a click on this row folds or unfolds the block."""
        return False

    @abstractmethod
    def draw(self, width: int, console: "Console") -> list[Strip]:
        """Its rows, each of at most `width` cells."""


def strips(texts: Iterable[Text], console: "Console") -> list[Strip]:
    """Lines of Rich Text as rows."""
    rows = []
    for text in texts:
        text.end = ""
        text.stylize(text.style)  # Rich renders a text without spans without its style, too
        rows.append(Strip(list(text.render(console))))
    return rows


def wrapped(text: Text, width: int, console: "Console") -> Iterator[Text]:
    for part in text.wrap(console, max(width, 10), overflow="fold", tab_size=4) or [Text()]:
        part.rstrip()
        yield part


class Said(Block):
    """What the user typed. A large paste is shown by its first lines."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = clean(text)
        self.folded = self.foldable

    @property
    def source(self) -> str:
        return self._text

    @property
    def foldable(self) -> bool:
        return self._text.count("\n") >= SHOWN

    def title_row(self, row: int) -> bool:
        return self.foldable

    def draw(self, width: int, console: "Console") -> list[Strip]:
        rows = self._text.split("\n")
        cut = len(rows) - SHOWN if self.folded else 0
        texts = [Text()]
        for row in rows[:SHOWN] if cut else rows:
            for part in wrapped(Text(row[:WIDE], "bold"), width - 2, console):
                mark = "▌ " if len(texts) > 1 else "› "
                texts.append(Text.assemble((mark, "bold cyan"), part))
        if cut:
            texts.append(Text(f"▌ ▸ {cut:,} more lines: Ctrl+O", "dim"))
        return strips(texts, console)


class Labelled(Block):
    """Rows with a label column; the text wraps beside it, whatever the width."""

    def __init__(self, rows: Iterable[Line] = (), *, column: int) -> None:
        super().__init__()
        self._rows = list(rows)
        self._column = column

    @property
    def source(self) -> str:
        return "\n".join(
            clean("  ".join(p for p in (row.label, row.text, row.note) if p)) for row in self._rows
        )

    def draw(self, width: int, console: "Console") -> list[Strip]:
        return strips(
            (t for row in self._rows for t in self._wrapped(row, width, console)), console
        )

    def _wrapped(self, row: Line, width: int, console: "Console") -> Iterator[Text]:
        text = Text.assemble(plain(row.text, row.style))
        if row.note:
            text.append_text(plain(f"  {row.note}", "dim"))
        label = self._label(row)
        for part in wrapped(text, max(width - self._column - 2, 20), console):
            yield Text.assemble((f"{label}  ", "cyan"), part)
            label = " " * self._column

    def _label(self, row: Line) -> str:
        return one_line(row.label, self._column).ljust(self._column)


class Lines(Labelled):
    """What happens, row by row, as it happens."""

    def __init__(self) -> None:
        super().__init__(column=LABEL)

    @property
    def full(self) -> bool:
        return len(self._rows) >= MANY

    def add(self, rows: Iterable[Line]) -> None:
        self._rows += rows
        self.version += 1

    def _label(self, row: Line) -> str:
        return one_line(row.label, LABEL).rjust(LABEL)


class Folding(Block):
    """A title and a text of many lines. `shown`: rows of it that stay while it is folded."""

    def __init__(self, title: str, text: str = "", *, shown: int = SHOWN, mark: str = "") -> None:
        super().__init__()
        self._shown = shown
        self.tell(title, text, mark=mark)
        self.folded = self.foldable

    def tell(self, title: str, text: str, *, mark: str = "") -> None:
        """Set title and text; a tool call gets its result so."""
        self._title = one_line(title, 160)
        self._mark = mark
        self._text = clean(text).rstrip("\n")
        self._rows = self._text.split("\n") if self._text else []
        self.version += 1

    @property
    def source(self) -> str:
        return f"{self._title}\n{self._text}" if self._text else self._title

    @property
    def foldable(self) -> bool:
        return len(self._rows) > self._shown

    def title_row(self, row: int) -> bool:
        return row == 0

    def draw(self, width: int, console: "Console") -> list[Strip]:
        total = len(self._rows)
        cut = self.folded and self.foldable
        sign = ("▸" if cut else "▾") if self._rows else "·"
        title = f"  {sign} {self._title}"
        texts = [Text.assemble((title, "bold"), (f"  {self._mark}" if self._mark else "", "dim"))]
        limit = self._shown if cut else UNFOLDED
        diff = self._title.startswith("edit")
        for row in self._rows[:limit]:
            style = _diff_style(row) if diff else ""
            for part in wrapped(Text(row[:WIDE], style), width - 4, console):
                texts.append(Text.assemble("    ", part))
        if cut and not limit:
            texts[0].append(f" · {total:,} line{'' if total == 1 else 's'}", "dim")
        elif total > limit:
            hint = "Ctrl+O" if cut else "copying gives them all"
            texts.append(Text(f"    … {total - limit:,} more lines: {hint}", "dim"))
        texts[0].truncate(max(width, 10), overflow="ellipsis")
        return strips(texts, console)


def _diff_style(row: str) -> str:
    return {"+": "green", "-": "red", "@": "cyan"}.get(row[:1], "")


class Answer(Block):
    """An answer that streams in. Prose is Markdown; what is meant for a parser stays as it is.

    `head`: the first block of an answer that became too long for one.
    """

    def __init__(self, title: str, *, prose: bool, head: "Answer | None" = None) -> None:
        super().__init__()
        self._title = one_line(title, 120)
        self._prose = prose
        self._parts: list[str] = []
        self._text = ""
        self._growing: Growing | None = None
        self._drawn = 0
        self.done = False
        self.note = ""
        self.head = head or self
        self.parts: list[Answer] = [self]
        if head is not None:
            head.parts.append(self)

    def write(self, text: str) -> None:
        self._parts.append(text)
        self.version += 1

    @property
    def long(self) -> bool:
        return self._drawn > LONG

    def split(self) -> "Answer":
        """End here, at the end of a paragraph if there is one, and go on in another block."""
        text = self._whole()
        cut = text.rfind("\n\n") + 2
        keep = text[:cut] if self._prose and cut > 1 and text[:cut].count("```") % 2 == 0 else text
        following = Answer(self._title, prose=self._prose, head=self.head)
        self._text, self._parts = keep, []
        if len(keep) < len(text):
            following.write(text[len(keep) :])
        self.finish()
        return following

    def finish(self, note: str = "") -> None:
        """Nothing more will come. An answer that became an edit folds: its diff says it better; so
        does one that is not whole, which `note` says: another follows."""
        self.done = True
        self._whole()
        self._growing = None
        self.version += 1
        if note:
            self.head.note = one_line(note, 60)
        if note or not self._prose:
            self.fold(True)

    def _whole(self) -> str:
        if self._parts:
            self._text += "".join(self._parts)
            self._parts = []
        return self._text

    @property
    def source(self) -> str:
        """Of the answer as a whole, wherever it was split."""
        return "".join(clean(part._whole()) for part in self.head.parts)

    @property
    def foldable(self) -> bool:
        return self.done

    def title_row(self, row: int) -> bool:
        return row == 0 and self.head is self

    def fold(self, folded: bool) -> None:
        for part in self.head.parts:
            if part.folded != folded:
                part.folded = folded
                part.version += 1

    def draw(self, width: int, console: "Console") -> list[Strip]:
        rows: list[Strip] = []
        if self.head is self:
            rows += strips([self._heading(width)], console)
        if self.folded:
            return rows
        rows += self._body(width, console)
        self._drawn = len(rows)
        return rows

    def _heading(self, width: int) -> Text:
        sign, more = "▾", ""
        if self.folded:
            count = sum(part._whole().count("\n") for part in self.parts) + 1
            noun = "line" if count == 1 else "lines"
            sign, more = "▸", f" · {count:,} {noun}: Ctrl+O"
        note = f" · {self.note}" if self.note else ""
        text = Text(f"  {sign} {self._title}{note}{more}", "bold")
        text.truncate(max(width, 10), overflow="ellipsis")
        return text

    def _body(self, width: int, console: "Console") -> list[Strip]:
        if not self._prose:
            found = clean(self._whole()).rstrip("\n").split("\n")
            texts = (
                Text.assemble("    ", part)
                for row in found
                for part in wrapped(Text(row[:WIDE]), width - 4, console)
            )
            return strips(texts, console)
        from agent.tui.prose import Growing, markdown

        if self.done:
            return markdown(clean(self._whole()), width, console)
        if self._growing is None or self._growing.width != width:
            self._growing = Growing(width, console)
            self._growing.write(clean(self._whole()))
        elif self._parts:
            added = "".join(self._parts)
            self._whole()
            self._growing.write(clean(added))
        return self._growing.rows()


class Verdict(Labelled):
    """How a run ended: the closing table under its mark."""

    MARKS: ClassVar[dict[str, tuple[str, str]]] = {
        "verified": ("✔ verified", "green"),
        "unverified": ("? unverified", "yellow"),
        "not_solved": ("✘ not solved", "red"),
    }

    def __init__(self, verdict: str, rows: Iterable[tuple[str, str]], following: str) -> None:
        found = [Say(label=label, text=value) for label, value in rows]
        if following:
            found.append(Say(label="next", text=following, style="bold"))
        super().__init__(found, column=len("evidence"))
        self._mark, self._style = self.MARKS[verdict]

    @property
    def source(self) -> str:
        return f"{self._mark}\n{super().source}"

    def draw(self, width: int, console: "Console") -> list[Strip]:
        inner = max(width - 5, self._column + 24)
        edge = self._style
        head = f"  ╭─ {self._mark} "
        texts = [
            Text.assemble((head, f"bold {edge}"), ("─" * max(inner + 3 - len(head), 0) + "╮", edge))
        ]
        for row in self._rows:
            for text in self._wrapped(row, inner - 2, console):
                text.truncate(inner - 2, pad=True)
                texts.append(Text.assemble(("  │ ", edge), text, (" │", edge)))
        texts.append(Text("  ╰" + "─" * inner + "╯", edge))
        return strips(texts, console)
