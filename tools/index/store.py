"""Records and stat cache in one SQLite file. Everything in it can be made again.

Records are keyed by (blob id, language), so branches and worktrees share them; the stat cache is
keyed by the root. A database that cannot be read is deleted and built anew, and says so.
"""

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from tools.index.files import Seen
from tools.index.records import EXTRACTOR_VERSION, Record, packed

__all__ = ["Deferred", "Known", "Records", "Store", "now_ns"]

_SCHEMA = """
create table if not exists meta (key text primary key, value text not null);
create table if not exists record (
    blob text not null, language text not null, data blob not null,
    primary key (blob, language)
) without rowid;
create table if not exists history (id text primary key, data text not null) without rowid;
create table if not exists seen (
    root text not null, path text not null, blob text not null,
    size integer not null, mtime_ns integer not null, ctime_ns integer not null,
    inode integer not null, fresh integer not null,
    primary key (root, path)
) without rowid;
"""
_FORMAT = f"1.{EXTRACTOR_VERSION}"
_BATCH = 500
_SPARE = 200
"""Records beside those in use that are never worth pruning."""
_UNUSED_S = 14 * 86_400

Known = tuple[str, Seen, bool]
"""Blob id, what was seen, and whether the file was too fresh for its times to be trusted."""


class Records(Protocol):
    """Where an update finds records and puts new ones, with what was seen of the files."""

    def records(
        self, keys: Iterable[tuple[str, str]]
    ) -> Iterator[tuple[tuple[str, str], Record]]: ...

    def save(
        self,
        root: str,
        records: Mapping[tuple[str, str], Record],
        seen: Mapping[str, Known],
        gone: Iterable[str],
    ) -> None: ...

    def size(self) -> int: ...


class Store:
    """One connection per operation: safe across threads and processes, 1 ms each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / f"index-{_FORMAT}.sqlite"
        self.rebuilt = ""

    def prepare(self) -> None:
        """Make the tables; a database that is none is thrown away. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with self._open() as db:
                db.executescript(_SCHEMA)
                db.execute("select 1 from record limit 1").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "unable to open" in str(error):
                raise OSError(f"index cache {self.path}: {error}") from error
            self.discard(str(error))
        except sqlite3.DatabaseError as error:
            self.discard(str(error))

    def discard(self, why: str) -> None:
        """Delete the database and start again."""
        self.rebuilt = f"the stored index could not be read ({why})"
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        with self._open() as db:
            db.executescript(_SCHEMA)

    def seen(self, root: str) -> dict[str, Known]:
        """The stat cache of one worktree."""
        with self._open() as db:
            rows = db.execute(
                "select path, blob, size, mtime_ns, ctime_ns, inode, fresh from seen where root=?",
                (root,),
            )
            return {p: (b, Seen(s, m, c, i), bool(f)) for p, b, s, m, c, i, f in rows}

    def records(self, keys: Iterable[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], bytes]]:
        """Stored records among `keys`; those that are missing are left out."""
        wanted = list(keys)
        with self._open() as db:
            if len(wanted) > 2 * _BATCH:
                yield from self._scan(db, frozenset(wanted))
                return
            for key in wanted:
                row = db.execute(
                    "select data from record where blob=? and language=?", key
                ).fetchone()
                if row is not None:
                    yield key, row[0]

    def _scan(
        self, db: sqlite3.Connection, wanted: frozenset[tuple[str, str]]
    ) -> Iterator[tuple[tuple[str, str], bytes]]:
        """One pass in key order: ten times faster than as many look-ups."""
        for blob, language, data in db.execute("select blob, language, data from record"):
            if (blob, language) in wanted:
                yield (blob, language), data

    def save(
        self,
        root: str,
        records: Mapping[tuple[str, str], Record],
        seen: Mapping[str, Known],
        gone: Iterable[str],
    ) -> None:
        """All of it in one transaction: another process sees the old state or the new one."""
        with self._open() as db, db:
            db.execute("begin immediate")
            db.executemany(
                "insert or replace into record values (?,?,?)",
                ((b, lang, packed(record)) for (b, lang), record in records.items()),
            )
            db.executemany(
                "insert or replace into seen values (?,?,?,?,?,?,?,?)",
                (
                    (root, p, b, s.size, s.mtime_ns, s.ctime_ns, s.inode, int(f))
                    for p, (b, s, f) in seen.items()
                ),
            )
            db.executemany("delete from seen where root=? and path=?", ((root, p) for p in gone))

    def commits(self, ids: Iterable[str]) -> dict[str, str]:
        """Stored digests among the commits."""
        wanted = frozenset(ids)
        with self._open() as db:
            return {i: d for i, d in db.execute("select id, data from history") if i in wanted}

    def save_commits(self, digests: Mapping[str, str]) -> None:
        with self._open() as db, db:
            db.execute("begin immediate")
            db.executemany("insert or replace into history values (?,?)", digests.items())

    def size(self) -> int:
        """Number of stored records."""
        with self._open() as db:
            (total,) = db.execute("select count(*) from record").fetchone()
            return int(total)

    def prune(self) -> None:
        """Drop what nobody needs: worktrees that are no more, other versions' files, and records
        no worktree refers to once they outnumber those in use by four to one."""
        for file in self.folder.glob("index-*.sqlite*"):
            old = time.time() - file.stat().st_mtime > _UNUSED_S
            if old and not file.name.startswith(self.path.name):
                file.unlink(missing_ok=True)
        with self._open() as db, db:
            db.execute("begin immediate")
            roots = [r for (r,) in db.execute("select distinct root from seen")]
            for root in [r for r in roots if not Path(r).is_dir()]:
                db.execute("delete from seen where root=?", (root,))
                self.snapshot(root).unlink(missing_ok=True)
            (used,) = db.execute("select count(distinct blob) from seen").fetchone()
            (total,) = db.execute("select count(*) from record").fetchone()
            if total > 4 * used + _SPARE:
                db.execute("delete from record where blob not in (select blob from seen)")

    def snapshot(self, root: str) -> Path:
        """Where the arrays of one worktree are kept."""
        name = hashlib.sha1(os.fsencode(root), usedforsecurity=False).hexdigest()[:16]
        return self.folder / f"snapshot-{name}.bin"

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as db:
            # Everything here can be made again: no need to wait for the disk.
            db.execute("pragma journal_mode=wal")
            db.execute("pragma synchronous=off")
            yield db


class Deferred:
    """Holds back what a store would be given: opening a database costs more than a small update,
    and compressing the record of a large file as much.

    What is lost with the process is found again: the stat cache that is stored still says that
    those files have to be read.
    """

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], Record] = {}
        self._seen: dict[str, Known | None] = {}

    def records(self, keys: Iterable[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], Record]]:
        """Records among `keys` that are held: an edit that is taken back is not parsed again."""
        return ((k, self._records[k]) for k in keys if k in self._records)

    def save(
        self,
        root: str,
        records: Mapping[tuple[str, str], Record],
        seen: Mapping[str, Known],
        gone: Iterable[str],
    ) -> None:
        if sum(len(r) if isinstance(r, bytes) else r.size() for r in self._records.values()) > (
            _HELD_BYTES
        ):
            self._records.clear()
        self._records.update(records)
        self._seen |= {**seen, **dict.fromkeys(gone)}

    def size(self) -> int:
        """Number of records that are held."""
        return len(self._records)

    def flush(self, root: str, store: Store) -> None:
        """Give the store all that was held."""
        if self._records or self._seen:
            seen = {p: k for p, k in self._seen.items() if k is not None}
            gone = [p for p, k in self._seen.items() if k is None]
            store.save(root, self._records, seen, gone)
            self._records.clear()
            self._seen.clear()


_HELD_BYTES = 16 << 20


def now_ns() -> int:
    """The clock file times are compared with."""
    return time.time_ns()
