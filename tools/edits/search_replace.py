"""The search/replace format: lines to find, and the lines to put in their place.

path/to/file.py
<<<<<<< SEARCH
the lines as they are
=======
the lines as they should be
>>>>>>> REPLACE
"""

from collections.abc import Iterable

from tools.edits.blocks import Block, blocks
from tools.edits.match import find, rewritten
from tools.edits.text import Text, decode
from tools.errors import EditError, NoMatch
from tools.files import check_path
from tools.types import FileChange, FileReader, Patch

__all__ = ["SearchReplaceFormat", "replacement"]


class SearchReplaceFormat:
    """See the module. An empty SEARCH creates a file."""

    @property
    def name(self) -> str:
        return "search_replace"

    def parse(self, answer: str, read: FileReader) -> Patch:
        """Raises UnparseableEdit, NoMatch, AmbiguousMatch, OutOfScope, EditError ("no change")."""
        return _patch(blocks(answer), read)


def replacement(path: str, search: str, replace: str, read: FileReader) -> Patch:
    """One edit whose parts came apart (a tool call), so that no marker has to be looked for.

    An empty `search` creates the file. Raises as `SearchReplaceFormat.parse` does.
    """
    block = Block(path=path, readings=((_split(search), _split(replace)),))
    return _patch((block,), read)


def _split(text: str) -> tuple[str, ...]:
    lines = text.replace("\r\n", "\n").split("\n")
    return tuple(lines[:-1] if not lines[-1] else lines)


def _patch(found: Iterable[Block], read: FileReader) -> Patch:
    before: dict[str, bytes | None] = {}
    after: dict[str, bytes] = {}
    for block in found:
        path = block.path
        if path not in before:
            check_path(path)
            before[path] = read(path)
        now = after.get(path, before[path])
        after[path] = _created(block) if now is None else _edited(block, now)
    changes = tuple(
        FileChange(path=path, before=before[path], after=data)
        for path, data in after.items()
        if before[path] != data
    )
    if not changes:
        raise EditError("no change: every REPLACE part equals what is in the file")
    return Patch(changes=changes)


def _created(block: Block) -> bytes:
    search, replace = block.readings[0]
    if any(line.strip() for line in search):
        raise NoMatch(
            f"{block.path} does not exist. Check the path; to create the file, leave the SEARCH"
            " part empty."
        )
    return "".join(line + "\n" for line in replace).encode("utf-8", "surrogateescape")


def _edited(block: Block, now: bytes) -> bytes:
    text = decode(now, block.path)
    lines = tuple(line.text for line in text.lines)
    search, replace = _reading(block, lines)
    if not any(line.strip() for line in search):
        if any(lines):
            raise NoMatch(
                f"{block.path} exists already, and the SEARCH part is empty. Quote the lines that"
                " are to be replaced."
            )
        filled = Text(lines=(), encoding=text.encoding, bom=text.bom).replaced(0, 0, replace)
        return filled.encode(block.path)
    search, replace = _trimmed(lines, search, replace)
    match = find(lines, search, block.path)
    new = rewritten(lines, match, search, replace)
    return text.replaced(match.start, match.start + match.count, new).encode(block.path)


def _reading(block: Block, lines: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Where the code holds `=======` lines of its own: the longest SEARCH that is in the file."""
    there = [r for r in block.readings if r[0] and _holds(lines, r[0])]
    return max(there, key=lambda r: len(r[0])) if there else block.readings[0]


def _holds(lines: tuple[str, ...], part: tuple[str, ...]) -> bool:
    count = len(part)
    return any(lines[i : i + count] == part for i in range(len(lines) - count + 1))


def _trimmed(
    lines: tuple[str, ...], search: tuple[str, ...], replace: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Without the blank lines models add around a block, unless the file has them there too."""
    if _holds(lines, search):
        return search, replace
    while search and not search[0].strip():
        search = search[1:]
        replace = replace[1:] if replace and not replace[0].strip() else replace
    while search and not search[-1].strip():
        search = search[:-1]
        replace = replace[:-1] if replace and not replace[-1].strip() else replace
    return search, replace
