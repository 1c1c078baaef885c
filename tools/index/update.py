"""From the files on disk to records: what changed, what is stored already, what to parse."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from tools.index import files
from tools.index.extract import extract, unfit
from tools.index.languages import language_of
from tools.index.records import parts
from tools.index.store import Known, Store, now_ns
from tools.index.worker import parse

__all__ = ["Change", "survey"]

Progress = Callable[[int, int], None]

_FRESH_NS = 2_000_000_000
"""A file written less than two seconds before it was looked at may be written again within the
same tick of its clock (two seconds on FAT, one on some network file systems): it is read again."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an update has to apply."""

    known: Mapping[str, Known]
    """The stat cache of every file that was looked at."""
    blobs: Mapping[str, str]
    """Path -> blob id of every file that belongs in the index."""
    records: Mapping[str, bytes]
    """Stored form, of every file whose blob is not the one given before."""
    gone: tuple[str, ...]
    parsed: int


def survey(
    root: Path,
    paths: list[str],
    known: Mapping[str, Known],
    before: Mapping[str, str],
    store: Store,
    progress: Progress | None,
) -> Change:
    """Look at every file, read those that may have changed, make the records that are missing."""
    seen = files.look(str(root), paths)
    threshold = now_ns() - _FRESH_NS
    now: dict[str, Known] = {}
    sources: dict[str, bytes] = {}
    held = 0
    for path, stat in seen.items():
        old = known.get(path)
        if old is not None and old[1] == stat and not old[2]:
            now[path] = old
            continue
        source = files.read(root, path)
        if source is None:
            continue
        reason = unfit(source)
        blob = f"!{reason}" if reason else files.blob_id(source)
        now[path] = (blob, stat, max(stat.mtime_ns, stat.ctime_ns) > threshold)
        if before.get(path) != blob and held < _HELD_BYTES:
            sources[path] = source
            held += len(source)
    blobs = {p: b for p, (b, _, _) in now.items() if not b.startswith("!")}
    wanted = [p for p, b in blobs.items() if before.get(p) != b]
    records, fresh = _records(root, wanted, blobs, sources, seen, store, progress)
    altered = {p: k for p, k in now.items() if known.get(p) != k}
    lost = [p for p in known if p not in now]
    if fresh or altered or lost:
        store.save(str(root), fresh, altered, lost)
    gone = tuple(p for p in before if p not in blobs)
    return Change(now, blobs, records, gone, len(fresh))


def _records(
    root: Path,
    wanted: list[str],
    blobs: dict[str, str],
    sources: dict[str, bytes],
    sizes: Mapping[str, files.Seen],
    store: Store,
    progress: Progress | None,
) -> tuple[dict[str, bytes], dict[tuple[str, str], bytes]]:
    """Records by path, and the stored form of those that were not stored yet."""
    keys = {p: (blobs[p], language_of(p) or "") for p in wanted}
    stored = _stored(store, set(keys.values()))
    missing = list({keys[p]: p for p in wanted if keys[p] not in stored}.values())
    count = _Count(progress, len(missing))
    fresh: dict[tuple[str, str], bytes] = {}
    if len(missing) >= _MANY:
        sources.clear()
        tasks = [(p, keys[p][1], sizes[p].size) for p in missing]
        for path, blob, record in parse(root, tasks, count):
            fresh[blob, keys[path][1]] = record
    else:
        for path in missing:
            source = sources.pop(path, None) or files.read(root, path) or b""
            fresh[files.blob_id(source), keys[path][1]] = extract(source, keys[path][1]).encode()
            count(1)
    stored |= fresh
    for path in [p for p in wanted if keys[p] not in stored]:
        del blobs[path]  # altered this instant: the next update sees it
    return {p: stored[k] for p, k in keys.items() if k in stored}, fresh


_HELD_BYTES = 32 << 20
"""Sources kept between hashing and parsing; the rest is read twice, so that memory is bounded."""
_MANY = 300
"""Files to parse from which on workers pay for their start (0.1 s each)."""


class _Count:
    """Adds up finished files over the threads that wait for workers."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._lock = Lock()

    def __call__(self, more: int) -> None:
        with self._lock:
            self._done += more
            if self._progress is not None:
                self._progress(self._done, self._total)


def _stored(store: Store, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
    found = {}
    for key, data in store.records(keys):
        try:
            parts(data)
        except ValueError:
            continue  # damaged: parsed again
        found[key] = data
    return found
