"""Arrays over the definitions of many files: the postings that search and graph read.

A segment never changes. An update makes a small second one for the files that changed and marks
the old files dead, so that it costs milliseconds whatever the size of the repository. Documents
are definitions; document numbers run file by file, the file's own document first.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tools.index.records import KINDS, FileRecord
from tools.index.words import split_all
from tools.types import Symbol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]

__all__ = ["Postings", "Segment", "build"]


@dataclass(slots=True)
class Postings:
    """Term -> numbers, as one flat array: term `t` has `items[starts[t]:starts[t+1]]`."""

    terms: dict[str, int]
    starts: "Ints"
    items: "Ints"
    counts: "NDArray[np.uint8] | None" = None

    def of(self, term: int) -> "Ints":
        found: Ints = self.items[self.starts[term] : self.starts[term + 1]]
        return found

    def gather(self, terms: "Ints") -> "Ints":
        """Positions in `items` of the postings of many terms, without a loop over them."""
        import numpy as np

        first = self.starts[terms]
        sizes = self.starts[terms + 1] - first
        total = int(sizes.sum())
        if total == 0:
            return np.zeros(0, dtype=np.int32)
        ends = np.cumsum(sizes)
        at: Ints = (np.arange(total) + np.repeat(first - ends + sizes, sizes)).astype(np.int32)
        return at


@dataclass
class Segment:
    """Files with their definitions, and the postings over them."""

    paths: tuple[str, ...]
    records: tuple[FileRecord, ...]
    first_doc: "Ints"
    """Document number of each file's own document, and the total at the end."""
    idents: Postings
    """Identifier as written -> documents, with counts."""
    lengths: "NDArray[np.float32]"
    """Identifiers in each document."""
    _word_cache: "dict[str, tuple[Ints, NDArray[np.float32]]]" = field(default_factory=dict)

    @property
    def docs(self) -> int:
        return int(self.first_doc[-1])

    @cached_property
    def file_of(self) -> "Ints":
        """File number of every document."""
        import numpy as np

        sizes = np.diff(self.first_doc)
        numbers: Ints = np.repeat(np.arange(len(self.paths), dtype=np.int32), sizes)
        return numbers

    @cached_property
    def kinds(self) -> "NDArray[np.uint8]":
        """Number in `KINDS` of every document."""
        import numpy as np

        number = {k: i for i, k in enumerate(KINDS)}
        return np.array(
            [number[d.kind] for r in self.records for d in r.definitions], dtype=np.uint8
        )

    @cached_property
    def constants(self) -> "NDArray[np.bool_]":
        """Whether a document is a name bound to a value."""
        found: NDArray[np.bool_] = self.kinds == KINDS.index("constant")
        return found

    @cached_property
    def words(self) -> Postings:
        """Stemmed part of an identifier -> identifiers."""
        return _split(list(self.idents.terms))

    @cached_property
    def name_words(self) -> Postings:
        """Stemmed part of a qualified name -> documents."""
        return _split([d.name for r in self.records for d in r.definitions])

    @cached_property
    def path_words(self) -> Postings:
        """Stemmed part of a path -> files."""
        return _split([p.replace("\n", " ") for p in self.paths])

    @cached_property
    def by_name(self) -> dict[str, list[int]]:
        """Last part of a definition's name -> documents."""
        found: dict[str, list[int]] = {}
        doc = 0
        for record in self.records:
            for definition in record.definitions:
                if definition.name:
                    found.setdefault(definition.name.rpartition(".")[2], []).append(doc)
                doc += 1
        return found

    def word_docs(self, word: str) -> "tuple[Ints, NDArray[np.float32]]":
        """Documents with an identifier that has this part, and how often; a document may repeat."""
        import numpy as np

        if (known := self._word_cache.get(word)) is not None:
            return known
        number = self.words.terms.get(word)
        if number is None:
            return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
        at = self.idents.gather(self.words.of(number))
        assert self.idents.counts is not None
        result = self.idents.items[at], self.idents.counts[at].astype(np.float32)
        if len(self._word_cache) > 256:
            self._word_cache.clear()
        self._word_cache[word] = result
        return result

    def symbol(self, doc: int) -> Symbol:
        """The definition of one document."""
        file = int(self.file_of[doc])
        d = self.records[file].definitions[doc - int(self.first_doc[file])]
        return Symbol(
            path=self.paths[file],
            name=d.name,
            kind=d.kind,  # type: ignore[arg-type]  # one of KINDS
            line=d.line,
            end_line=d.end_line,
            signature=d.signature,
        )


def build(files: Sequence[tuple[str, FileRecord]]) -> Segment:
    """A segment over files in the order given."""
    import numpy as np

    terms: dict[str, int] = {}
    first = [0]
    numbers: list[NDArray[np.int64]] = []
    sizes: list[NDArray[np.int64]] = []
    counts = array("B")
    for _, record in files:
        own = np.fromiter(
            (terms.setdefault(t, len(terms)) for t in record.terms), np.int64, len(record.terms)
        )
        numbers.append(own[np.frombuffer(record.ids, dtype=np.uint32)] if len(own) else own[:0])
        sizes.append(np.diff(np.frombuffer(record.starts, dtype=np.uint32)).astype(np.int64))
        counts.extend(record.counts)
        first.append(first[-1] + len(record.definitions))
    empty = np.zeros(0, dtype=np.int64)
    term_of = np.concatenate([empty, *numbers])
    docs = np.repeat(np.arange(first[-1]), np.concatenate([empty, *sizes]))
    tally = np.frombuffer(counts, dtype=np.uint8) if len(counts) else np.zeros(0, dtype=np.uint8)
    lengths = np.bincount(docs, weights=tally, minlength=first[-1]).astype(np.float32)
    order = np.argsort(term_of, kind="stable")
    return Segment(
        tuple(p for p, _ in files),
        tuple(r for _, r in files),
        np.array(first, dtype=np.int32),
        Postings(terms, _starts(term_of, len(terms)), docs[order].astype(np.int32), tally[order]),
        lengths,
    )


def _starts(sorted_terms: "NDArray[np.int64]", terms: int) -> "Ints":
    import numpy as np

    ends = np.cumsum(np.bincount(sorted_terms, minlength=terms))
    return np.concatenate([[0], ends]).astype(np.int32)


def _split(texts: list[str]) -> Postings:
    import numpy as np

    owners, numbers, terms = split_all(texts)
    items = np.array(owners, dtype=np.int32)
    term_of = np.array(numbers, dtype=np.int64)
    order = np.argsort(term_of, kind="stable")
    return Postings({t: i for i, t in enumerate(terms)}, _starts(term_of, len(terms)), items[order])
