"""Arrays over the definitions of many files: the postings that search and graph read.

A segment never changes. An update makes a small second one for the files that changed and marks
the old files dead, so that it costs milliseconds whatever the size of the repository. Documents
are definitions; document numbers run file by file, the file's own document first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tools.index.languages import is_test, is_vendored, language_of
from tools.index.records import KINDS, Definition, Parts, parts, read_head
from tools.index.words import split_all
from tools.types import Symbol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]
    Bytes = NDArray[np.uint8]

__all__ = ["FOREIGN", "TEST", "TEXT", "Head", "Postings", "Segment", "build"]

TEST, FOREIGN, TEXT = 1, 2, 4


class Postings:
    """Term -> numbers, as one flat array: term `t` has `items[starts[t]:starts[t+1]]`."""

    def __init__(
        self,
        terms: Callable[[], list[str]],
        starts: "Ints",
        items: "Ints",
        counts: "Bytes | None" = None,
    ) -> None:
        self._terms = terms
        self.starts, self.items, self.counts = starts, items, counts

    @cached_property
    def term_list(self) -> list[str]:
        return self._terms()

    @cached_property
    def terms(self) -> dict[str, int]:
        return {t: i for i, t in enumerate(self.term_list)}

    def of(self, term: str) -> "Ints":
        """Numbers of a term; none for a term that is not there."""
        number = self.terms.get(term)
        if number is None:
            return self.items[:0]
        return self.items[self.starts[number] : self.starts[number + 1]]

    def gather(self, terms: "Ints") -> "Ints":
        """Positions in `items` of the postings of many terms, without a loop over them."""
        import numpy as np

        first = self.starts[terms]
        sizes = self.starts[terms + 1] - first
        ends = np.cumsum(sizes)
        total = int(ends[-1]) if len(ends) else 0
        at: Ints = (np.arange(total) + np.repeat(first - ends + sizes, sizes)).astype(np.int32)
        return at


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
    heads: bytes
    head_at: "NDArray[np.int64]"
    """Bytes of each file's head in `heads`: JSON, read when a file is first looked at."""
    names: Callable[[], list[str]]
    """Qualified names by document."""
    _heads: dict[int, Head] = field(default_factory=dict)
    _word_cache: "dict[str, tuple[Ints, NDArray[np.float32]]]" = field(default_factory=dict)

    @property
    def docs(self) -> int:
        return int(self.first_doc[-1])

    @cached_property
    def name_list(self) -> list[str]:
        return self.names()

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
    def words(self) -> Postings:
        """Stemmed part of an identifier -> identifiers."""
        return _split(self.idents.term_list)

    @cached_property
    def name_words(self) -> Postings:
        """Stemmed part of a qualified name -> documents."""
        return _split(self.name_list)

    @cached_property
    def path_words(self) -> Postings:
        """Stemmed part of a path -> files."""
        return _split([p.replace("\n", " ") for p in self.paths])

    @cached_property
    def by_name(self) -> Postings:
        """Last part of a definition's name -> documents."""
        import numpy as np

        lasts = [n.rpartition(".")[2] for n in self.name_list]
        numbers, terms = _number(lasts)
        order = np.argsort(numbers, kind="stable").astype(np.int32)
        return Postings(lambda: terms, _starts(numbers, len(terms)), order)

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
            raw = self.heads[int(self.head_at[file]) : int(self.head_at[file + 1])]
            signatures, imports, modules = read_head(raw)
            first = int(self.first_doc[file])
            definitions = tuple(self._definition(first + i, s) for i, s in enumerate(signatures))
            known = self._heads[file] = Head(definitions, imports, modules)
        return known

    def _definition(self, doc: int, signature: str) -> Definition:
        kind = KINDS[self.kinds[doc]]
        lines = int(self.lines[doc]), int(self.ends[doc])
        return Definition(self.name_list[doc], kind, *lines, signature)

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


def build(files: Sequence[tuple[str, str, bytes]]) -> Segment:
    """A segment over (path, blob id, stored record), in the order given."""
    import numpy as np

    sliced = [parts(data) for _, _, data in files]
    u4 = np.dtype("<u4")

    def flat(pick: Callable[[Parts], bytes]) -> "NDArray[np.int64]":
        return np.frombuffer(b"".join(map(pick, sliced)), dtype=u4).astype(np.int64)

    def offsets(sizes: Sequence[int]) -> "NDArray[np.int64]":
        return np.concatenate([[0], np.cumsum(np.array(sizes, np.int64))]).astype(np.int64)

    own_terms = [p.terms.decode("utf-8", "replace").split("\n") if p.terms else [] for p in sliced]
    numbers, terms = _number([t for own in own_terms for t in own])
    n_ids = [len(p.counts) for p in sliced]
    shift = np.repeat(offsets([len(t) for t in own_terms])[:-1], n_ids)
    term_of = numbers[flat(lambda p: p.ids) + shift]
    first = offsets([len(p.kinds) for p in sliced])
    # Each file's starts begin at 0: differences that leave out the steps between files.
    steps = np.diff(flat(lambda p: p.starts), append=0)
    steps = np.delete(steps, np.cumsum([len(p.kinds) + 1 for p in sliced]) - 1) if sliced else steps
    docs = np.repeat(np.arange(int(first[-1])), steps[: int(first[-1])])
    tally = np.frombuffer(b"".join(p.counts for p in sliced), dtype=np.uint8)
    order = np.argsort(term_of, kind="stable")
    names = b"\n".join(p.names for p in sliced)
    lengths = np.bincount(docs, weights=tally, minlength=int(first[-1])).astype(np.float32)
    return Segment(
        paths=tuple(p for p, _, _ in files),
        blobs=tuple(b for _, b, _ in files),
        first_doc=first.astype(np.int32),
        generated=np.array([p.generated for p in sliced], dtype=np.uint8),
        kinds=np.frombuffer(b"".join(p.kinds for p in sliced), dtype=np.uint8),
        lines=flat(lambda p: p.lines).astype(np.int32),
        ends=flat(lambda p: p.ends).astype(np.int32),
        lengths=lengths,
        idents=Postings(
            lambda: terms, _starts(term_of, len(terms)), docs[order].astype(np.int32), tally[order]
        ),
        heads=b"".join(p.head for p in sliced),
        head_at=offsets([len(p.head) for p in sliced]),
        names=lambda: names.decode("utf-8", "replace").split("\n") if files else [],
    )


def _number(texts: list[str]) -> "tuple[NDArray[np.int64], list[str]]":
    """A number for every text, equal ones the same, and the texts by number."""
    import numpy as np

    known = {t: i for i, t in enumerate(dict.fromkeys(texts))}
    return np.fromiter(map(known.__getitem__, texts), np.int64, len(texts)), list(known)


def _starts(terms: "NDArray[np.int64]", count: int) -> "Ints":
    import numpy as np

    ends = np.cumsum(np.bincount(terms, minlength=count))
    starts: Ints = np.concatenate([[0], ends]).astype(np.int32)
    return starts


def _split(texts: list[str]) -> Postings:
    import numpy as np

    owners, term_of, terms = split_all(texts)
    order = np.argsort(term_of, kind="stable")
    return Postings(lambda: terms, _starts(term_of, len(terms)), owners[order].astype(np.int32))
