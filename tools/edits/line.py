"""The line format: a number and the lines that take its place. The shortest answer there is.

    L7                     line 7 of what was shown becomes these two
        if x is None:
            return 0
    ---
    L9-L11                 lines 9 to 11 are deleted

`OK` alone says that nothing is wrong.
"""

import re

from tools.edits.text import Text, decode
from tools.errors import EditError, NoMatch, UnparseableEdit
from tools.types import FileChange, FileReader, Patch

__all__ = ["LineFormat"]

_HEADER = re.compile(r"[L>](\d{1,6})(?:\s*-\s*[L>]?(\d{1,6}))?\s*:?\s*")
_EXAMPLE = "Answer `L<n>` on the first line and the new line(s) below it, nothing else."


class LineFormat:
    """Edits lines `first_line..last_line` (1-based, inclusive) of `path`, shown as L1, L2, …"""

    def __init__(self, path: str, first_line: int, last_line: int) -> None:
        if not 1 <= first_line <= last_line:
            raise ValueError(f"no span of lines: {first_line}..{last_line}")
        self._path = path
        self._first = first_line
        self._last = last_line

    @property
    def name(self) -> str:
        return "line"

    def parse(self, answer: str, read: FileReader) -> Patch:
        """Raises EditError ("no change") for `OK`, UnparseableEdit or NoMatch for a bad answer."""
        if answer.strip() == "OK":
            raise EditError("no change: the answer is OK")
        before = read(self._path)
        if before is None:
            raise NoMatch(f"{self._path} does not exist.")
        text = decode(before, self._path)
        edits = [self._edit(block, len(text.lines)) for block in _blocks(answer)]
        after = _apply(text, edits).encode(self._path)
        if after == before:
            raise EditError("no change: the new lines equal the old ones")
        return Patch(changes=(FileChange(path=self._path, before=before, after=after),))

    def _edit(self, block: list[str], total: int) -> tuple[int, int, tuple[str, ...]]:
        """Start and stop (0-based, half open, in the file) and the new lines."""
        match = _HEADER.fullmatch(block[0])
        if match is None:
            raise UnparseableEdit(f"{block[0][:80]!r} is not a line number. {_EXAMPLE}")
        start, end = int(match[1]), int(match[2] or match[1])
        shown = min(self._last, total) - self._first + 1
        if not 1 <= start <= end <= shown:
            raise NoMatch(f"There is no {block[0].strip()}: lines L1 to L{shown} were shown.")
        offset = self._first - 1
        return start - 1 + offset, end + offset, tuple(block[1:])


def _blocks(answer: str) -> list[list[str]]:
    """Split at `---` lines that a line number follows; `---` elsewhere is text."""
    lines = answer.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if lines and lines[0].startswith("```") and lines[-1].strip() == "```":
        lines = lines[1:-1]
    blocks: list[list[str]] = [[]]
    for i, line in enumerate(lines):
        if line == "---" and i + 1 < len(lines) and _HEADER.fullmatch(lines[i + 1]):
            blocks.append([])
        else:
            blocks[-1].append(line)
    if not blocks[0] or not blocks[0][0].strip():
        raise UnparseableEdit(f"The answer is empty. {_EXAMPLE}")
    return blocks


def _apply(text: Text, edits: list[tuple[int, int, tuple[str, ...]]]) -> Text:
    """From the last line up, so that the numbers stay those that were shown."""
    limit = len(text.lines)
    for start, stop, new in sorted(edits, reverse=True):
        if stop > limit:
            raise UnparseableEdit("Two blocks change the same line; give each line once.")
        text = text.replaced(start, stop, new)
        limit = start
    return text
