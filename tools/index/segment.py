"""Arrays over the definitions of many files: the postings that search and graph read.

A segment never changes. An update makes a small second one for the files that changed and marks
the old files dead, so that it costs milliseconds whatever the size of the repository. Documents
are definitions; document numbers run file by file, the file's own document first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tools.index.languages import is_test, is_vendored, language_of
from tools.index.postings import Postings, inverted, letter_bits, split, whole_lines
from tools.index.records import KINDS, Definition
from tools.index.tokens import distinct, hashes
from tools.types import Symbol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]
    Bytes = NDArray[np.uint8]
    U64 = NDArray[np.uint64]

__all__ = ["FOREIGN", "TEST", "TEXT", "Head", "Segment"]

TEST, FOREIGN, TEXT = 1, 2, 4


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
        return inverted(hashes[one], like, np.arange(self.docs, dtype=np.int32))

    @property
    def lasts(self) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
        """Where in `names` the last part of each name starts, and its bytes."""
        import numpy as np

        return _lasts(np.frombuffer(self.names, np.uint8))

    @property
    def last_hashes(self) -> "U64":
        import numpy as np

        found = [np.zeros(0, np.uint64)]
        for names in whole_lines(self.names):
            data = np.frombuffer(names, np.uint8)
            found.append(hashes(data, *_lasts(data)))
        return np.concatenate(found)

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


def _lasts(names: "Bytes") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    import numpy as np

    dots = np.append(-1, np.flatnonzero((names == ord(".")) | (names == ord("\n"))))
    ends = np.flatnonzero(names == ord("\n"))
    # The last dot or newline before each end.
    starts = dots[np.searchsorted(dots, ends) - 1] + 1
    return starts, ends - starts


def _line_ends(texts: bytes) -> "Ints":
    import numpy as np

    return np.flatnonzero(np.frombuffer(texts, np.uint8) == ord("\n")).astype(np.int32)


def _line(texts: bytes, ends: "Ints", number: int) -> str:
    start = int(ends[number - 1]) + 1 if number else 0
    return texts[start : int(ends[number])].decode("utf-8", "replace")
