"""Python as a stream of short tokens, and how likely one is after two others.

Two language models of counts, both cheap enough for every candidate: `Local` is made of the file
under repair and its neighbours when it is needed; `General` is a shipped table of hashed counts
over abstracted tokens (names that are rare anywhere become `<id>`), made by `training.ranker`.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["General", "Local", "abstract", "identifiers", "tokens"]

_TOKEN = re.compile(
    r"""(?P<skip>\#[^\n]*|[ \t\f\r]+|\\\n)
    |(?P<string>[rbfuRBFU]{0,2}(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''
        |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    |(?P<token>[^\W\d]\w*|\d[\w.]*|\*\*=?|//=?|>>=?|<<=?|[-+*/%@&|^=!<>:]=|->|\n|.)""",
    re.X | re.S,
)
_LONG_STRING = 24
START = "\n"
"""What stands before the first token of a line."""


def tokens(text: str) -> list[str]:
    """Tokens of source text; comments and white space left out, long strings cut short.

    Line ends are tokens, several in a row are one.
    """
    found: list[str] = []
    for match in _TOKEN.finditer(text):
        if match["skip"] is not None:
            continue
        token = match[0] if match["string"] is None else match[0][:_LONG_STRING]
        if token != "\n" or (found and found[-1] != "\n"):
            found.append(token)
    return found


def identifiers(found: Iterable[str]) -> list[str]:
    """The names among tokens; keywords are names here."""
    return [t for t in found if t[0].isalpha() or t[0] == "_"]


class Local:
    """Counts over the repository's own text. Own occurrences can be left out of a sum."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.one: Counter[str] = Counter()
        self.two: Counter[tuple[str, str]] = Counter()
        self.three: Counter[tuple[str, str, str]] = Counter()
        for text in texts:
            row = [START, START, *tokens(text)]
            self.one.update(row[2:])
            self.two.update(pairwise(row[1:]))
            self.three.update(zip(row, row[1:], row[2:], strict=False))
        self.total = sum(self.one.values())

    def log_probability(
        self, row: Sequence[str], first: int, last: int, own: "Counter[tuple[str, ...]]"
    ) -> tuple[float, int]:
        """Sum of ln p(t | two before) for row[first:last], and how many of the triples are known.

        `own`: counts of the n-grams of the very line that is judged, which say nothing about it.
        """
        total, known = 0.0, 0
        for at in range(first, last):
            a, b, c = row[at - 2], row[at - 1], row[at]
            p = (max(self.one[c] - own[c,], 0) + 0.1) / (self.total + 1000.0)
            pair, base = max(self.two[b, c] - own[b, c], 0), max(self.one[b] - own[b,], 0)
            p = (pair + 2.0 * p) / (base + 2.0)
            triple, base = (
                max(self.three[a, b, c] - own[a, b, c], 0),
                max(self.two[a, b] - own[a, b], 0),
            )
            p = (triple + 2.0 * p) / (base + 2.0)
            total += log(p)
            known += triple > 0
        return total, known


def grams(row: Sequence[str]) -> "Counter[tuple[str, ...]]":
    """All n-grams of a row, one to three tokens."""
    found: Counter[tuple[str, ...]] = Counter()
    found.update((c,) for c in row)
    found.update(pairwise(row))
    found.update(zip(row, row[1:], row[2:], strict=False))
    return found


def abstract(token: str, vocabulary: frozenset[str]) -> str:
    """A token as `General` counts it: rare names, numbers and strings by their class."""
    if token in vocabulary:
        return token
    first = token[0]
    if first.isdigit():
        return "<number>"
    if token[-1] in "\"'":
        return "<string>"
    if first.isalpha() or first == "_":
        return "<CONSTANT>" if token.isupper() else "<Class>" if first.isupper() else "<id>"
    return token


@dataclass(frozen=True, slots=True)
class General:
    """Hashed counts, kept as round(8 * log2(1 + count)) in one byte each."""

    vocabulary: frozenset[str]
    two: "NDArray[np.uint8]"
    three: "NDArray[np.uint8]"

    def log_probability(self, row: Sequence[str], first: int, last: int) -> float:
        """Sum of ln p(t | two before) for row[first:last], of abstracted tokens."""
        total = 0.0
        for at in range(first, last):
            a, b, c = row[at - 2], row[at - 1], row[at]
            one = _count(self.two, b)
            p = (_count(self.two, f"{b}\0{c}") + 0.02) / (one + 4.0)
            p = (_count(self.three, f"{a}\0{b}\0{c}") + 4.0 * p) / (
                _count(self.two, f"{a}\0{b}") + 4.0
            )
            total += log(min(p, 1.0))
        return total


def bucket(gram: str, size: int) -> int:
    return zlib.crc32(gram.encode("utf-8", "surrogatepass")) % size


def _count(table: "NDArray[np.uint8]", gram: str) -> float:
    return float(2.0 ** (int(table[bucket(gram, len(table))]) / 8.0) - 1.0)
