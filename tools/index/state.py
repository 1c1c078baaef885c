"""The index in memory: which file has which record, in which segment, alive or dead."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tools.index.build import assembled, build
from tools.index.records import Record
from tools.index.search import View
from tools.index.segment import Head, Segment
from tools.types import Symbol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tools.index.build import Draft

__all__ = ["State", "of_drafts", "of_segment"]

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
    overlay: Mapping[str, Record] = field(default_factory=dict)
    """Records of the files in the second segment."""
    _of_path: dict[str, tuple[Symbol, ...]] = field(default_factory=dict)

    @cached_property
    def view(self) -> View:
        return View(self.segments, self.dead)

    @cached_property
    def symbols(self) -> int:
        """Number of definitions, files not counted."""
        return self.view.live_docs - len(self.blobs)

    @cached_property
    def centrality(self) -> "NDArray[np.float64]":
        """Share of attention of every document; see `tools.index.graph`."""
        from tools.index.graph import central

        return central(self)

    def head(self, path: str) -> Head:
        segment, file = self.where[path]
        return self.segments[segment].head(file)

    def docs_of(self, path: str) -> int:
        """Number of documents of a file, its own among them."""
        segment, file = self.where[path]
        first = self.segments[segment].first_doc
        return int(first[file + 1] - first[file])

    def first_doc(self, path: str) -> tuple[int, int]:
        """(segment, number of the file's own document)."""
        segment, file = self.where[path]
        return segment, int(self.segments[segment].first_doc[file])

    def of_path(self, path: str) -> tuple[Symbol, ...]:
        """Definitions of a file in source order; none for a file that is not indexed."""
        if path not in self.where:
            return ()
        if (known := self._of_path.get(path)) is not None:
            return known
        segment, first = self.first_doc(path)
        count = self.docs_of(path)
        found = tuple(self.segments[segment].symbol(first + i) for i in range(1, count))
        self._of_path[path] = found
        return found

    def named(self, last: str) -> list[tuple[int, int]]:
        """Live documents (segment, number) whose name ends in `last`."""
        found = []
        for i, segment in enumerate(self.segments):
            for doc in segment.by_name.of(last) if last else ():
                if not self.dead[i][segment.file_of[doc]]:
                    found.append((i, int(doc)))
        return found

    def using(self, identifier: str) -> list[tuple[int, int]]:
        """Live documents (segment, number) that hold an identifier as written."""
        found = []
        for i, segment in enumerate(self.segments):
            for doc in segment.idents.of(identifier):
                if not self.dead[i][segment.file_of[doc]]:
                    found.append((i, int(doc)))
        return found

    def changed(
        self,
        blobs: Mapping[str, str],
        records: Mapping[str, Record],
        stored: Callable[[Iterable[str]], Mapping[str, Record]],
    ) -> "State":
        """The state after an update: `blobs` are all files now.

        `records` holds those of new and altered files; `stored` gives the others when all have
        to be put together anew.
        """
        if not self.segments:
            return _whole(blobs, records)
        base = self.segments[0]
        old = zip(base.paths, base.blobs, strict=True)
        dead = _flags([blobs.get(p) != b for p, b in old])
        alive = {p for p, gone in zip(base.paths, dead, strict=True) if not gone}
        beside = [p for p in blobs if p not in alive]
        if len(beside) > _OVERLAY or int(dead.sum()) > max(4 * _OVERLAY, len(dead) // 10):
            missing = [p for p in blobs if p not in records]
            return _whole(blobs, {**stored(missing), **records})
        held = {p: d for p, d in self.overlay.items() if self.blobs[p] == blobs.get(p)}
        fresh = {p: records.get(p) or held.get(p) for p in beside}
        missing = [p for p, data in fresh.items() if data is None]
        have = {p: data for p, data in fresh.items() if data is not None}
        return _layered(blobs, base, dead, {**stored(missing), **have})

    def edited(
        self, altered: Mapping[str, str], records: Mapping[str, Record], gone: Iterable[str]
    ) -> "State":
        """The state after a few files changed: path -> blob id, with their records.

        What follows costs as much as the files that were edited since the first segment was made,
        and never puts that one together anew: `changed` does, once there are too many.
        """
        if not self.segments:
            return _whole(altered, records)
        base, dead = self.segments[0], self.dead[0].copy()
        blobs, overlay = dict(self.blobs), dict(self.overlay)
        for path in (*gone, *altered):
            overlay.pop(path, None)
            blobs.pop(path, None)
            if (number := base.file_numbers.get(path)) is not None:
                dead[number] = base.blobs[number] != altered.get(path)
        blobs |= altered
        for path in altered:
            number = base.file_numbers.get(path)
            if number is None or dead[number]:
                overlay[path] = records[path]
        return _layered(blobs, base, dead, overlay)


def _flags(flags: list[bool]) -> "NDArray[np.bool_]":
    import numpy as np

    return np.array(flags, dtype=bool)


def _segment(blobs: Mapping[str, str], records: Mapping[str, Record]) -> Segment:
    return build([(p, blobs[p], data) for p, data in sorted(records.items())])


def _whole(blobs: Mapping[str, str], records: Mapping[str, Record]) -> State:
    return of_segment(_segment(blobs, records))


def of_drafts(blobs: Mapping[str, str], drafts: "list[Draft]") -> State:
    """The state of files whose columns the drafts hold in order of path; they are taken out."""
    paths = sorted(blobs)
    return of_segment(assembled(paths, [blobs[p] for p in paths], drafts))


def of_segment(segment: Segment) -> State:
    """The state that has one segment, all of it alive."""
    blobs = dict(zip(segment.paths, segment.blobs, strict=True))
    where = {p: (0, i) for i, p in enumerate(segment.paths)}
    return State(blobs, (segment,), (_flags([False] * len(segment.paths)),), where)


def _layered(
    blobs: Mapping[str, str],
    base: Segment,
    dead: "NDArray[np.bool_]",
    overlay: Mapping[str, Record],
) -> State:
    where = dict(base.places)
    for number in dead.nonzero()[0]:
        where.pop(base.paths[int(number)], None)
    if not overlay:
        return State(blobs, (base,), (dead,), where)
    second = _segment(blobs, overlay)
    where.update({p: (1, i) for i, p in enumerate(second.paths)})
    flags = (dead, _flags([False] * len(second.paths)))
    return State(blobs, (base, second), flags, where, overlay)
