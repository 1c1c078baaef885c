"""Ranking: BM25 over definitions, and what names, paths and mentions add to it.

Every score is computed over the live documents only, with exact document frequencies, so that the
order depends on the files and not on the edits that led to them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

from tools.index.query import Query
from tools.index.segment import FOREIGN, TEST, TEXT, Segment
from tools.index.tokens import once

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Bools = NDArray[np.bool_]

__all__ = ["Scored", "View", "Weights", "rank"]

_K1, _B = 1.2, 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How much each feature counts beside BM25 over the body of a definition.

    Chosen on the histories of repositories that take part in no evaluation; see
    `evals/bench/localize.py`.
    """

    name: float = 0.6
    path: float = 0.8
    mention: float = 1.0
    file: float = 0.35
    """Share of the file's evidence that each of its definitions gets."""
    commit: float = 0.6
    test: float = 0.35
    """Factor for tests, unless the title speaks of tests."""
    vendored: float = 0.3
    """Factor for code that is vendored, built or generated."""
    text: float = 0.5
    """Factor for files that are configuration or markup."""
    constant: float = 0.6
    """Factor for names bound to values: they stand in a map, and are seldom at fault."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One document with its score and what the score is made of."""

    segment: int
    doc: int
    score: float
    parts: tuple[tuple[str, float], ...]


@dataclass
class View:
    """Segments with the files of each that are alive, and the sums over them."""

    segments: tuple[Segment, ...]
    dead: "tuple[NDArray[np.bool_], ...]"
    """By segment, by file."""

    def __post_init__(self) -> None:
        import numpy as np

        self.offsets = [0]
        alive, lengths = [], []
        for segment, dead in zip(self.segments, self.dead, strict=True):
            self.offsets.append(self.offsets[-1] + segment.docs)
            alive.append(~dead[segment.file_of])
            lengths.append(segment.lengths)
        self.docs = self.offsets[-1]
        self.alive: Bools = np.concatenate([np.zeros(0, bool), *alive])
        self.lengths: Floats = np.concatenate([np.zeros(0, np.float32), *lengths])
        self.live_docs = int(self.alive.sum())
        total = float(self.lengths[self.alive].sum(dtype=np.float64))
        self.average = total / max(self.live_docs, 1) or 1.0
        # The part of BM25's denominator that depends on the document only.
        self.norm = (_K1 * (1 - _B + _B * self.lengths / self.average)).astype(np.float32)

    def file_scores_to_docs(self, by_file: "Sequence[Floats]") -> "Floats":
        import numpy as np

        parts = [f[s.file_of] for s, f in zip(self.segments, by_file, strict=True)]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    def files_of(self, scores: "Floats") -> "list[Floats]":
        """The best and half of the second best document of every file, by segment."""
        import numpy as np

        found = []
        for i, segment in enumerate(self.segments):
            own = scores[self.offsets[i] : self.offsets[i + 1]]
            if not len(own):
                found.append(np.zeros(len(segment.paths), np.float32))
                continue
            # Documents run file by file and no file has none.
            first = segment.first_doc[:-1]
            best = np.maximum.reduceat(own, first)
            second = np.where(own == best[segment.file_of], 0, own)
            best = best + 0.5 * np.maximum.reduceat(second, first)
            found.append(best)
        return found


def _bm25(view: View, words: Sequence[tuple[str, float]]) -> "Floats":
    import numpy as np

    scores = np.zeros(view.docs, np.float32)
    for word, weight in words:
        docs, counts = [], []
        for segment, offset in zip(view.segments, view.offsets, strict=False):
            own, tally = segment.word_docs(word)
            docs.append(own + offset)
            counts.append(tally)
        where = np.concatenate(docs)
        if not len(where):
            continue
        tf = np.bincount(where, weights=np.concatenate(counts), minlength=view.docs)
        tf = np.where(view.alive, tf, 0).astype(np.float32)
        frequency = int(np.count_nonzero(tf))
        if frequency:
            scores += weight * _idf(frequency, view.live_docs) * tf * (_K1 + 1) / (tf + view.norm)
    return scores


def _idf(frequency: int, total: int) -> float:
    return log(1 + (total - frequency + 0.5) / (frequency + 0.5))


def _names(view: View, words: Sequence[tuple[str, float]]) -> "Floats":
    """Query words that are parts of a definition's qualified name, by the share of it they make."""
    import numpy as np

    scores = np.zeros(view.docs, np.float32)
    for word, weight in words:
        hits = [s.name_words.of(word) + o for s, o in zip(view.segments, view.offsets)]  # noqa: B905
        where = once(np.concatenate(hits))
        where = where[view.alive[where]]
        if len(where):
            scores[where] += weight * _idf(len(where), view.live_docs)
    scores /= np.concatenate([np.ones(0, np.float32), *(s.name_sizes for s in view.segments)])
    return scores


def _paths(view: View, words: Sequence[tuple[str, float]]) -> "list[Floats]":
    """Query words that are parts of a path, by file."""
    import numpy as np

    files = sum(int((~dead).sum()) for dead in view.dead)
    scores = [np.zeros(len(s.paths), np.float32) for s in view.segments]
    for word, weight in words:
        hits = [once(s.path_words.of(word).astype(np.int64)) for s in view.segments]
        hits = [h[~dead[h]] for h, dead in zip(hits, view.dead, strict=True)]
        frequency = sum(map(len, hits))
        for own, where in zip(scores, hits, strict=True):
            own[where] += weight * _idf(frequency, files)
    return scores


# ----------------------------------------------------------------------- mentions


def _mentions(view: View, query: Query) -> "Floats":
    """Names, files and trace frames that the text gives as written, by document."""
    import numpy as np

    scores = np.zeros(view.docs, np.float32)
    _mentioned_names(view, query, scores)
    for i, segment in enumerate(view.segments):
        base = view.offsets[i]
        for written in query.files:
            for file in _matching(segment, written):
                scores[base + segment.first_doc[file] : base + segment.first_doc[file + 1]] += 8.0
        for depth, (path, line, _) in enumerate(reversed(query.frames)):
            for file in _matching(segment, path):
                doc = _doc_at(segment, file, line)
                scores[base + doc] += 24.0 / (1 + depth) ** 0.5
    scores[~view.alive] = 0
    return scores


def _mentioned_names(view: View, query: Query, scores: "Floats") -> None:
    written = {name: weight for name, weight in query.names}
    for word in query.plain:
        written.setdefault(word, 0.4)
    for name, weight in written.items():
        last = name.replace("::", ".").replace("#", ".").rpartition(".")[2]
        dotted = name.replace("::", ".").replace("#", ".")
        owners = [
            (view.offsets[i] + int(doc), segment.name(int(doc)))
            for i, segment in enumerate(view.segments)
            for doc in (segment.by_name.of(last)[:400] if last else ())
            if view.alive[view.offsets[i] + doc]
        ]
        if not owners:
            continue
        # A name defined in forty places points at none of them.
        worth = 6.0 * min(weight, 3.0) / (1 + log(len(owners))) ** 1.5
        for doc, qualified in owners:
            exact = "." in dotted and (qualified == dotted or dotted.endswith("." + qualified))
            scores[doc] += worth * (2.0 if exact else 1.0)


def _matching(segment: Segment, written: str) -> list[int]:
    """Files whose path ends as written, or that end what is written (an absolute path)."""
    paths = segment.paths
    candidates = segment.by_file_name.get(written.rpartition("/")[2], [])
    found = [f for f in candidates if ("/" + paths[f]).endswith("/" + written.lstrip("./"))]
    if not found and "/" in written:
        found = [f for f in candidates if ("/" + written).endswith("/" + paths[f])]
    return found if len(found) <= 5 else []


def _doc_at(segment: Segment, file: int, line: int) -> int:
    """The innermost definition of a file around a line."""
    best, first = 0, int(segment.first_doc[file])
    for number, d in enumerate(segment.head(file).definitions):
        if d.kind != "constant" and d.line <= line <= d.end_line:
            best = number
    return first + best


# ----------------------------------------------------------------------- all together


def _factors(segment: Segment, query: Query, w: Weights) -> "Floats":
    """By file: what its kind does to its score."""
    import numpy as np

    def factor(mark: int, worth: float) -> "Floats":
        return np.where(segment.marks & mark, np.float32(worth), np.float32(1))

    test = 1.0 if query.wants_tests else w.test
    found: Floats = factor(TEST, test) * factor(FOREIGN, w.vendored) * factor(TEXT, w.text)
    return found


def rank(
    view: View,
    query: Query,
    limit: int,
    weights: Weights,
    extra: Mapping[str, float],
) -> list[Scored]:
    """The best documents, best first; equal scores in path and line order.

    `extra` adds evidence by path, in units of the best BM25 score (similar past commits).
    """
    import numpy as np

    parts = {
        "text": _bm25(view, query.words),
        "name": weights.name * _names(view, query.words),
        "mention": weights.mention * _mentions(view, query),
    }
    # Mentions are in units of a good match, whatever the length of the question.
    unit = max(float(parts["text"].max(initial=0.0)), 1e-6) / 12.0
    parts["mention"] *= unit
    own = parts["text"] + parts["name"] + parts["mention"]
    by_file = [f * weights.path for f in _paths(view, query.words)]
    parts["path"] = view.file_scores_to_docs(by_file)
    if extra:
        share = [np.array([extra.get(p, 0.0) for p in s.paths], np.float32) for s in view.segments]
        parts["commit"] = weights.commit * unit * 12.0 * view.file_scores_to_docs(share)
    parts["file"] = weights.file * view.file_scores_to_docs(view.files_of(own))
    factors = [_factors(s, query, weights) for s in view.segments]
    total = np.sum(list(parts.values()), axis=0) * view.file_scores_to_docs(factors)
    constant = np.concatenate([np.zeros(0, bool), *(s.constants for s in view.segments)])
    total[constant] *= weights.constant
    total[~view.alive] = 0
    return _top(view, total, parts, limit)


def _top(view: View, total: "Floats", parts: "Mapping[str, Floats]", limit: int) -> list[Scored]:
    import numpy as np

    if not len(total):
        return []
    limit = min(limit, len(total))
    if limit < 1:
        return []
    threshold = max(float(np.partition(total, -limit)[-limit]), 1e-9)
    candidates = np.flatnonzero(total >= threshold)
    segment_of = np.searchsorted(np.array(view.offsets[1:]), candidates, side="right")
    scored = []
    for at, number in zip(candidates, segment_of, strict=True):
        segment, doc = int(number), int(at) - view.offsets[int(number)]
        found = tuple((n, float(p[at])) for n, p in parts.items() if p[at] > 0)
        scored.append(Scored(segment, doc, float(total[at]), found))

    def order(s: Scored) -> tuple[float, str, int]:
        segment = view.segments[s.segment]
        path = segment.paths[int(segment.file_of[s.doc])]
        return (-s.score, path, s.doc - int(segment.first_doc[int(segment.file_of[s.doc])]))

    return sorted(scored, key=order)[:limit]
