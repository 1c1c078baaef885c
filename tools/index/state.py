"""The index in memory: which file has which record, in which segment, alive or dead."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tools.index.languages import language_of
from tools.index.records import FileRecord
from tools.index.search import View
from tools.index.segment import Segment, build
from tools.types import Symbol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["State"]

_OVERLAY = 64
"""Files in the second segment before both are made one; 64 files take 3 ms to build."""


@dataclass(frozen=True)
class State:
    """One consistent view of all files. Replaced whole by an update, never altered."""

    blobs: Mapping[str, str]
    """Path -> blob id of every indexed file."""
    segments: tuple[Segment, ...] = ()
    dead: "tuple[NDArray[np.bool_], ...]" = ()
    where: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Path -> (segment, file number)."""

    @cached_property
    def view(self) -> View:
        return View(self.segments, self.dead)

    @cached_property
    def text_files(self) -> frozenset[str]:
        return frozenset(p for p in self.blobs if language_of(p) == "text")

    @cached_property
    def symbols(self) -> int:
        """Number of definitions, files not counted."""
        return sum(len(self.record(p).definitions) - 1 for p in self.blobs)

    def record(self, path: str) -> FileRecord:
        segment, file = self.where[path]
        return self.segments[segment].records[file]

    def first_doc(self, path: str) -> tuple[int, int]:
        """(segment, number of the file's own document)."""
        segment, file = self.where[path]
        return segment, int(self.segments[segment].first_doc[file])

    def of_path(self, path: str) -> tuple[Symbol, ...]:
        """Definitions of a file in source order; none for a file that is not indexed."""
        if path not in self.where:
            return ()
        segment, first = self.first_doc(path)
        count = len(self.record(path).definitions)
        return tuple(self.segments[segment].symbol(first + i) for i in range(1, count))

    def named(self, last: str) -> list[tuple[int, int]]:
        """Live documents (segment, number) whose name ends in `last`."""
        found = []
        for i, segment in enumerate(self.segments):
            for doc in segment.by_name.get(last, ()):
                if not self.dead[i][segment.file_of[doc]]:
                    found.append((i, doc))
        return found

    def using(self, identifier: str) -> list[tuple[int, int]]:
        """Live documents (segment, number) that hold an identifier as written."""
        found = []
        for i, segment in enumerate(self.segments):
            number = segment.idents.terms.get(identifier)
            for doc in segment.idents.of(number) if number is not None else ():
                if not self.dead[i][segment.file_of[doc]]:
                    found.append((i, int(doc)))
        return found

    def changed(
        self, blobs: Mapping[str, str], records: Mapping[str, FileRecord], gone: Iterable[str]
    ) -> "State":
        """The state after an update: `records` of new and altered files, `gone` files removed."""
        if not self.segments:
            return _whole(blobs, records)
        base = self.segments[0]
        overlay = {p: self.record(p) for p, (s, _) in self.where.items() if s > 0}
        overlay.update(records)
        for path in gone:
            overlay.pop(path, None)
        lost = set(gone) | records.keys()
        dead = self.dead[0].copy()
        for path in lost:
            segment, file = self.where.get(path, (1, 0))
            if segment == 0:
                dead[file] = True
        if len(overlay) > _OVERLAY or int(dead.sum()) > max(4 * _OVERLAY, len(dead) // 10):
            kept = {p: self.record(p) for p in blobs if p not in records and p in self.where}
            return _whole(blobs, {**kept, **records})
        return _layered(blobs, base, dead, overlay)


def _whole(blobs: Mapping[str, str], records: Mapping[str, FileRecord]) -> State:
    import numpy as np

    segment = build(sorted(records.items()))
    where = {p: (0, i) for i, p in enumerate(segment.paths)}
    return State(blobs, (segment,), (np.zeros(len(segment.paths), bool),), where)


def _layered(
    blobs: Mapping[str, str],
    base: Segment,
    dead: "NDArray[np.bool_]",
    overlay: Mapping[str, FileRecord],
) -> State:
    import numpy as np

    where = {p: (0, i) for i, p in enumerate(base.paths) if not dead[i]}
    if not overlay:
        return State(blobs, (base,), (dead,), where)
    second = build(sorted(overlay.items()))
    where.update({p: (1, i) for i, p in enumerate(second.paths)})
    return State(blobs, (base, second), (dead, np.zeros(len(second.paths), bool)), where)
