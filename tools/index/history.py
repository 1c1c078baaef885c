"""Similar past commits: a fix is often where earlier changes with like titles were made."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

from tools.index import git
from tools.index.languages import is_test
from tools.index.model import PastCommit
from tools.index.query import Query
from tools.index.store import Store
from tools.index.words import STOP, stem, subwords

__all__ = ["Commit", "History", "load"]

_COMMITS = 3000
_MAX_FILES = 20
"""A commit that changes more is a sweep and says nothing about any of them."""
_SIMILAR = 30
_STOPPED = STOP | {stem(w) for w in STOP} | {"pr", "merg", "add", "remov", "updat", "mak", "chang"}


@dataclass(frozen=True, slots=True)
class Commit:
    """Search words of a title and the files that the commit changed."""

    commit: str
    title: str
    words: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class History:
    """The latest commits before `head`, newest first."""

    head: str
    commits: tuple[Commit, ...]
    frequency: Mapping[str, int]

    def evidence(self, query: Query) -> dict[str, float]:
        """0 to 1 by path: how much the most similar titles speak for it."""
        found: defaultdict[str, float] = defaultdict(float)
        for score, commit in self._ranked(query)[:_SIMILAR]:
            for path in commit.paths:
                found[path] += score * score / len(commit.paths) ** 0.5
        best = max(found.values(), default=0.0)
        return {p: (s / best) ** 0.5 for p, s in found.items()} if best else {}

    def similar(self, query: Query) -> tuple[PastCommit, ...]:
        """Commits that share words with a question, most similar first."""
        return tuple(
            PastCommit(commit=c.commit, title=c.title, paths=c.paths, score=round(score, 4))
            for score, c in self._ranked(query)
        )

    def _ranked(self, query: Query) -> list[tuple[float, Commit]]:
        weights = dict(query.words)
        total = len(self.commits)
        idf = {w: log(1 + total / (1 + self.frequency.get(w, 0))) for w in weights}
        scored = []
        for age, commit in enumerate(self.commits):
            shared = [w for w in commit.words if w in weights]
            if shared:
                score = sum(weights[w] * idf[w] for w in shared) / (3 + len(commit.words)) ** 0.5
                # Old code moves: a commit 3,000 back counts half of the latest.
                scored.append((-score / (1 + age / _COMMITS), age))
        return [(-score, self.commits[age]) for score, age in sorted(scored)]


def load(root: Path, store: Store, before: History | None) -> History | None:
    """The history at HEAD, from memory, from the store, or read; None without git."""
    head = git.head(root)
    if head is None:
        return None
    if before is not None and before.head == head:
        return before
    ids = git.recent_commits(root, _COMMITS)
    stored = store.commits(ids)
    missing = [i for i in ids if i not in stored]
    if missing:
        read = git.read_commits(root, missing)
        fresh = {i: json.dumps([read[i][0], *_digest(*read[i])]) for i in missing if i in read}
        store.save_commits(fresh)
        stored |= fresh
    commits = tuple(_commit(i, stored[i]) for i in ids if i in stored)
    useful = tuple(c for c in commits if c.words and c.paths)
    frequency = Counter(w for c in useful for w in c.words)
    return History(head, useful, frequency)


def _digest(title: str, paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words and paths worth keeping: no issue numbers, no tests, no sweeps."""
    title = re.sub(r"\(?#\d+\)?", " ", title)
    words = sorted({w for w in subwords(title) if len(w) > 1 and w not in _STOPPED})
    kept = [p for p in paths if not is_test(p)]
    return words, kept if len(paths) <= _MAX_FILES else []


def _commit(commit: str, data: str) -> Commit:
    title, words, paths = json.loads(data)
    return Commit(commit, title, tuple(words), tuple(paths))
