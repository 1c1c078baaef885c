"""Records of many files to one segment, file by file: no more is held than ends up in it.

With all records unpacked side by side, and a number of eight bytes for each of their terms,
20,000 small files took 200 MB.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from tools.index.postings import by_hash, sorted_out, spelt
from tools.index.records import Parts, Record, unpacked
from tools.index.segment import Segment
from tools.index.tokens import distinct, gather, lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]

__all__ = ["Draft", "Flow", "assembled", "build"]

_BATCH = 2 << 20
"""Bytes of terms whose like are found at once."""
_TEXTS = ("names", "signatures", "modules", "kinds", "lines", "ends", "sizes", "imports", "counts")
"""Parts of records that a draft holds as they are, in its order."""


class Draft(NamedTuple):
    """Columns of some files, one behind the other, before they are a segment. All of it bytes, so
    that a worker can send it; texts and arrays as in `records.Parts`."""

    names: bytes
    signatures: bytes
    modules: bytes
    kinds: bytes
    lines: bytes
    ends: bytes
    sizes: bytes
    imports: bytes
    counts: bytes
    generated: bytes
    """By file, as are the next three."""
    docs: bytes
    """uint32: definitions."""
    spans: bytes
    """uint32: numbers in `imports`."""
    named: bytes
    """uint32: bytes of `modules`."""
    terms: bytes
    """Lines; a term may be there twice."""
    numbers: bytes
    """int32: which term, for every use of one."""


def build(files: Sequence[tuple[str, str, Record]]) -> Segment:
    """A segment over (path, blob id, record), in the order given."""
    flow = Flow()
    for _, _, data in files:
        flow.add(unpacked(data))
    return assembled([p for p, _, _ in files], [b for _, b, _ in files], [flow.draft()])


def assembled(paths: Sequence[str], blobs: Sequence[str], drafts: list[Draft]) -> Segment:
    """The segment over files with their blob ids, whose columns the drafts hold, in order.

    The list is emptied: nothing is held twice.
    """
    import numpy as np

    d = _joined(drafts)
    spans = lines(d.terms[:-1])
    one, like = distinct(spans.hashes)
    order, rank = by_hash(spans.hashes[one])
    terms = rank[like][np.frombuffer(d.numbers, np.int32)]
    d = d._replace(numbers=b"")
    hashes = spans.hashes[one[order]]
    known = gather(d.terms, spans.starts[one[order]], spans.sizes[one[order]])
    d = d._replace(terms=b"")
    del spans, one, like, order, rank
    sizes = np.frombuffer(d.sizes, "<u4")
    tally = np.frombuffer(d.counts, np.uint8)
    docs = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    idents = sorted_out(hashes, terms, docs, tally)
    del docs, terms
    words, vocabulary = spelt(known)
    return Segment(
        paths=tuple(paths),
        blobs=tuple(blobs),
        first_doc=_offsets(d.docs),
        generated=np.frombuffer(d.generated, np.uint8),
        kinds=np.frombuffer(d.kinds, np.uint8),
        lines=np.frombuffer(d.lines, "<u4").astype(np.int32),
        ends=np.frombuffer(d.ends, "<u4").astype(np.int32),
        lengths=_sums(tally, sizes),
        idents=idents,
        words=words,
        vocabulary=vocabulary,
        names=d.names,
        signatures=d.signatures,
        imports=np.frombuffer(d.imports, "<u4").astype(np.int32),
        import_at=_offsets(d.spans),
        modules=d.modules,
        module_at=_offsets(d.named),
    )


def _sums(tally: "NDArray[np.uint8]", sizes: "NDArray[np.uint32]") -> "NDArray[np.float32]":
    """Sums of consecutive counts, so many of them each time."""
    import numpy as np

    ends = np.cumsum(sizes, dtype=np.int64)
    total = np.append(np.uint32(0), np.cumsum(tally, dtype=np.uint32))
    found: NDArray[np.float32] = np.diff(total[np.append(0, ends)]).astype(np.float32)
    return found


def _joined(drafts: list[Draft]) -> Draft:
    import numpy as np

    if len(drafts) == 1:
        return drafts.pop()
    columns = [list(column) for column in zip(*drafts, strict=True)]
    drafts.clear()
    before = 0
    for number, terms in enumerate(columns[-2]):
        shifted = np.frombuffer(columns[-1][number], np.int32) + np.int32(before)
        columns[-1][number] = shifted.tobytes()
        before += terms.count(b"\n")
    joined = []
    for column in columns:
        joined.append(b"".join(column))
        column.clear()
    return Draft._make(joined)


def _offsets(sizes: bytes) -> "Ints":
    import numpy as np

    return np.append(0, np.cumsum(np.frombuffer(sizes, "<u4"), dtype=np.int64)).astype(np.int32)


class Flow:
    """Takes records one by one, and holds no more than the draft of them will."""

    def __init__(self) -> None:
        self._joined = {name: bytearray() for name in _TEXTS}
        self._generated = bytearray()
        self._sizes: list[tuple[int, int, int]] = []
        self._texts, self._ids = bytearray(), bytearray()
        self._waiting: list[tuple[int, int]] = []
        """Terms, and uses of terms, of each file of this batch."""
        self._known: list[bytes] = []
        self._numbers: list[Ints] = []
        self._total = 0

    def add(self, file: Parts) -> None:
        for name, column in self._joined.items():
            column += getattr(file, name)
        self._generated.append(file.generated)
        self._sizes.append((len(file.kinds), len(file.imports) // 4, len(file.modules)))
        self._texts += file.terms
        self._ids += file.ids
        self._waiting.append((file.terms.count(b"\n"), len(file.counts)))
        if len(self._texts) > _BATCH:
            self._close()

    def _close(self) -> None:
        """Terms are numbered file by file: from here on those of a batch have one number each."""
        import numpy as np

        texts = bytes(self._texts)
        spans = lines(texts[:-1])
        one, like = distinct(spans.hashes)
        terms, uses = np.array(self._waiting, np.int64).reshape(-1, 2).T
        shift = np.repeat(np.cumsum(terms) - terms, uses)
        numbers = like[np.frombuffer(self._ids, "<u2") + shift] + self._total
        self._numbers.append(numbers.astype(np.int32))
        self._known.append(gather(texts, spans.starts[one], spans.sizes[one]))
        self._total += len(one)
        self._texts, self._ids, self._waiting = bytearray(), bytearray(), []

    def draft(self) -> Draft:
        """What was added so far. Nothing can be added any more."""
        import numpy as np

        self._close()
        sizes = np.array(self._sizes, "<u4").reshape(-1, 3).T
        return Draft._make(
            [
                *(bytes(self._joined.pop(name)) for name in _TEXTS),
                bytes(self._generated),
                *(column.tobytes() for column in sizes),
                b"".join(self._known),
                np.concatenate(self._numbers).tobytes(),
            ]
        )
