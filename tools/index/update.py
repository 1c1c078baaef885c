"""From the files on disk to records: what changed, what is stored already, what to parse."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.index import files
from tools.index.extract import extract, unfit
from tools.index.languages import language_of
from tools.index.records import parts
from tools.index.store import Known, Store, now_ns

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
        if before.get(path) != blob:
            sources[path] = source
    blobs = {p: b for p, (b, _, _) in now.items() if not b.startswith("!")}
    wanted = [p for p, b in blobs.items() if before.get(p) != b]
    records, fresh = _records(root, wanted, blobs, sources, store, progress)
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
    sources: Mapping[str, bytes],
    store: Store,
    progress: Progress | None,
) -> tuple[dict[str, bytes], dict[tuple[str, str], bytes]]:
    """Records by path, and the stored form of those that were not stored yet."""
    keys = {p: (blobs[p], language_of(p) or "") for p in wanted}
    stored = _stored(store, set(keys.values()))
    missing = [p for p in wanted if keys[p] not in stored]
    fresh: dict[tuple[str, str], bytes] = {}
    for number, path in enumerate(missing):
        key = keys[path]
        if key not in stored:
            source = sources.get(path)
            if source is None:
                source = files.read(root, path) or b""
                if files.blob_id(source) != key[0]:  # altered this instant: the next update sees it
                    del keys[path], blobs[path]
                    continue
            fresh[key] = stored[key] = extract(source, key[1]).encode()
        if progress is not None:
            progress(number + 1, len(missing))
    return {p: stored[k] for p, k in keys.items()}, fresh


def _stored(store: Store, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
    found = {}
    for key, data in store.records(keys):
        try:
            parts(data)
        except ValueError:
            continue  # damaged: parsed again
        found[key] = data
    return found
