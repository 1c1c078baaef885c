"""The conversation: one widget over blocks, which draws the rows that can be seen.

Blocks far from the view keep their height and their text and lose their rows; changes are drawn
`BEAT_S` apart at most, however fast text streams in. The view stays at the end until the user
scrolls away, and then stays where it is.
"""

import time
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from agent.tui.blocks import Answer, Block, Lines, Said
from agent.tui.words import Line

__all__ = ["Conversation"]

BEAT_S = 0.06
"""Between two drawings of text that streams; less often where a drawing takes long."""
SLICE_S = 0.008
"""Of one beat, for drawing blocks out of view again after the width changed."""
KEPT = 3_000
"""Rows kept drawn. All others are drawn again when they come into view."""


@dataclass(slots=True)
class Laid:
    """A block as it was last drawn. `rows` None: to be drawn again, with the same height."""

    width: int = 0
    version: int = -1
    height: int = 0
    rows: list[Strip] | None = None

    def fresh(self, block: Block, width: int) -> bool:
        return self.version == block.version and self.width == width


class Conversation(ScrollView, can_focus=True):
    """Grows at its end. With the focus, Up and Down choose a block; Enter folds it, c copies it."""

    DEFAULT_CLASSES = "conversation"
    ALLOW_SELECT = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "choose(-1)", "Block", key_display="↑↓"),
        Binding("down,j", "choose(1)", show=False),
        Binding("enter,space,o", "fold_block", "Fold"),
        Binding("c,y", "copy", "Copy"),
        Binding("home,g", "scroll_home", show=False),
        Binding("end,G", "follow", show=False),
        Binding("escape,tab,i", "leave", "Back", show=False),
    ]

    class Copied(Message):
        """A block's text is to go to the clipboard."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The keyboard goes back to the input."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[Block] = []
        self._laid: list[Laid] = []
        self._tops: list[int] = [0]
        self._following = True
        self._chosen: int | None = None
        self._due = False
        self._last = 0.0
        self._cost = 0.0
        self._shown: tuple[int, list[Strip | None]] = (0, [])

    # ------------------------------------------------------------------ what is added

    def prompt(self, text: str) -> None:
        """What the user typed."""
        self._following = True
        self.add(Said(text))

    def lines(self, rows: Iterable[Line]) -> None:
        """Rows below the last ones, in the same block while it is not too long."""
        found = list(rows)
        if not found:
            return
        last = self.blocks[-1] if self.blocks else None
        if not isinstance(last, Lines) or last.full:
            last = Lines()
            self.add(last)
        last.add(found)
        self.changed()

    def add(self, block: Block) -> None:
        self.blocks.append(block)
        self._laid.append(Laid())
        self.changed()

    def empty(self) -> None:
        self.blocks.clear()
        self._laid.clear()
        self._chosen = None
        self._following = True
        self.changed()

    def changed(self) -> None:
        """Some block has a new version: draw soon, and not before the last drawing is paid for."""
        if not self._due and self.is_mounted:
            self._due = True
            pause = max(BEAT_S, 3 * self._cost)
            self.set_timer(max(self._last + pause - time.monotonic(), 0.001), self._beat)

    @property
    def text(self) -> str:
        """Everything, as copying each block would give it."""
        return "\n\n".join(b.source for b in self.blocks if not _continued(b))

    # ------------------------------------------------------------------ drawing

    def on_mount(self) -> None:
        self.changed()

    def on_resize(self) -> None:
        self._beat()

    def _beat(self) -> None:
        self._due = False
        began = time.monotonic()
        width = self.scrollable_content_region.width
        if width <= 0:
            return
        place = self._place()
        again = self._draw_all(width, began)
        self._settle(width, place)
        self._repaint()
        self._last = time.monotonic()
        self._cost = self._last - began
        if again:
            self.changed()

    def _repaint(self) -> None:
        """Only the rows in view that differ; after scrolling Textual repaints all of them."""
        top = self.scroll_offset.y
        found = [self._row(y) for y in range(top, top + self.size.height)]
        rows = [row[1] if row else None for row in found]
        before, shown = self._shown
        self._shown = (top, rows)
        if before != top or len(shown) != len(rows):
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(shown, rows, strict=True)) if old != new]
        if changed:
            height = changed[-1] - changed[0] + 1
            self.refresh(Region(0, changed[0], self.size.width, height))

    def _draw_all(self, width: int, began: float) -> bool:
        """Draw what changed. True: blocks out of view are still as wide as before."""
        top, height = self.scroll_offset.y, self.size.height
        left = False
        for index in range(len(self.blocks) - 1, -1, -1):
            laid, block = self._laid[index], self.blocks[index]
            if laid.fresh(block, width):
                continue
            start = self._tops[index] if index < len(self._tops) else top
            seen = start < top + 2 * height and start + laid.height > top - height
            if seen or laid.version != block.version or time.monotonic() - began < SLICE_S:
                self._draw(index, width)
            else:
                left = True
        return left

    def _draw(self, index: int, width: int) -> list[Strip]:
        block = self.blocks[index]
        rows = [row.simplify() for row in block.draw(width, self.app.console)]
        if _apart(self.blocks, index):
            rows.insert(0, Strip.blank(0))
        self._laid[index] = Laid(width=width, version=block.version, height=len(rows), rows=rows)
        return rows

    def _settle(self, width: int, place: tuple[int, int]) -> None:
        """New tops, new size; the view stays at the end, or at the block it began with."""
        tops = [0]
        for laid in self._laid:
            tops.append(tops[-1] + laid.height)
        self._tops = tops
        self._forget()
        self.virtual_size = Size(width, tops[-1])
        if self._following:
            self.scroll_end(animate=False, immediate=True, force=True, x_axis=False)
        else:
            index, offset = place
            if index < len(self.blocks):
                target = tops[index] + min(offset, max(self._laid[index].height - 1, 0))
                if target != self.scroll_offset.y:
                    self.scroll_to(y=target, animate=False, immediate=True, force=True)

    def _place(self) -> tuple[int, int]:
        """The block at the top of the view, and how many of its rows are above."""
        y = self.scroll_offset.y
        index = max(bisect_right(self._tops, y) - 1, 0)
        return index, y - self._tops[index]

    def _forget(self) -> None:
        """Rows are kept near the view only."""
        kept = sum(len(laid.rows) for laid in self._laid if laid.rows is not None)
        if kept <= KEPT:
            return
        middle = self.scroll_offset.y + self.size.height // 2
        if self._following:
            middle = self._tops[-1]
        for index in sorted(range(len(self._laid)), key=lambda i: -abs(self._tops[i] - middle)):
            laid = self._laid[index]
            if kept <= KEPT * 3 // 4:
                break
            if laid.rows is not None and index < len(self._laid) - 1:
                kept -= len(laid.rows)
                laid.rows = None

    def _row(self, y: int) -> tuple[int, Strip] | None:
        index = bisect_right(self._tops, y) - 1
        if not 0 <= index < len(self._laid):
            return None
        laid = self._laid[index]
        rows = laid.rows
        if rows is None:
            rows = laid.rows = self._again(index, laid.width)
        at = y - self._tops[index]
        return (index, rows[at]) if at < len(rows) else None

    def _again(self, index: int, width: int) -> list[Strip]:
        """The rows of a block as they were: what is new is drawn at the next beat."""
        rows = [row.simplify() for row in self.blocks[index].draw(width, self.app.console)]
        if _apart(self.blocks, index):
            rows.insert(0, Strip.blank(0))
        return rows

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        base = self.rich_style
        at = self.scroll_offset.y + y
        found = self._row(at)
        if found is None:
            return Strip.blank(width, base)
        index, row = found
        row = row.crop_extend(0, width, None).apply_style(base)
        if index == self._chosen and self.has_focus:
            row = Strip([MARK, *row.crop(1)], width)
        selection = self.text_selection
        if selection is not None:
            row = self._selected(row, selection.get_span(at))
        return row.apply_offsets(0, at)

    def _selected(self, row: Strip, span: tuple[int, int] | None) -> Strip:
        if span is None:
            return row
        start, end = span
        cells, text = row.cell_length, row.text
        start = cell_len(text[:start])
        end = cells if end == -1 else cell_len(text[:end])
        if start >= end:
            return row
        style = self.screen.get_component_rich_style("screen--selection")
        middle = row.crop(start, end).apply_style(style)
        return Strip.join([row.crop(0, start), middle, row.crop(end, cells)])

    # ------------------------------------------------------------------ selecting, copying

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """What is selected, without the blanks that fill rows."""
        first = selection.start.y if selection.start else 0
        last = selection.end.y if selection.end else self._tops[-1] - 1
        found = []
        for y in range(max(first, 0), min(last, self._tops[-1] - 1) + 1):
            row = self._row(y)
            text = row[1].text if row else ""
            start, end = selection.get_span(y) or (0, 0)
            found.append(text[start : None if end == -1 else end].rstrip())
        return "\n".join(found), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    def action_copy(self) -> None:
        block = self._current()
        if block is not None:
            self.post_message(self.Copied(block.source))

    def last_answer(self) -> Block | None:
        """What is most likely wanted when nothing is chosen."""
        for block in reversed(self.blocks):
            if isinstance(block, Answer):
                return block
        return self.blocks[-1] if self.blocks else None

    # ------------------------------------------------------------------ choosing, folding

    def _current(self) -> Block | None:
        if self._chosen is not None and self._chosen < len(self.blocks):
            return self.blocks[self._chosen]
        return None

    def on_focus(self) -> None:
        self._chosen = len(self.blocks) - 1 if self.blocks else None
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def action_choose(self, step: int) -> None:
        if not self.blocks:
            return
        at = len(self.blocks) if self._chosen is None else self._chosen
        self._chosen = max(0, min(at + step, len(self.blocks) - 1))
        top, height = self._tops[self._chosen], self._laid[self._chosen].height
        self._following = self._chosen == len(self.blocks) - 1
        self.scroll_to_region(
            Region(0, top, 1, min(height, self.size.height)), animate=False, immediate=True
        )
        self.refresh()

    def action_fold_block(self) -> None:
        block = self._current()
        if block is not None:
            block.fold(not block.folded)
            self.changed()

    def fold_all(self) -> None:
        """Unfold everything that is folded; fold everything when nothing is."""
        can = [block for block in self.blocks if block.foldable]
        folded = not any(block.folded for block in can)
        for block in can:
            block.fold(folded)
        self.changed()

    def action_leave(self) -> None:
        self.post_message(self.Left())

    def on_click(self, event: events.Click) -> None:
        y = event.get_content_offset_capture(self).y + self.scroll_offset.y
        index = bisect_right(self._tops, y) - 1
        if not 0 <= index < len(self.blocks):
            return
        self._chosen = index
        block = self.blocks[index]
        row = y - self._tops[index] - _apart(self.blocks, index)
        if block.title_row(row) and self.text_selection is None:
            block.fold(not block.folded)
            self.changed()
        self.refresh()

    # ------------------------------------------------------------------ scrolling

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and not self.is_vertical_scroll_end:
            self._following = False
        elif self.is_vertical_scroll_end:
            self._following = True

    def action_follow(self) -> None:
        self._following = True
        self.scroll_end(animate=False, immediate=True)

    def pages(self, count: int) -> None:
        page = max(self.size.height - 2, 1)
        self.scroll_relative(y=count * page, animate=False, immediate=True)


MARK = Segment("▎", Style.parse("bold cyan"))
"""Beside the block that the keys act on."""


def _continued(block: Block) -> bool:
    return isinstance(block, Answer) and block.head is not block


def _apart(blocks: list[Block], index: int) -> bool:
    """A blank row before a block, but not between the parts of one answer, nor lines and lines."""
    if not index:
        return False
    block, before = blocks[index], blocks[index - 1]
    if isinstance(block, Answer) and block.head is not block:
        return not block.folded
    return type(block) is not type(before) and not isinstance(block, Said)
