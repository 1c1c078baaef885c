"""Definitions and imports of Python sources: what the tree says, at a fifth of its cost.

Where definitions begin and end follows from the first words and the indents of rows. A source
that is laid out in another way than nearly all code is (tabs, `;` or `if x: y = 1` outside of
plain functions, brackets that do not match) is left to the tree. The two are compared over
the standard library by the tests; over 12,000 files of 145 MB they were equal, but for six with
syntax errors, and 132 were left to the tree.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tools.index.grammar import HEAD_BYTES, Found, Imported, signature
from tools.index.grammar_specs import python_nested
from tools.index.pyrows import CLASS, DECORATOR, DEF, IMPORT, OTHER, Rows, rows
from tools.index.tokens import once

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    I64 = NDArray[np.int64]
    Flags = NDArray[np.bool_]

__all__ = ["scan"]

_NAME = rb"(?:[^\W\d]|[\x80-\xff])[\w\x80-\xff]*"
_HEAD = re.compile(rb"(?:async +def|def|class) +(" + _NAME + rb") *[(:\[]")
_PLAIN = re.compile(
    rb"(?P<block>(?:if|elif|else|try|except|finally|with|for|while|async)\b|case\b(?! *[=.,)]))"
    rb"|lambda\b"
    rb"|(?P<name>" + _NAME + rb")(?: |\\\n)*(?::|=(?!=))"
)
"""Rows without a colon at their end: `if x: y = 1`, and names bound to a value or given a type."""
_EMPTY = (b"pass", b"...")
_DEEPEST = 28
"""Columns; the tree is not looked at below so many nodes, and deep rows are few."""


def scan(sources: Sequence[bytes]) -> "list[tuple[list[Found], list[Imported]] | None]":
    """Definitions in source order and imports, as `grammar.walk` gives them, of each source;
    None where it takes the tree to tell."""
    if not sources:
        return []
    of = rows(sources)
    found: list[list[Found]] = [[] for _ in sources]
    imports: list[list[Imported]] = [[] for _ in sources]
    if len(of.starts):
        reader = _Reader(of)
        for source, definition in reader.definitions():
            found[source].append(definition)
        for source, imported in reader.imports():
            imports[source].append(imported)
    return [None if n in of.strange else (found[n], imports[n]) for n in range(len(sources))]


class _Reader:
    """Looks at all rows but those of plain functions, where nothing is defined."""

    def __init__(self, rows: Rows) -> None:
        import numpy as np

        self.rows = rows
        kinds = rows.kinds
        self._heads = np.flatnonzero((kinds == DEF) | (kinds == CLASS))
        self._is_function = kinds[self._heads] == DEF
        self._stops = _stops(rows, self._heads)
        self._ends = _block_ends(rows, self._heads, self._stops)
        plain = self._plain()
        edges = np.zeros(len(kinds) + 1, np.int32)
        np.add.at(edges, self._heads[plain] + 1, 1)
        np.add.at(edges, self._stops[plain], -1)
        self._looked = np.cumsum(edges[:-1]) == 0
        self._local = np.zeros(len(kinds), bool)
        outer = ~plain
        for head, stop, is_function in zip(
            self._heads[outer], self._stops[outer], self._is_function[outer], strict=True
        ):
            self._local[head + 1 : stop] = is_function
        self._refuse()

    def _plain(self) -> "Flags":
        """Which definitions are functions that hold no others, as far as a look at their text
        tells; an import in such a function is nobody else's business."""
        import numpy as np

        rows, heads, stops = self.rows, self._heads, self._stops
        plain: Flags = self._is_function & (np.append(heads[1:], len(rows.starts)) >= stops)
        imports = np.flatnonzero(rows.kinds == IMPORT)
        holds = np.searchsorted(imports, stops) > np.searchsorted(imports, heads)
        for number in np.flatnonzero(plain & holds & (stops > heads + 1)):
            begin = int(rows.starts[heads[number] + 1])
            plain[number] = not python_nested(rows.text, begin, int(self._ends[number]))
        return plain

    def _refuse(self) -> None:
        """Leave sources to the tree for what their rows hold, where it matters."""
        import numpy as np

        rows, looked = self.rows, self._looked
        holders = np.searchsorted(rows.starts, rows.signs.semicolons, side="right") - 1
        self._leave(holders[looked[holders]])
        self._leave(np.flatnonzero(looked & (rows.indents > _DEEPEST)))
        decorators = np.flatnonzero(rows.kinds[:-1] == DECORATOR)
        then = decorators + 1
        fit = (rows.kinds[then] != OTHER) & (rows.kinds[then] != IMPORT)
        fit &= (rows.indents[then] == rows.indents[decorators]) & ~rows.opens[decorators]
        fit &= rows.sources[then] == rows.sources[decorators]
        self._leave(decorators[~fit])
        if rows.kinds[-1] == DECORATOR:
            self._leave(np.array([len(rows.kinds) - 1]))

    def _leave(self, rows: "I64") -> None:
        self.rows.strange.update(self.rows.sources[rows].tolist())

    def definitions(self) -> Iterator[tuple[int, Found]]:
        """With the number of their source, in order."""
        import numpy as np

        rows = self.rows
        # What begins with a decorator begins after the last row before it that is none.
        others = np.flatnonzero(rows.kinds != DECORATOR)
        before = np.searchsorted(others, self._heads) - 1
        firsts = np.where(before >= 0, others[before] + 1, 0)
        firsts = np.maximum(firsts, np.searchsorted(rows.sources, rows.sources[self._heads]))
        begins, ends = rows.starts.copy(), rows.ends.copy()
        begins[self._heads], ends[self._heads] = rows.starts[firsts], self._ends
        plain = (rows.kinds == OTHER) & ~rows.opens
        is_head = np.zeros(len(plain), bool)
        is_head[self._heads] = True
        wanted = np.flatnonzero(self._looked & (plain | is_head))
        source_of = rows.sources[wanted]
        columns = (
            source_of, rows.kinds[wanted], rows.starts[wanted], rows.ends[wanted],
            rows.opens[wanted], begins[wanted], ends[wanted], self._local[wanted],
            rows.firsts[source_of],
        )  # fmt: skip
        for source, kind, start, code_end, opens, begin, end, local, shift in zip(
            *(c.tolist() for c in columns), strict=True
        ):
            if kind == OTHER:
                named = self._value(source, start, code_end, local)
            else:
                named = self._head(source, kind, start, code_end, opens)
            if named is not None:
                name, what, text = named
                yield source, Found(name, what, begin - shift, end - shift, text)

    def _value(self, source: int, start: int, end: int, local: bool) -> tuple[str, str, str] | None:
        """A name bound to a value. A function's own variables are no symbols."""
        text = self.rows.text
        match = _PLAIN.match(text, start, end)
        if match is None:
            return None
        if match.lastgroup == "block":
            self.rows.strange.add(source)
        if match.lastgroup != "name" or local:
            return None
        raw = text[start : min(end, start + HEAD_BYTES)]
        return match["name"].decode("utf-8", "replace"), "constant", signature(raw, "constant")

    def _head(
        self, source: int, kind: int, start: int, end: int, opens: bool
    ) -> tuple[str, str, str] | None:
        text = self.rows.text
        match = _HEAD.match(text, start, end)
        cut = end if opens else self._colon(start, end)
        # The names a class binds are not looked for in `class A: x = 1`.
        full = kind == CLASS and not opens and text[cut:end].strip() not in _EMPTY
        if match is None or cut > end or full:
            self.rows.strange.add(source)
            return None
        what = "function" if kind == DEF else "class"
        raw = text[start : min(cut, start + HEAD_BYTES)]
        return match[1].decode("utf-8", "replace"), what, signature(raw, what)

    def _colon(self, start: int, end: int) -> int:
        """Behind the colon of `def f(x): return x`; past the end if it cannot be told."""
        import numpy as np

        colons = self.rows.colons
        at = int(np.searchsorted(colons, start))
        found = int(colons[at]) + 1 if at < len(colons) else end + 1
        arrow = self.rows.text.find(b"->", start, found)
        return end + 1 if arrow >= 0 and b"lambda" in self.rows.text[arrow:found] else found

    def imports(self) -> Iterator[tuple[int, Imported]]:
        """With the number of their source, in order."""
        import numpy as np

        rows = self.rows
        wanted = np.flatnonzero(self._looked & (rows.kinds == IMPORT))
        source_of, starts, ends = rows.sources[wanted], rows.starts[wanted], rows.ends[wanted]
        above = np.searchsorted(rows.breaks, rows.firsts)[source_of] - 1
        first = np.searchsorted(rows.breaks, starts) - above
        last = np.searchsorted(rows.breaks, ends) - above
        for source, line, end_line, start, end in zip(
            *(c.tolist() for c in (source_of, first, last, starts, ends)), strict=True
        ):
            yield source, (line, end_line, rows.text[start:end].decode("utf-8", "replace"))


def _stops(rows: Rows, heads: "I64") -> "I64":
    """The first row behind each block: the next that is indented no deeper than its head."""
    import numpy as np

    found = np.empty(len(heads), np.int64)
    indents = rows.indents[heads]
    for indent in once(indents):
        outer = np.append(np.flatnonzero(rows.indents <= indent), len(rows.starts))
        own = indents == indent
        found[own] = outer[np.searchsorted(outer, heads[own], side="right")]
    return found


def _block_ends(rows: Rows, heads: "I64", stops: "I64") -> "I64":
    """Bytes where blocks end: comments behind the last row belong to a block as long as none is
    indented less than the block."""
    import numpy as np

    last = stops - 1
    starts = np.append(rows.starts, rows.firsts[-1])
    limits = np.minimum(starts[stops], rows.firsts[rows.sources[heads] + 1])
    first = np.searchsorted(rows.comments.starts, rows.starts[last])
    behind = np.searchsorted(rows.comments.starts, limits)
    inner = rows.indents[np.minimum(heads + 1, len(rows.indents) - 1)]
    for indent in once(inner):
        less = np.append(np.flatnonzero(rows.comments.indents < indent), len(rows.comments.starts))
        own = inner == indent
        behind[own] = np.minimum(behind[own], less[np.searchsorted(less, first[own])])
    more = (behind > first) & (stops > heads + 1)
    found = rows.tails[last]
    found[more] = rows.comments.ends[behind[more] - 1]
    return found
