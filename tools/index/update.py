"""From the files on disk to records: what changed, what is stored already, what to parse."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from tools.index import files
from tools.index.languages import language_of
from tools.index.records import Record, unpacked
from tools.index.store import Known, Records, now_ns

if TYPE_CHECKING:
    from tools.index.build import Draft
    from tools.index.pieces import Recent
    from tools.index.worker import Parsed, Workers

__all__ = ["Change", "hinted", "survey"]

Progress = Callable[[int, int], None]

_FRESH_NS = 2_000_000_000
"""A file written less than two seconds before it was looked at may be written again within the
same tick of its clock (two seconds on FAT, one on some network file systems): it is read again."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an update has to apply."""

    known: Mapping[str, Known]
    """The stat cache, of the files that have a new entry in it."""
    lost: tuple[str, ...]
    """Files to take out of the stat cache."""
    blobs: Mapping[str, str]
    """Path -> blob id of files that belong in the index and whose blob was not the one before."""
    records: Mapping[str, Record]
    """Of the same files."""
    gone: tuple[str, ...]
    """Indexed files that are indexed no more."""
    parsed: int
    drafts: "list[Draft]" = field(default_factory=list)
    """The columns of all files in order of path, where workers have put them together; there are
    no `records` then."""


def survey(
    root: Path,
    listing: files.Listing,
    known: Mapping[str, Known],
    before: Mapping[str, str],
    store: Records,
    progress: Progress | None,
) -> tuple[Change, int]:
    """Look at every file, read those that may have changed, make the records that are missing.

    Files known from before are looked at while git lists. Also gives the number of files listed.
    """
    seen = files.look(str(root), known)
    paths = listing(known)
    listed = set(paths)
    seen |= files.look(str(root), [p for p in paths if p not in known])
    lost = tuple(p for p in known if p not in seen or p not in listed)
    suspects = {
        p: s
        for p, s in seen.items()
        if ((old := known.get(p)) is None or old[1] != s or old[2]) and p in listed
    }
    out = tuple(p for p in before if p not in seen or p not in listed)
    # A snapshot may be older than the stat cache.
    known_now = known.keys() - lost - suspects.keys()
    behind = {p: k[0] for p in known_now if before.get(p) != (k := known[p])[0] and k[0][0] != "!"}
    look = _Look(suspects, behind, lost, out)
    return _change(root, look, known, before, store, progress), len(paths)


def hinted(
    root: Path,
    paths: Iterable[str],
    known: Mapping[str, Known],
    before: Mapping[str, str],
    store: Records,
    recent: "Recent",
) -> Change | None:
    """The change if nothing but `paths` was touched; None if that does not say enough.

    It does not for a path that was never looked at (git has to say whether it is ignored), for a
    directory, and for a file that says which files are ignored.
    """
    wanted = dict.fromkeys(os.path.normpath(p).replace(os.sep, "/") for p in paths)
    for path in wanted:
        unseen = path not in known and (root / path).exists()
        ignores = path.rpartition("/")[2] in _IGNORES
        if ignores or (unseen and (language_of(path) is not None or (root / path).is_dir())):
            return None
    asked = [p for p in wanted if p in known]
    if len(asked) < len(wanted) and any(p.startswith(f"{w}/") for w in wanted for p in known):
        return None  # a directory that is gone
    seen = files.look(str(root), asked)
    lost = tuple(p for p in asked if p not in seen)
    suspects = {p: s for p, s in seen.items() if known[p][1] != s or known[p][2]}
    return _change(root, _Look(suspects, {}, lost, lost), known, before, store, None, recent)


_IGNORES = frozenset({".gitignore", ".agentignore", ".gitmodules"})


@dataclass(frozen=True, slots=True)
class _Look:
    """What looking at the files found, none of them read yet."""

    suspects: Mapping[str, files.Seen]
    """May have changed."""
    behind: Mapping[str, str]
    """Have not changed, and their blob is not the one before."""
    lost: tuple[str, ...]
    """Were known and are no more."""
    out: tuple[str, ...]
    """Were indexed and are no more."""


def _change(
    root: Path,
    look: _Look,
    known: Mapping[str, Known],
    before: Mapping[str, str],
    store: Records,
    progress: Progress | None,
    recent: "Recent | None" = None,
) -> Change:
    """Read the suspects, and get the records of all whose blob is not the one before."""
    # Nothing known: the store will hold next to nothing, and workers are worth their start.
    cold = not known and len(look.suspects) >= _MANY
    if cold and not store.size():
        return _first(root, look, before, store, _Count(progress))
    with _workers() if cold else nullcontext() as workers:
        now, sources = _read(root, look.suspects, before, 0 if cold else _HELD_BYTES)
        unreadable = [p for p in look.suspects if p not in now]
        blobs = {p: b for p, (b, _, _) in now.items() if b[0] != "!" and before.get(p) != b}
        blobs |= look.behind
        count = _Count(progress)
        records, fresh = _records(
            root, blobs, sources, look.suspects, store, workers, recent, count
        )
    unfound = [p for p in blobs if p not in records]  # altered this instant: seen next time
    for path in unfound:
        del blobs[path]
        now.pop(path, None)
    lost = (*look.lost, *(p for p in (*unreadable, *unfound) if p in known))
    altered = {p: k for p, k in now.items() if known.get(p) != k}
    if fresh or altered or lost:
        store.save(str(root), fresh, altered, lost)
    unfit_now = [p for p, (b, _, _) in now.items() if b[0] == "!"]
    dropped = {*look.out, *(p for p in (*unreadable, *unfound, *unfit_now) if p in before)}
    return Change(now, lost, blobs, records, tuple(sorted(dropped & before.keys())), len(fresh))


def _first(
    root: Path, look: _Look, before: Mapping[str, str], store: Records, count: "_Count"
) -> Change:
    """Nothing is stored, so that all will be parsed: workers read and hash too, all at once.

    It spares the time to read everything twice: 0.2 of 2 s for Django.
    """
    threshold = now_ns() - _FRESH_NS
    count.total = len(look.suspects)
    languages = {p: language_of(p) or "" for p in look.suspects}
    keeper = _Keeper(str(root), languages, store, count)
    with _workers() as workers:
        import numpy as np  # noqa: F401  # 0.1 s, while the workers start

        drafts = workers.parse(
            root, [(p, languages[p], s.size) for p, s in look.suspects.items()], keeper
        )
    keeper.flush()
    now = {p: _entry(b, look.suspects[p], threshold) for p, b in sorted(keeper.blobs.items())}
    store.save(str(root), {}, now, ())
    fit = {p: b for p, b in keeper.blobs.items() if b[0] != "!"}
    blobs = {p: b for p, b in fit.items() if before.get(p) != b}
    parsed = len({(b, languages[p]) for p, b in fit.items()})
    gone = {*look.out, *(p for p in look.suspects if p not in fit)} & before.keys()
    records: dict[str, Record] = {}
    if before or not drafts:
        keys = {p: (b, languages[p]) for p, b in blobs.items()}
        drafts, stored = [], _stored(store, set(keys.values()))
        records = {p: stored[k] for p, k in keys.items()}
    return Change(now, (), blobs, records, tuple(sorted(gone)), parsed, drafts)


class _Keeper:
    """Stores records as they come, some megabytes at once; 100,000 of them take 70 MB.

    A record is true whoever refers to it, so that the rest may be stored later, or never.
    """

    def __init__(
        self, root: str, languages: Mapping[str, str], store: Records, count: "_Count"
    ) -> None:
        self.blobs: dict[str, str] = {}
        """Path -> blob id of files that could be read."""
        self._root, self._languages, self._store, self._count = root, languages, store, count
        self._lock = Lock()
        self._held: dict[tuple[str, str], bytes] = {}
        self._bytes = 0

    def __call__(self, parsed: "Parsed") -> None:
        path, blob, record = parsed
        with self._lock:
            if blob:
                self.blobs[path] = blob
            if record:
                self._held[blob, self._languages[path]] = record
                self._bytes += len(record)
            if self._bytes > _FLUSHED_BYTES:
                self.flush()
        self._count(1)

    def flush(self) -> None:
        self._store.save(self._root, self._held, {}, ())
        self._held, self._bytes = {}, 0


_FLUSHED_BYTES = 1 << 21


def _entry(blob: str, stat: files.Seen, threshold: int) -> Known:
    return blob, stat, max(stat.mtime_ns, stat.ctime_ns) > threshold


def _workers() -> "Workers":
    from tools.index.worker import Workers

    return Workers()


def _read(
    root: Path, suspects: Mapping[str, files.Seen], before: Mapping[str, str], held: int
) -> tuple[dict[str, Known], dict[str, bytes]]:
    """What each readable file is now, and `held` bytes of sources that will have to be parsed."""
    threshold = now_ns() - _FRESH_NS
    now: dict[str, Known] = {}
    sources: dict[str, bytes] = {}
    for path, stat in suspects.items():
        source = files.read(root, path)
        if source is None:
            continue
        blob = files.identity(source)
        now[path] = _entry(blob, stat, threshold)
        if before.get(path) != blob and held > 0:
            sources[path] = source
            held -= len(source)
    return now, sources


def _records(
    root: Path,
    blobs: Mapping[str, str],
    sources: dict[str, bytes],
    sizes: Mapping[str, files.Seen],
    store: Records,
    workers: "Workers | None",
    recent: "Recent | None",
    count: "_Count",
) -> tuple[dict[str, Record], dict[tuple[str, str], Record]]:
    """Records by path, and those that were not stored yet."""
    keys = {p: (b, language_of(p) or "") for p, b in blobs.items()}
    stored = _stored(store, set(keys.values()))
    missing = list({keys[p]: p for p in blobs if keys[p] not in stored}.values())
    count.total = len(missing)
    fresh: dict[tuple[str, str], Record] = {}

    def keep(parsed: "Parsed") -> None:
        path, blob, record = parsed
        if record:
            fresh[blob, keys[path][1]] = record
        count(1)

    if len(missing) >= _MANY:
        sources.clear()
        tasks = [(p, keys[p][1], sizes[p].size if p in sizes else 5000) for p in missing]
        with workers or _workers() as started:
            started.parse(root, tasks, keep)
    else:
        from tools.index.extract import again, read

        for group in _groups(missing, sizes):
            have = [(sources.pop(p, b"") or files.read(root, p) or b"", keys[p][1]) for p in group]
            found = read(have) if recent is None else again(have, recent)
            for (source, language), record in zip(have, found, strict=True):
                fresh[files.blob_id(source), language] = record
            count(len(group))
    stored |= fresh
    return {p: stored[k] for p, k in keys.items() if k in stored}, fresh


def _groups(paths: Iterable[str], sizes: Mapping[str, files.Seen]) -> Iterator[list[str]]:
    """Files of half a megabyte together: read as one they cost less than one by one."""
    group: list[str] = []
    total = 0
    for path in paths:
        group.append(path)
        total += sizes[path].size if path in sizes else 5000
        if total > _GROUP_BYTES:
            yield group
            group, total = [], 0
    if group:
        yield group


_GROUP_BYTES = 1 << 19
_HELD_BYTES = 32 << 20
"""Sources kept between hashing and parsing; the rest is read twice, so that memory is bounded."""
_MANY = 300
"""Files to parse from which on workers pay for their start (0.1 s each)."""


class _Count:
    """Adds up finished files over the threads that wait for workers."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self.total, self._done = progress, 0, 0
        self._lock = Lock()

    def __call__(self, more: int) -> None:
        with self._lock:
            self._done += more
            if self._progress is not None:
                self._progress(self._done, self.total)


def _stored(store: Records, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Record]:
    found: dict[tuple[str, str], Record] = {}
    for key, data in store.records(keys):
        try:
            unpacked(data)
        except ValueError:
            continue  # damaged: parsed again
        found[key] = data
    return found
