"""Records of many files to one segment, file by file: no more is held than ends up in it.

With all records unpacked side by side, and a number of eight bytes for each of their terms,
20,000 small files took 200 MB.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tools.index.records import Parts, parts
from tools.index.segment import Segment, inverted, split
from tools.index.tokens import distinct, gather, lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]

__all__ = ["build"]

_BATCH = 2 << 20
"""Bytes of terms whose like are found at once."""
_TEXTS = ("names", "signatures", "modules", "kinds", "lines", "ends", "sizes", "imports", "counts")


def build(files: Sequence[tuple[str, str, bytes]]) -> Segment:
    """A segment over (path, blob id, stored record), in the order given."""
    import numpy as np

    flow = _Flow()
    for _, _, data in files:
        flow.add(parts(data))
    term_of, known = flow.terms()
    joined = flow.joined
    sizes = np.frombuffer(joined["sizes"], "<u4")
    docs = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    tally = np.frombuffer(joined["counts"], np.uint8)
    spans = lines(known[:-1])
    one, like = distinct(spans.hashes)
    like = like.astype(np.int32)
    segment = Segment(
        paths=tuple(p for p, _, _ in files),
        blobs=tuple(b for _, b, _ in files),
        first_doc=_offsets(flow.docs),
        generated=np.array(flow.generated, dtype=np.uint8),
        kinds=np.frombuffer(joined["kinds"], dtype=np.uint8),
        lines=np.frombuffer(joined["lines"], "<u4").astype(np.int32),
        ends=np.frombuffer(joined["ends"], "<u4").astype(np.int32),
        lengths=np.bincount(docs, weights=tally, minlength=len(sizes)).astype(np.float32),
        idents=inverted(spans.hashes[one], like[term_of], docs, tally),
        names=bytes(joined["names"]),
        signatures=bytes(joined["signatures"]),
        imports=np.frombuffer(joined["imports"], "<u4").astype(np.int32),
        import_at=_offsets(flow.imports),
        modules=bytes(joined["modules"]),
        module_at=_offsets(flow.modules),
    )
    del docs, term_of
    one = one[np.argsort(spans.hashes[one])]
    segment.__dict__["words"] = split(gather(known, spans.starts[one], spans.sizes[one]))
    return segment


def _offsets(sizes: Sequence[int]) -> "Ints":
    import numpy as np

    return np.append(0, np.cumsum(np.array(sizes, np.int64))).astype(np.int32)


class _Flow:
    """Columns of the files so far, one behind the other."""

    def __init__(self) -> None:
        self.joined = {name: bytearray() for name in _TEXTS}
        self.docs: list[int] = []
        self.imports: list[int] = []
        self.modules: list[int] = []
        self.generated: list[bool] = []
        self._texts, self._ids = bytearray(), bytearray()
        self._waiting: list[tuple[int, int]] = []
        """Terms, and uses of terms, of each file of this batch."""
        self._known: list[bytes] = []
        self._numbers: list[Ints] = []
        self._total = 0

    def add(self, file: Parts) -> None:
        for name, column in self.joined.items():
            column += getattr(file, name)
        self.docs.append(len(file.kinds))
        self.imports.append(len(file.imports) // 4)
        self.modules.append(len(file.modules))
        self.generated.append(file.generated)
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

    def terms(self) -> "tuple[Ints, bytes]":
        """The number of every use of a term, and the terms as lines; a term may be there twice."""
        import numpy as np

        self._close()
        return np.concatenate(self._numbers), b"".join(self._known)
