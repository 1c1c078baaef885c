"""Rows of Python sources: statements, and the heads of those that hold others.

A row ends at a line break that is in no string and in no bracket. The rows of a megabyte of
sources are found together, as arrays; a loop over the lines would cost as much as a parse.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from tools.index.tokens import once, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]
    I64 = NDArray[np.int64]
    Flags = NDArray[np.bool_]

__all__ = ["CLASS", "DECORATOR", "DEF", "IMPORT", "OTHER", "Comments", "Rows", "rows"]

OTHER, DEF, CLASS, IMPORT, DECORATOR = range(5)
"""What a row begins with."""

_QUOTED = re.compile(
    # One set of first bytes: where alternatives begin with a byte each, a search takes twice as
    # long. Strings without `\\` come first.
    rb"""[#'"](?:"""
    rb"""(?<=")(?:[^"\\\n]++"|""[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*+\"""|"""
    rb"""(?!"")[^"\\\n]*+(?:\\.[^"\\\n]*+)*+")|"""
    rb"""(?<=')(?:[^'\\\n]++'|''[^'\\]*+(?:(?:\\.|'(?!''))[^'\\]*+)*+'''|"""
    rb"""(?!'')[^'\\\n]*+(?:\\.[^'\\\n]*+)*+')|"""
    rb"""(?<=#)[^\n]*+|)""",
    re.S,
)
"""Strings and comments; one quote alone is a string without an end."""
_WORDS = (
    (b"def", DEF), (b"async def", DEF), (b"class", CLASS), (b"import", IMPORT), (b"from", IMPORT),
)  # fmt: skip
_MOST_BLANKS = 128
"""At either end of a row; more of them are no layout."""
_SIGNS, _OPENING = b"([{)]};\t", b"([{"
_TAB, _LF, _BLANK, _HASH, _DOT, _COLON, _SEMICOLON, _AT, _BACKSLASH = b"\t\n #.:;@\\"
_END = b"\0" * 16
"""Behind the last source, so that no word reaches past the text."""


@dataclass(frozen=True, slots=True)
class Comments:
    """Lines that hold a comment only."""

    starts: "I64"
    ends: "I64"
    indents: "I64"


@dataclass(eq=False)
class Rows:
    """Rows of some sources, in order. Places are bytes of `text`, where each source ends with a
    line break of its own."""

    text: bytes
    firsts: "I64"
    """Where each source begins, and the end."""
    strange: set[int]
    """Sources that are not laid out as Python code is: what is said of their rows may be wrong."""
    starts: "I64"
    ends: "I64"
    """Of the code, without a comment behind it."""
    tails: "I64"
    """The same with the comment."""
    indents: "I64"
    sources: "I64"
    """Number of the source, by row."""
    opens: "Flags"
    """Whether a row ends with a colon."""
    kinds: "U8"
    comments: Comments
    signs: "_Signs"

    @cached_property
    def breaks(self) -> "I64":
        """Every line break."""
        import numpy as np

        return np.flatnonzero(np.frombuffer(self.text, np.uint8) == _LF)

    @cached_property
    def colons(self) -> "I64":
        """Colons in no string and in no bracket."""
        import numpy as np

        at = np.flatnonzero(np.frombuffer(self.text, np.uint8) == _COLON)
        at = at[~self.signs.quoted[at]]
        found: I64 = at[self.signs.depths(at) == 0]
        return found


def rows(sources: Sequence[bytes]) -> Rows:
    """The rows of some sources, blank lines and lines of comment left out."""
    import numpy as np

    text = b"\n".join([*sources, _END])
    firsts = np.cumsum([0, *(len(s) + 1 for s in sources)])
    data = np.frombuffer(text, np.uint8)
    strange = {i for i, s in enumerate(sources) if _unusual(s)}
    signs = _signs(text, data, firsts, strange)
    breaks = _row_breaks(data, firsts, signs, strange)
    lines = np.append(0, breaks[:-1] + 1)
    starts = _skipped(data, lines, 1)
    first = data[starts]
    strange |= _owners(firsts, starts[(first == _BLANK) | (first == _BACKSLASH)])
    is_comment, is_code = first == _HASH, (first != _LF) & (first != _HASH)
    indents = starts - lines
    comments = Comments(starts[is_comment], breaks[is_comment], indents[is_comment])
    starts, breaks, indents = starts[is_code], breaks[is_code], indents[is_code]
    ends, tails = signs.without_comment(starts, breaks)
    ends = _skipped(data, ends - 1, -1) + 1
    last = data[ends - 1]
    # A line that ends with `\` before an empty one; blanks without end.
    strange |= _owners(firsts, starts[(last == _LF) | (last == _BLANK)])
    owner = np.searchsorted(firsts, starts, side="right") - 1
    begins = np.diff(owner, prepend=-1) != 0
    strange.update(owner[begins & (indents > 0)].tolist())
    indents[begins] = 0  # no block goes on in the next source
    found = Rows(
        text, firsts, strange, starts, ends, np.where(tails, breaks, ends), indents, owner,
        last == _COLON, _kinds(data, firsts, starts, strange), comments, signs,
    )  # fmt: skip
    _check_indents(found)
    return found


def _unusual(source: bytes) -> bool:
    """Line breaks and blanks of other kinds, and text that the tree does not take as it is."""
    bom = not source.isascii() and b"\xef\xbb\xbf" in source
    return bom or any(sign in source for sign in (b"\r", b"\f", b"\v", b"\0"))


def _owners(firsts: "I64", places: "I64") -> set[int]:
    """Numbers of the sources that hold some places."""
    import numpy as np

    return (
        set((np.searchsorted(firsts, places, side="right") - 1).tolist()) if len(places) else set()
    )


# ------------------------------------------------------------------------------ signs


@dataclass(frozen=True, slots=True)
class _Signs:
    """What stands between strings and comments."""

    quoted: "Flags"
    """By byte: inside a string or a comment."""
    quotes: "I64"
    """Starts and ends of strings and comments; shape (n, 2)."""
    hashes: "Flags"
    """Which of them are comments."""
    brackets: "I64"
    levels: "I64"
    """How many brackets are open before each bracket, and after the last."""
    semicolons: "I64"
    firsts: "I64"

    def depths(self, places: "I64") -> "I64":
        """How many brackets are open at some places, in the source of each."""
        import numpy as np

        owner = np.searchsorted(self.firsts, places, side="right") - 1
        before = self.levels[np.searchsorted(self.brackets, self.firsts)]
        found: I64 = self.levels[np.searchsorted(self.brackets, places)] - before[owner]
        return found

    def without_comment(self, starts: "I64", ends: "I64") -> "tuple[I64, Flags]":
        """Where rows end without the comment behind them, and which have one."""
        import numpy as np

        if not len(self.quotes):
            return ends, np.zeros(len(ends), bool)
        last = np.maximum(np.searchsorted(self.quotes[:, 0], ends) - 1, 0)
        begin = self.quotes[last, 0]
        has = self.hashes[last] & (self.quotes[last, 1] == ends) & (begin > starts)
        return np.where(has, begin, ends), has


def _signs(text: bytes, data: "U8", firsts: "I64", strange: set[int]) -> _Signs:
    import numpy as np

    matches = (_QUOTED.finditer(text, a, b - 1) for a, b in pairwise(firsts.tolist()))
    spans = map(re.Match.span, chain.from_iterable(matches))
    quotes = np.fromiter(chain.from_iterable(spans), np.int64).reshape(-1, 2)
    starts, ends = quotes[:, 0], quotes[:, 1]
    hashes = data[starts] == _HASH
    strange |= _owners(firsts, starts[(ends - starts == 1) & ~hashes])
    edges = np.zeros(len(text) + 1, np.int8)
    edges[starts] = 1
    edges[ends] -= 1  # one that begins where another ends goes on
    quoted = np.cumsum(edges[:-1], dtype=np.int8).view(bool)
    others = np.flatnonzero(table(_SIGNS)[data])
    others = others[~quoted[others]]
    signs = data[others]
    strange |= _owners(firsts, others[signs == _TAB])
    brackets = others[(signs != _TAB) & (signs != _SEMICOLON)]
    levels = np.append(0, np.cumsum(np.where(table(_OPENING)[data[brackets]], 1, -1)))
    strange |= _unmatched(levels, np.searchsorted(brackets, firsts))
    return _Signs(quoted, quotes, hashes, brackets, levels, others[signs == _SEMICOLON], firsts)


def _unmatched(levels: "I64", at: "I64") -> set[int]:
    """Sources whose brackets do not add up; their brackets begin and end at `at`."""
    import numpy as np

    before = levels[at]
    found = set(np.flatnonzero(np.diff(before)).tolist())
    some = np.flatnonzero(np.diff(at))
    if len(some):
        low = np.minimum.reduceat(levels[1:], at[some])
        found.update(some[low < before[some]].tolist())
    return found


def _row_breaks(data: "U8", firsts: "I64", signs: _Signs, strange: set[int]) -> "I64":
    """Line breaks that end a row, or a line with no code."""
    import numpy as np

    breaks = np.flatnonzero(data == _LF)
    breaks = breaks[~signs.quoted[breaks]]
    goes_on = (data[breaks - 1] == _BACKSLASH) & ~signs.quoted[breaks - 1]
    ends = (signs.depths(breaks) == 0) & ~goes_on
    # Each source ends with one, whatever is open there.
    last = np.searchsorted(breaks, firsts[1:] - 1)
    strange.update(np.flatnonzero(~ends[last]).tolist())
    ends[last] = True
    found: I64 = breaks[ends]
    return found


# ------------------------------------------------------------------------------ rows


def _skipped(data: "U8", places: "I64", step: int) -> "I64":
    """Places moved over blanks, `_MOST_BLANKS` of them at most."""
    import numpy as np

    found = places.copy()
    live = np.arange(len(found))
    for _ in range(_MOST_BLANKS):
        live = live[data[found[live]] == _BLANK]
        if not len(live):
            break
        found[live] += step
    return found


def _kinds(data: "U8", firsts: "I64", starts: "I64", strange: set[int]) -> "U8":
    """What each row begins with."""
    import numpy as np

    found = np.zeros(len(starts), np.uint8)
    found[data[starts] == _AT] = DECORATOR
    for word, kind in _WORDS:
        hits = np.flatnonzero(data[starts] == word[0])
        for place, letter in enumerate(word[1:], 1):
            hits = hits[data[starts[hits] + place] == letter]
        then = data[starts[hits] + len(word)]
        found[hits[(then == _BLANK) | ((then == _DOT) & (word == b"from"))]] = kind
        strange |= _owners(firsts, starts[hits[then == _BACKSLASH]])
    return found


def _check_indents(rows: Rows) -> None:
    """A row is deeper than the one before if and only if that ends with a colon, and otherwise
    stands below one of the same block."""
    import numpy as np

    own, indents = rows.sources, rows.indents
    if not len(own):
        return
    deeper = np.append((own[1:] == own[:-1]) & (indents[1:] > indents[:-1]), False)
    rows.strange.update(own[deeper != rows.opens].tolist())
    for indent in once(indents):
        outer = np.flatnonzero(indents <= indent)
        above, here = outer[:-1], outer[1:]
        stray = (indents[here] == indent) & (indents[above] < indent) & (here - above > 1)
        rows.strange.update(own[here[stray]].tolist())
