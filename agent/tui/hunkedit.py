"""Editing one hunk of a patch before it is accepted: here, or in the user's own editor.

Bytes in, bytes out. What this screen could not show as it is (control characters, other encodings)
is edited in $EDITOR only: a cleaned text must never be written to a file.
"""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Footer, Static, TextArea

from agent.sanitize import clean, one_line, plain
from tools.hunks import Hunk, lines_of, select
from tools.types import FileChange

__all__ = ["EditScreen", "chosen", "edited", "external", "shown"]


def shown(hunk: Hunk) -> str | None:
    """The new side of a hunk as text to edit; None where that would not be the same bytes."""
    data = b"".join(hunk.after)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if _dos(hunk):
        text = text.replace("\r\n", "\n")
    return text if clean(text) == text else None


def _dos(hunk: Hunk) -> bool:
    lines = [line for _, line in hunk.rows]
    return bool(lines) and all(line.endswith(b"\r\n") for line in lines)


def edited(hunk: Hunk, data: bytes) -> Hunk:
    """The hunk with another new side."""
    after = tuple(lines_of(data))
    rows: list[tuple[str, bytes]] = []
    codes = SequenceMatcher(None, hunk.before, after, autojunk=False).get_opcodes()
    for tag, a, b, c, d in codes:
        if tag == "equal":
            rows += [(" ", line) for line in hunk.before[a:b]]
        else:
            rows += [("-", line) for line in hunk.before[a:b]]
            rows += [("+", line) for line in after[c:d]]
    return replace(hunk, after=after, rows=tuple(rows))


def chosen(change: FileChange, hunks: Sequence[Hunk], edits: Mapping[int, Hunk]) -> FileChange:
    """The change with only `hunks`, those in `edits` as the user wrote them."""
    part = select(change, frozenset(h.index for h in hunks))
    if not edits:
        return part
    old = lines_of(change.before or b"")
    result: list[bytes] = []
    at = 0
    for hunk in sorted(hunks, key=lambda h: h.before_line):
        start = hunk.before_line - 1
        result += old[at:start]
        result += edits.get(hunk.index, hunk).after
        at = start + len(hunk.before)
    return replace(part, after=b"".join(result + old[at:]))


def external(data: bytes, path: str, environ: Mapping[str, str]) -> bytes:
    """`data` after the user's editor. Raises OSError, or CalledProcessError if it fails."""
    command = environ.get("VISUAL") or environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="pointsman-hunk-") as directory:
        suffix = Path(path).suffix
        file = Path(directory) / f"hunk{suffix if suffix[1:].isalnum() else ''}"
        file.write_bytes(data)
        subprocess.run([*shlex.split(command), os.fspath(file)], check=True)
        return file.read_bytes()


class EditScreen(ModalScreen[bytes | None]):
    """Dismissed with the new bytes, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Take it", priority=True),
        Binding("escape", "leave", "Leave it", priority=True),
    ]

    def __init__(self, hunk: Hunk, text: str, path: str) -> None:
        super().__init__()
        self._hunk = hunk
        self._text = text
        self._path = path

    def compose(self) -> ComposeResult:
        name = plain(f" Edit hunk · {one_line(self._path, 100)}", "bold")
        lines = f" from line {self._hunk.after_line}: what is here replaces the new side"
        yield Static(Text.assemble(name, (lines, "dim")), classes="sheet-title")
        area = TextArea(self._text, show_line_numbers=True, compact=True)
        area.line_number_start = self._hunk.after_line
        yield area
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(TextArea).focus()

    def action_save(self) -> None:
        text = self.query_one(TextArea).text
        if self._text.endswith("\n") and text and not text.endswith("\n"):
            text += "\n"
        if _dos(self._hunk):
            text = text.replace("\n", "\r\n")
        self.dismiss(text.encode("utf-8", "surrogateescape"))

    def action_leave(self) -> None:
        self.dismiss(None)
