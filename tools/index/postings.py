"""Postings, and how they are made of pairs or of names, in bounded memory.

A repository of 100,000 files has six million pairs of a word and a definition: what is put in
order is taken in pieces, and no array is copied to eight bytes for each of them.
"""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from tools.index.tokens import distinct, gather, hash_text, lines, parts_of_names
from tools.index.words import stem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]
    Bytes = NDArray[np.uint8]
    U64 = NDArray[np.uint64]

__all__ = [
    "Postings",
    "by_hash",
    "inverted",
    "letter_bits",
    "sorted_out",
    "spelt",
    "split",
    "whole_lines",
]


class Postings:
    """Term -> numbers, as one flat array: term `t` has `items[starts[t]:starts[t+1]]`.

    Terms are known by their hashes, in order, and looked up by bisection: nothing is made ready
    before the first question.
    """

    def __init__(
        self, hashes: "U64", starts: "Ints", items: "Ints", counts: "Bytes | None" = None
    ) -> None:
        self.hashes, self.starts, self.items, self.counts = hashes, starts, items, counts

    def of(self, term: str) -> "Ints":
        """Numbers of a term; none for a term that is not there."""
        import numpy as np

        wanted = np.uint64(hash_text(term.encode("utf-8", "replace")))
        at = int(np.searchsorted(self.hashes, wanted))
        if at == len(self.hashes) or self.hashes[at] != wanted:
            return self.items[:0]
        return self.items[self.starts[at] : self.starts[at + 1]]

    def gather(self, terms: "Ints") -> "Ints":
        """Positions in `items` of the postings of many terms, without a loop over them."""
        import numpy as np

        first = self.starts[terms]
        sizes = self.starts[terms + 1] - first
        ends = np.cumsum(sizes)
        total = int(ends[-1]) if len(ends) else 0
        at: Ints = (np.arange(total) + np.repeat(first - ends + sizes, sizes)).astype(np.int32)
        return at


def inverted(
    known: "U64",
    terms: "Ints | NDArray[np.int64]",
    items: "Ints | NDArray[np.int64]",
    counts: "Bytes | None" = None,
) -> Postings:
    """Postings from pairs of a term and a number, in the order of the numbers.

    Terms are numbers in `known`, the hashes of different terms, in any order.
    """
    order, rank = by_hash(known)
    return sorted_out(known[order], rank[terms], items, counts)


def by_hash(hashes: "U64") -> "tuple[NDArray[np.int64], Ints]":
    """The order that sorts different hashes, and the place of each in it."""
    import numpy as np

    order = np.argsort(hashes)
    rank = np.empty(len(hashes), np.int32)
    rank[order] = np.arange(len(hashes), dtype=np.int32)
    return order, rank


def sorted_out(
    known: "U64",
    term: "Ints",
    items: "Ints | NDArray[np.int64]",
    counts: "Bytes | None" = None,
) -> Postings:
    """As `inverted`, of hashes in order."""
    import numpy as np

    starts = np.zeros(len(known) + 1, np.int32)
    # In pieces: the terms of all at once would be copied to eight bytes each.
    for at in range(0, len(term), _SORTED):
        starts[1:] += np.bincount(term[at : at + _SORTED], minlength=len(known)).astype(np.int32)
    np.cumsum(starts, out=starts)
    found = np.empty(len(term), np.int32)
    tally = None if counts is None else np.empty(len(term), counts.dtype)
    # Some terms after others: the order of all at once takes 20 bytes for each pair.
    most = _SORTED if len(term) <= _SORTED else _SORTED // 4
    steps = np.searchsorted(starts, np.arange(most, len(term), most))
    for first, end in pairwise([0, *steps.tolist(), len(known)]):
        own = slice(None) if end - first == len(known) else _between(term, first, end)
        order = _order(term[own] - np.int32(first), end - first)
        place = slice(starts[first], starts[end])
        found[place] = items[own][order]
        if tally is not None and counts is not None:
            tally[place] = counts[own][order]
    return Postings(known, starts, found, tally)


_SORTED = 1 << 21
"""Pairs that are put in order at once; of more, a quarter at a time: 20 MB."""


def _between(term: "Ints", first: int, end: int) -> "NDArray[np.int64]":
    import numpy as np

    return np.flatnonzero((term >= first) & (term < end))


def _order(term: "Ints", count: int) -> "NDArray[np.int64]":
    """Sorting what fits 16 bits is by radix, eight times faster; one half after the other."""
    import numpy as np

    order = np.argsort((term & 0xFFFF).astype(np.uint16), kind="stable")
    if count > 1 << 16:
        order = order[np.argsort((term >> 16).astype(np.uint16)[order], kind="stable")]
    return order


@cache
def letter_bits() -> "U64":
    """By byte: a set of letters with this one in it. Letters that are not of ASCII share bits."""
    import numpy as np

    found = np.uint64(1) << (np.arange(256, dtype=np.uint64) % np.uint64(64))
    found[ord("\n")] = 0
    return found


def split(names: bytes) -> Postings:
    """Stemmed part of a name -> number of the name. Names are lines, each ended by a newline."""
    return spelt(names)[0]


def spelt(names: bytes) -> tuple[Postings, bytes]:
    """As `split`, and the parts as they are written, in the order of the postings."""
    import numpy as np

    owners: list[Ints] = []
    like: list[Ints] = []
    texts: list[str] = []
    lines_before = 0
    for some in whole_lines(names):
        own, found, buffer = parts_of_names(some[:-1])
        one, same = distinct(found.hashes)
        owners.append((own + lines_before).astype(np.int32))
        like.append((same + len(texts)).astype(np.int32))
        pieces = gather(buffer, found.starts[one], found.sizes[one]).decode("utf-8", "replace")
        texts += pieces.split("\n")[:-1]
        lines_before += some.count(b"\n")
    stems = "\n".join([stem(t.lower()) for t in texts]).encode("utf-8", "replace")
    starts, sizes, numbers = lines(stems)
    one, same = distinct(numbers)
    order, rank = by_hash(numbers[one])
    known, term = one[order], rank[same]
    none = np.zeros(0, np.int32)
    terms = np.concatenate([none, *(term[piece] for piece in _taken(like))])
    postings = sorted_out(numbers[known], terms, np.concatenate([none, *_taken(owners)]))
    return postings, gather(stems, starts[known], sizes[known])


def _taken(arrays: "list[Ints]") -> "Iterator[Ints]":
    """The arrays in order, each of them given away."""
    arrays.reverse()
    while arrays:
        yield arrays.pop()


def whole_lines(names: bytes) -> Iterator[bytes]:
    """The names in pieces: one takes 100 bytes while its parts are told apart."""
    at = 0
    while at < len(names):
        end = names.find(b"\n", min(at + _PIECE, len(names) - 1)) + 1
        yield names[at:end]
        at = end


_PIECE = 1 << 18
