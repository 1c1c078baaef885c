"""The index of one work tree: updated from the disk, asked by planner, editor and people."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tools.index import files
from tools.index.model import CountTokens, IndexStats, Pack, PastCommit, RepoMap, estimate_tokens
from tools.index.pieces import Recent
from tools.index.records import Record
from tools.index.state import State, of_drafts, of_segment
from tools.index.store import Deferred, Known, Store
from tools.types import Hit, Symbol

if TYPE_CHECKING:
    from tools.index.history import History
    from tools.index.update import Change

__all__ = ["Index", "open_index"]

_SAVED = 3000
"""Definitions from which on a snapshot is worth its writing; fewer are put together in 20 ms."""


def open_index(
    root: Path,
    cache_dir: Path,
    *,
    files: Callable[[], Sequence[str]] | None = None,
) -> "Index":
    """The index of the work tree at `root`. Opening reads nothing; `update` or a question does.

    `cache_dir` holds what can be made again; it is keyed by the repository, and lies outside it.
    `files` lists the paths to index, relative to `root`; without it git is asked, and where there
    is no git the directory is walked. Raises OSError if the cache cannot be written.
    """
    return Index(root, cache_dir, files)


class Index:
    """Thread-safe: an update replaces the state whole, and a question works on one state."""

    def __init__(
        self, root: Path, cache_dir: Path, list_files: Callable[[], Sequence[str]] | None
    ) -> None:
        self.root = root.resolve()
        self._store = Store(cache_dir)
        self._deferred = Deferred()
        self._recent = Recent()
        self._snapshot = self._store.snapshot(str(self.root))
        self._lister = files.Lister(self.root, list_files)
        self._listed = 0
        self._lock = threading.RLock()
        self._known: dict[str, Known] | None = None
        self._state: State | None = None
        self._changed = self._parsed = 0
        self._history: History | None = None
        self._counters: dict[CountTokens, dict[str, int]] = {}

    # ------------------------------------------------------------------ keeping up

    def update(
        self,
        progress: Callable[[int, int], None] | None = None,
        *,
        paths: Iterable[str] | None = None,
    ) -> IndexStats:
        """Make the index say what the disk says. Cheap when little changed.

        `progress(done, total)` is called while files are parsed. `paths`, relative to the root,
        is a hint that nothing else was touched since the last update: only these files are looked
        at, in 2 ms instead of 30. What a hint leaves out is seen by the next update without one.
        """
        with self._lock:
            start = time.perf_counter()
            if paths is None or self._state is None or not self._hinted(tuple(paths)):
                self._whole(progress)
            assert self._state is not None
            rebuilt, self._store.rebuilt = self._store.rebuilt, ""
            return IndexStats(
                files=len(self._state.blobs),
                symbols=self._state.symbols,
                seconds=time.perf_counter() - start,
                changed=self._changed,
                parsed=self._parsed,
                skipped=self._listed - len(self._state.blobs),
                rebuilt=rebuilt,
            )

    def _hinted(self, paths: tuple[str, ...]) -> bool:
        """Whether the hint was enough to bring the index up to date."""
        from tools.index.update import hinted

        assert self._state is not None
        assert self._known is not None
        change = hinted(
            self.root, paths, self._known, self._state.blobs, self._deferred, self._recent
        )
        if change is None:
            return False
        self._learn(change)
        self._listed -= len(change.lost)
        self._state = self._state.edited(change.blobs, change.records, change.gone)
        return True

    def _whole(self, progress: Callable[[int, int], None] | None) -> None:
        listing = self._lister.begin()  # git works while we load
        if self._known is None:
            self._store.prepare()
            self._known = self._store.seen(str(self.root))
        self._deferred.flush(str(self.root), self._store)
        before = self._state or self._saved()
        try:
            self._apply(before, listing, progress)
        except KeyError:  # records of unchanged files are gone from the store: all over again
            self._apply(State({}), self._lister.begin(), progress)

    def _apply(
        self, before: State, listing: files.Listing, progress: Callable[[int, int], None] | None
    ) -> None:
        """Raises KeyError if a stored record is missing."""
        from tools.index import snapshot
        from tools.index.update import survey

        known = self._known or {}
        change, self._listed = survey(
            self.root, listing, known, before.blobs, self._store, progress
        )
        self._learn(change)
        self._state = before
        if change.drafts:
            self._state = of_drafts(change.blobs, change.drafts)
        elif change.records or change.gone or not before.segments:
            blobs = {p: b for p, b in before.blobs.items() if p not in change.gone}
            blobs |= change.blobs
            self._state = before.changed(blobs, change.records, self._stored)
        (base, *_) = self._state.segments
        if base not in before.segments and base.docs >= _SAVED:
            snapshot.save(self._snapshot, base)
            self._store.prune()

    def _learn(self, change: "Change") -> None:
        assert self._known is not None
        self._known.update(change.known)
        for path in change.lost:
            self._known.pop(path, None)
        self._changed, self._parsed = len(change.blobs) + len(change.gone), change.parsed

    def _saved(self) -> State:
        """The state a former process left, or an empty one."""
        from tools.index import snapshot

        segment = snapshot.load(self._snapshot)
        return State({}) if segment is None else of_segment(segment)

    def stored(self) -> bool:
        """Whether there is an index from before, here or on disk; without one a build takes
        seconds for thousands of files."""
        return self._state is not None or self._snapshot.exists()

    def state(self) -> State:
        """What the index holds now, for rankings of one's own. Never altered by an update."""
        if self._state is None:
            self.update()
        assert self._state is not None
        return self._state

    def _stored(self, paths: Iterable[str]) -> dict[str, Record]:
        """Stored records of files whose blob is known, by path."""
        from tools.index.languages import language_of

        known = self._known or {}
        keys = {p: (known[p][0], language_of(p) or "") for p in paths}
        found = dict(self._store.records(set(keys.values())))
        return {p: found[k] for p, k in keys.items()}

    def _text(self, path: str) -> str | None:
        data = files.read(self.root, path)
        return None if data is None else data.decode("utf-8", "replace")

    # ------------------------------------------------------------------ looking up

    def paths(self) -> tuple[str, ...]:
        """Every indexed file, sorted."""
        return tuple(sorted(self.state().blobs))

    def symbols(self, path: str) -> tuple[Symbol, ...]:
        """Definitions of a file in source order; none for a file that is not indexed."""
        return self.state().of_path(path)

    def find(self, name: str) -> tuple[Symbol, ...]:
        """Definitions called `name`: qualified (`Class.method`) or the last part alone.

        A dotted name that is no qualified name is tried from its end: `package.module.Class`.
        """
        from tools.index import lookup

        return lookup.find(self.state(), name)

    def at(self, path: str, line: int) -> Symbol | None:
        """The innermost function, method or class around a line."""
        code = [s for s in self.symbols(path) if s.kind in ("function", "method", "class", "type")]
        around = [s for s in code if s.line <= line <= s.end_line]
        return min(around, key=lambda s: s.end_line - s.line) if around else None

    def references(self, name: str) -> tuple[Hit, ...]:
        """Lines that use an identifier, its definitions first; at most 500."""
        from tools.index import lookup

        return lookup.references(self.state(), self._text, name)

    def callers(self, symbol: Symbol) -> tuple[Hit, ...]:
        """Definitions that call a symbol by its name, those in its own file first.

        By name only: a method of the same name on another class counts too, and the reason says
        in how many places the name is defined.
        """
        from tools.index import lookup

        return lookup.callers(self.state(), self._text, symbol)

    def callees(self, symbol: Symbol) -> tuple[Symbol, ...]:
        """Definitions that the body of a symbol calls, likeliest first; by name, as `callers`."""
        from tools.index import graph

        lines = (self._text(symbol.path) or "").split("\n")[symbol.line - 1 : symbol.end_line]
        return tuple(graph.callees(self.state(), symbol, "\n".join(lines)))

    def grep(self, pattern: str, *, limit: int = 200, globs: Sequence[str] = ()) -> tuple[Hit, ...]:
        """Lines of indexed files that match a regular expression, with the definition around each.

        `globs` keep paths that match one of them (`*.py`, `src/*`). Raises ValueError for a
        pattern that is none.
        """
        from tools.index import lookup

        return tuple(lookup.grep(self.state(), self._text, pattern, limit, globs))

    # ------------------------------------------------------------------ ranking

    def search(self, query: str, limit: int = 20) -> tuple[Hit, ...]:
        """Definitions that match a question, best first, tests ranked as anything else."""
        from tools.index.localize import asked, search

        state = self.state()
        return search(state, asked(state, query), limit)

    def localize(self, issue_text: str, limit: int = 20) -> tuple[Hit, ...]:
        """Definitions likely to be at fault for an issue, best first, with the reasons."""
        from tools.index.localize import asked, localize

        state = self.state()
        return localize(state, asked(state, issue_text), limit, self.evidence(issue_text))

    def glance(self, text: str, limit: int = 20) -> tuple[Hit, ...]:
        """As `localize`, at once: where nothing is indexed yet, from the likeliest files only.

        Nothing is stored, and an update in another thread is not waited for.
        """
        if not self.stored():
            from tools.index.glance import glance

            return glance(self.root, self._lister.begin()(()), text, limit)
        return self.localize(text, limit)

    def evidence(self, text: str) -> dict[str, float]:
        """By path: how much similar past commits speak for it."""
        from tools.index import query

        found = self._commits()
        return found.evidence(query.parse(text)) if found is not None else {}

    def similar_commits(self, text: str, limit: int = 10) -> tuple[PastCommit, ...]:
        """Commits before the one checked out whose titles are most like a text, best first."""
        from tools.index import query

        found = self._commits()
        return found.similar(query.parse(text))[:limit] if found is not None else ()

    def _commits(self) -> "History | None":
        from tools.index import history

        with self._lock:
            if self._known is None:
                self._store.prepare()
            self._history = history.load(self.root, self._store, self._history)
            return self._history

    # ------------------------------------------------------------------ views

    def map(
        self,
        query: str | None,
        budget_tokens: int,
        count: CountTokens | None = None,
        focus: Sequence[str] = (),
    ) -> RepoMap:
        """Ranked signatures grouped by file, never more than `budget_tokens` by `count`.

        Ranked by the query, or by centrality without one. Files named in `focus` come first.
        A word of a short query that occurs nowhere gives way to those nearest to it in spelling;
        `near` of the map says which, as do the reasons of `search` and `localize`.
        """
        from tools.index.localize import asked, ranked_symbols
        from tools.index.repomap import Counter, render

        count = count or estimate_tokens
        with self._lock:
            known = self._counters.setdefault(count, {})
            state = self.state()
            evidence = self.evidence(query) if query else {}
            question = asked(state, query) if query else None
            ranked = ranked_symbols(state, question, budget_tokens, tuple(focus), evidence)
            found = render(ranked, budget_tokens, Counter(count, known))
            near = question.near if question else ()
            return replace(found, near=tuple((n.asked, n.found) for n in near))

    def pack(
        self,
        path: str,
        *,
        symbol: str | None = None,
        line: int | None = None,
        budget_tokens: int,
        count: CountTokens | None = None,
    ) -> Pack:
        """What an editor needs: the target function whole, its class, imports, callees, tests.

        Give a symbol, a line, or both. Code outside any function is shown as a window around the
        line; so is a function that does not fit, with a note at each cut. Raises KeyError if the
        file has no such symbol.
        """
        from tools.index.pack import Packer

        state = self.state()
        packer = Packer(state, budget_tokens, count or estimate_tokens, self._text)
        return packer.pack(path, symbol, line)
