"""Arrays over the definitions of many files: the postings that search and graph read.

A segment never changes. An update makes a small second one for the files that changed and marks
the old files dead, so that it costs milliseconds whatever the size of the repository. Documents
are definitions; document numbers run file by file, the file's own document first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from tools.index.languages import is_test, is_vendored, language_of
from tools.index.records import KINDS, Definition
from tools.index.tokens import distinct, gather, hash_text, hashes, lines, parts_of_names
from tools.index.words import stem
from tools.types import Symbol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]
    Bytes = NDArray[np.uint8]
    U64 = NDArray[np.uint64]

__all__ = [
    "FOREIGN",
    "TEST",
    "TEXT",
    "Head",
    "Postings",
    "Segment",
    "inverted",
    "letter_bits",
    "spelt",
    "split",
]

TEST, FOREIGN, TEXT = 1, 2, 4


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
    import numpy as np

    by_hash = np.argsort(known)
    rank = np.empty(len(known), np.int32)
    rank[by_hash] = np.arange(len(known), dtype=np.int32)
    term = rank[terms]
    starts = np.append(0, np.cumsum(np.bincount(term, minlength=len(known)))).astype(np.int32)
    found = np.empty(len(term), np.int32)
    tally = None if counts is None else np.empty(len(term), counts.dtype)
    # Some terms after others: the order of all at once takes 20 bytes for each pair.
    steps = np.searchsorted(starts, np.arange(_SORTED, len(term), _SORTED))
    for first, end in pairwise([0, *steps.tolist(), len(known)]):
        own = slice(None) if end - first == len(known) else _between(term, first, end)
        order = _order(term[own] - np.int32(first), end - first)
        at = slice(starts[first], starts[end])
        found[at] = items[own][order]
        if tally is not None and counts is not None:
            tally[at] = counts[own][order]
    return Postings(known[by_hash], starts, found, tally)


_SORTED = 1 << 21


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


@dataclass(frozen=True, slots=True)
class Head:
    """What a file's record says beside its postings."""

    definitions: tuple[Definition, ...]
    imports: tuple[tuple[int, int], ...]
    modules: tuple[str, ...]


@dataclass(eq=False)
class Segment:
    """Files with their definitions, and the postings over them."""

    paths: Sequence[str]
    blobs: Sequence[str]
    first_doc: "Ints"
    """Document number of each file's own document, and the total at the end."""
    generated: "Bytes"
    """By file."""
    kinds: "Bytes"
    """Number in `KINDS`, by document."""
    lines: "Ints"
    ends: "Ints"
    lengths: "NDArray[np.float32]"
    """Identifiers in each document."""
    idents: Postings
    """Identifier as written -> documents, with counts."""
    names: bytes
    """Qualified names by document, each ended by a newline."""
    signatures: bytes
    """Likewise."""
    imports: "Ints"
    """First and last line of import statements, file by file."""
    import_at: "Ints"
    """Where each file's begin in `imports`, and the total."""
    words: Postings
    """Stemmed part of an identifier -> identifiers."""
    vocabulary: bytes
    """Those parts in the order of their hashes, each ended by a newline."""
    modules: bytes
    """What import statements name, each ended by a newline, file by file."""
    module_at: "Ints"
    """Bytes where each file's begin in `modules`, and the total."""
    _heads: dict[int, Head] = field(default_factory=dict)
    _word_cache: "dict[str, tuple[Ints, NDArray[np.float32]]]" = field(default_factory=dict)

    @property
    def docs(self) -> int:
        return int(self.first_doc[-1])

    @cached_property
    def name_ends(self) -> "Ints":
        return _line_ends(self.names)

    @cached_property
    def signature_ends(self) -> "Ints":
        return _line_ends(self.signatures)

    def name(self, doc: int) -> str:
        """Qualified name of a document."""
        return _line(self.names, self.name_ends, doc)

    @cached_property
    def file_of(self) -> "Ints":
        """File number of every document."""
        import numpy as np

        sizes = np.diff(self.first_doc)
        numbers: Ints = np.repeat(np.arange(len(self.paths), dtype=np.int32), sizes)
        return numbers

    @cached_property
    def marks(self) -> "Bytes":
        """By file: `TEST`, `FOREIGN` (vendored or generated) and `TEXT`, added up."""
        import numpy as np

        rows = zip(self.paths, self.generated, strict=True)
        found = [
            TEST * is_test(p)
            + FOREIGN * (bool(g) or is_vendored(p))
            + TEXT * (language_of(p) == "text")
            for p, g in rows
        ]
        return np.array(found, dtype=np.uint8)

    @cached_property
    def name_sizes(self) -> "NDArray[np.float32]":
        """Square root of one more than the parts of each document's name."""
        import numpy as np

        sizes = np.bincount(self.name_words.items, minlength=self.docs)
        return np.sqrt(1 + sizes).astype(np.float32)

    @cached_property
    def by_file_name(self) -> dict[str, list[int]]:
        """Last part of a path -> files."""
        found: dict[str, list[int]] = {}
        for number, path in enumerate(self.paths):
            found.setdefault(path.rpartition("/")[2], []).append(number)
        return found

    @cached_property
    def file_numbers(self) -> dict[str, int]:
        """Path -> file."""
        return {p: i for i, p in enumerate(self.paths)}

    @cached_property
    def places(self) -> dict[str, tuple[int, int]]:
        """Path -> (0, file)."""
        return {p: (0, i) for i, p in enumerate(self.paths)}

    @cached_property
    def constants(self) -> "NDArray[np.bool_]":
        """Whether a document is a name bound to a value."""
        found: NDArray[np.bool_] = self.kinds == KINDS.index("constant")
        return found

    @cached_property
    def spellings(self) -> "tuple[NDArray[np.int64], NDArray[np.int64], U64]":
        """Of each word of the vocabulary: where it starts, its bytes, and the set of its letters
        as bits."""
        import numpy as np

        data = np.frombuffer(self.vocabulary, np.uint8)
        ends = np.flatnonzero(data == ord("\n"))
        starts = np.append(0, ends[:-1] + 1)
        return starts, ends - starts, np.bitwise_or.reduceat(letter_bits()[data], starts)

    @cached_property
    def name_words(self) -> Postings:
        """Stemmed part of a qualified name -> documents."""
        return split(self.names)

    @cached_property
    def path_words(self) -> Postings:
        """Stemmed part of a path -> files."""
        paths = "".join(p.replace("\n", " ") + "\n" for p in self.paths)
        return split(paths.encode("utf-8", "replace"))

    @cached_property
    def by_name(self) -> Postings:
        """Last part of a definition's name -> documents."""
        import numpy as np

        hashes = self.last_hashes
        one, like = distinct(hashes)
        return inverted(hashes[one], like, np.arange(self.docs))

    @cached_property
    def lasts(self) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
        """Where in `names` the last part of each name starts, and its bytes."""
        import numpy as np

        data = np.frombuffer(self.names, np.uint8)
        dots = np.append(-1, np.flatnonzero((data == ord(".")) | (data == ord("\n"))))
        # The last dot or newline before each end.
        starts = dots[np.searchsorted(dots, self.name_ends) - 1] + 1
        return starts, self.name_ends.astype(np.int64) - starts

    @property
    def last_hashes(self) -> "U64":
        import numpy as np

        return hashes(np.frombuffer(self.names, np.uint8), *self.lasts)

    def word_docs(self, word: str) -> "tuple[Ints, NDArray[np.float32]]":
        """Documents with an identifier that has this part, and how often; a document may repeat."""
        import numpy as np

        if (known := self._word_cache.get(word)) is not None:
            return known
        at = self.idents.gather(self.words.of(word))
        assert self.idents.counts is not None
        result = self.idents.items[at], self.idents.counts[at].astype(np.float32)
        if len(self._word_cache) > 256:
            self._word_cache.clear()
        self._word_cache[word] = result
        return result

    def head(self, file: int) -> Head:
        """Definitions and imports of one file."""
        known = self._heads.get(file)
        if known is None:
            first, end = int(self.first_doc[file]), int(self.first_doc[file + 1])
            definitions = tuple(map(self._definition, range(first, end)))
            spans = self.imports[self.import_at[file] : self.import_at[file + 1]].reshape(-1, 2)
            imports = tuple((int(a), int(b)) for a, b in spans)
            modules = self.modules[self.module_at[file] : self.module_at[file + 1]]
            named = tuple(modules.decode("utf-8", "replace").split("\n")[:-1])
            known = self._heads[file] = Head(definitions, imports, named)
        return known

    def _definition(self, doc: int) -> Definition:
        kind = KINDS[self.kinds[doc]]
        lines = int(self.lines[doc]), int(self.ends[doc])
        signature = _line(self.signatures, self.signature_ends, doc)
        return Definition(self.name(doc), kind, *lines, signature)

    def symbol(self, doc: int) -> Symbol:
        """The definition of one document."""
        file = int(self.file_of[doc])
        d = self.head(file).definitions[doc - int(self.first_doc[file])]
        return Symbol(
            path=self.paths[file],
            name=d.name,
            kind=d.kind,  # type: ignore[arg-type]  # one of KINDS
            line=d.line,
            end_line=d.end_line,
            signature=d.signature,
        )


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
    lines_before = at = 0
    # In pieces of whole lines: a part of a name takes 100 bytes while parts are told apart.
    while at < len(names):
        end = names.find(b"\n", min(at + _PIECE, len(names) - 1)) + 1
        own, found, buffer = parts_of_names(names[at : end - 1])
        one, same = distinct(found.hashes)
        owners.append((own + lines_before).astype(np.int32))
        like.append((same + len(texts)).astype(np.int32))
        pieces = gather(buffer, found.starts[one], found.sizes[one]).decode("utf-8", "replace")
        texts += pieces.split("\n")[:-1]
        lines_before += names.count(b"\n", at, end)
        at = end
    stems = "\n".join([stem(t.lower()) for t in texts]).encode("utf-8", "replace")
    starts, sizes, numbers = lines(stems)
    known, same = distinct(numbers)
    none = np.zeros(0, np.int32)
    terms = same[np.concatenate([none, *like])]
    postings = inverted(numbers[known], terms, np.concatenate([none, *owners]))
    known = known[np.argsort(numbers[known])]
    return postings, gather(stems, starts[known], sizes[known])


_PIECE = 1 << 20
"""Bytes of names that are split at once."""


def _line_ends(texts: bytes) -> "Ints":
    import numpy as np

    return np.flatnonzero(np.frombuffer(texts, np.uint8) == ord("\n")).astype(np.int32)


def _line(texts: bytes, ends: "Ints", number: int) -> str:
    start = int(ends[number - 1]) + 1 if number else 0
    return texts[start : int(ends[number])].decode("utf-8", "replace")
