"""A file as lines of text that turn back into exactly the bytes they came from.

Encoding, byte-order mark and the end of each line are remembered, so that an edit changes only the
lines it replaces. Show a model `decode(data).shown`, and its answer will fit.
"""

import codecs
import re
from dataclasses import dataclass

from tools.errors import EditError

__all__ = ["Line", "Text", "decode"]

_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Line:
    """Text without its end, and the end: `\\n`, `\\r\\n`, `\\r`, or nothing for a last line."""

    text: str
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A decoded file. `lines` are numbered from 1 as Python and editors number them."""

    lines: tuple[Line, ...]
    encoding: str
    bom: bool

    @property
    def end(self) -> str:
        """The line end most lines have; `\\n` for a file without any."""
        ends = [line.end for line in self.lines if line.end]
        return max(sorted(set(ends)), key=ends.count) if ends else "\n"

    @property
    def shown(self) -> str:
        """For a reader: `\\n` line ends, no byte-order mark."""
        return "".join(line.text + ("\n" if line.end else "") for line in self.lines)

    def replaced(self, start: int, stop: int, new: tuple[str, ...]) -> "Text":
        """Lines `start..stop` (0-based, half open) become `new`.

        A new line gets the end of the old one at its place, those beyond the last get its end; a
        file that did not end in a newline still does not.
        """
        old = self.lines[start:stop]
        ends = [line.end or self.end for line in old] or [self.end]
        lines = [Line(text, ends[min(i, len(ends) - 1)]) for i, text in enumerate(new)]
        before, after = list(self.lines[:start]), self.lines[stop:]
        if before and lines and not before[-1].end:
            before[-1] = Line(before[-1].text, self.end)
            lines[-1] = Line(lines[-1].text, "")
        elif not after and lines and old and not old[-1].end:
            lines[-1] = Line(lines[-1].text, "")
        return Text(lines=(*before, *lines, *after), encoding=self.encoding, bom=self.bom)

    def encode(self, path: str) -> bytes:
        """The bytes. Raises EditError for a character the file's encoding does not have."""
        text = "".join(line.text + line.end for line in self.lines)
        try:
            return ((_BOM if self.bom else "") + text).encode(self.encoding)
        except UnicodeEncodeError as error:
            char = error.object[error.start]
            raise EditError(
                f"{path} is encoded in {self.encoding}, which has no {char!r}. Write the edit"
                " without that character, or as an escape."
            ) from None


def decode(data: bytes, path: str = "the file") -> Text:
    """UTF-8, else the encoding a Python file declares, else Latin-1, which has every byte.

    Raises EditError for a binary file (a NUL byte).
    """
    if b"\0" in data:
        raise EditError(f"{path} is a binary file; it cannot be edited as text.")
    encoding = _encoding(data)
    text = data.decode(encoding)
    bom = encoding == "utf-8" and text.startswith(_BOM)
    return Text(lines=_lines(text.removeprefix(_BOM) if bom else text), encoding=encoding, bom=bom)


def _lines(text: str) -> tuple[Line, ...]:
    found = [Line(match[1], match[2]) for match in _LINE.finditer(text)]
    return tuple(line for line in found if line.text or line.end)


def _encoding(data: bytes) -> str:
    for name in ("utf-8", _declared(data)):
        try:
            # Not every codec gives back the bytes it read; one that does not would alter the file.
            if name and data.decode(name).encode(name) == data:
                return name
        except (UnicodeError, LookupError):
            continue
    return "latin-1"


def _declared(data: bytes) -> str | None:
    for line in data.split(b"\n", 2)[:2]:
        if match := _COOKIE.match(line):
            try:
                info = codecs.lookup(match[1].decode("ascii"))
            except LookupError:
                return None
            # Codecs such as rot13 or unicode_escape are not encodings of a file.
            return info.name if getattr(info, "_is_text_encoding", True) else None
    return None
