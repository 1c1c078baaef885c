"""One hunk on the screen: inline or side by side, with its decision.

What is shown is cleaned; what is applied are the bytes the hunk came with.
"""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Literal, NamedTuple

from rich.text import Text
from textual.message import Message
from textual.widgets import Static

from agent.sanitize import clean
from tools.hunks import Hunk

__all__ = ["Decision", "HunkView", "Layout", "inline", "side_by_side"]

Decision = Literal["undecided", "accepted", "rejected"]
Layout = Literal["inline", "side by side"]
MARKS: dict[Decision, str] = {"undecided": "[ ]", "accepted": "[✔]", "rejected": "[✘]"}
LONG = 2_000
"""Characters of a line that are shown; minified files have lines of a megabyte."""
STYLES = {"-": "red", "+": "green", " ": ""}
CHANGED = {"-": "bold red underline", "+": "bold green underline", " ": ""}


class Shown(NamedTuple):
    """A line of the diff, cleaned: its sign, number on its side, text, and what differs in it."""

    sign: str
    number: int
    text: str
    start: int = 0
    end: int = 0


class HunkView(Static):
    """Clicking selects it; the review screen decides."""

    class Chosen(Message):
        def __init__(self, view: "HunkView") -> None:
            super().__init__()
            self.view = view

    def __init__(self, hunk: Hunk, path: str, number: int) -> None:
        super().__init__(classes="hunk")
        self.hunk = hunk
        self.path = path
        self.number = number
        self.decision: Decision = "undecided"
        self.edited = False
        self.shape: Layout = "inline"
        self._width = 0

    def on_mount(self) -> None:
        self.draw()

    def on_resize(self) -> None:
        if self.size.width != self._width:
            self._width = self.size.width
            self.draw()

    def on_click(self) -> None:
        self.post_message(self.Chosen(self))

    def decide(self, decision: Decision) -> None:
        self.decision = decision
        for name in MARKS:
            self.set_class(name == decision, f"-{name}")
        self.draw()

    def draw(self) -> None:
        where = f"line {self.hunk.before_line}"
        current = "▶" if self.has_class("-current") else " "
        text = Text()
        text.append(f"{current} {MARKS[self.decision]} ", "bold")
        text.append(f"hunk {self.number} · {where} · {self.decision}", "bold")
        if self.edited:
            text.append(" · edited by you", "bold")
        if not self.hunk.rows:
            sizes = [sum(map(len, side)) for side in (self.hunk.before, self.hunk.after)]
            text.append(f"\n  binary: {sizes[0]:,} bytes become {sizes[1]:,}")
        rows = (
            side_by_side(self.hunk, max((self.size.width or 80) - 2, 30))
            if self.shape == "side by side"
            else inline(self.hunk)
        )
        for row in rows:
            text.append("\n")
            text.append_text(row)
        self.update(text)


def inline(hunk: Hunk) -> Iterator[Text]:
    """Sign, line number and text; the part of a line that differs is underlined."""
    for line in _shown(hunk):
        yield Text.assemble(_sign(line, 5), _marked(line))


def side_by_side(hunk: Hunk, width: int) -> Iterator[Text]:
    """Old left, new right; lines that do not fit are cut with a mark."""
    half = (width - 3) // 2
    for old, new in _paired(_shown(hunk)):
        row = _cell(old, half)
        row.append(" │ ", "dim")
        row.append_text(_cell(new, half))
        yield row


def _cell(line: Shown | None, width: int) -> Text:
    if line is None:
        return Text(" " * width)
    row = Text.assemble(_sign(line, 4), _marked(line))
    row.expand_tabs(4)
    if row.cell_len > width:
        row.truncate(width, overflow="ellipsis")
    row.pad_right(max(width - row.cell_len, 0))
    return row


def _sign(line: Shown, width: int) -> tuple[str, str]:
    return f"{line.number:>{width}} {line.sign} ", STYLES[line.sign] or "dim"


def _marked(line: Shown) -> Text:
    text = Text(line.text, STYLES[line.sign], tab_size=4)
    if line.end > line.start:
        text.stylize(CHANGED[line.sign], line.start, line.end)
    return text


def _paired(lines: list[Shown]) -> Iterator[tuple[Shown | None, Shown | None]]:
    old: list[Shown] = []
    new: list[Shown] = []
    for line in [*lines, Shown(" ", 0, "")]:
        if line.sign == " ":
            yield from zip_longest(old, new)
            old, new = [], []
            if line.number:
                yield line, line
        else:
            (old if line.sign == "-" else new).append(line)


def _shown(hunk: Hunk) -> list[Shown]:
    """Cleaned lines; a run of removed lines and the added lines after it are compared."""
    dos = all(line.endswith(b"\r\n") for _, line in hunk.rows)
    found: list[Shown] = []
    at = {"-": hunk.before_line, "+": hunk.after_line}
    for sign, line in hunk.rows:
        number = at["+"] if sign == " " else at[sign]
        for side in "-+" if sign == " " else sign:
            at[side] += 1
        found.append(Shown(sign, number, _text(line, dos)))
    return _compared(found)


def _text(line: bytes, dos: bool) -> str:
    ended = line.endswith(b"\n")
    body = line.removesuffix(b"\n")
    if dos:  # where every line ends so, the sign at each says nothing
        body = body.removesuffix(b"\r")
    text = clean(body.decode("utf-8", "surrogateescape"))
    if len(text) > LONG:
        text = f"{text[:LONG]}… {len(text) - LONG:,} more characters"
    return text if ended else f"{text} ⟨no newline at the end⟩"


def _compared(lines: list[Shown]) -> list[Shown]:
    """Pairs of equally long runs get their common head and tail taken out of the marking."""
    result = list(lines)
    at = 0
    while at < len(lines):
        old = at
        while old < len(lines) and lines[old].sign == "-":
            old += 1
        new = old
        while new < len(lines) and lines[new].sign == "+":
            new += 1
        if old - at == new - old:
            for i in range(old - at):
                result[at + i], result[old + i] = _differing(lines[at + i], lines[old + i])
        at = max(new, at + 1)
    return result


def _differing(old: Shown, new: Shown) -> tuple[Shown, Shown]:
    a, b = old.text, new.text
    head = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < min(len(a), len(b)) - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    return (
        old._replace(start=head, end=len(a) - tail),
        new._replace(start=head, end=len(b) - tail),
    )
