"""Who uses whom, by name: callers, callees, and the centrality behind a map without a query.

Names are matched, not resolved: a name defined once is certain, one defined in many places is
spread thin, one defined in too many is no evidence at all.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tools.index.languages import language_of
from tools.index.records import KINDS
from tools.index.segment import FOREIGN, TEST
from tools.index.state import State
from tools.types import Symbol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["callees", "central", "lines_with"]

_COMMON = 6
"""A name defined in more places than this links nothing."""
_DAMPING = 0.85
_ROUNDS = 20


def lines_with(text: str, name: str, first: int, last: int) -> Iterator[tuple[int, str]]:
    """Lines `first..last` of a text that hold `name` as a whole word: (number, line)."""
    word = re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])")
    for number, line in enumerate(text.split("\n")[first - 1 : last], first):
        if word.search(line):
            yield number, line


def callees(state: State, symbol: Symbol, text: str) -> list[Symbol]:
    """Definitions that the body of `symbol` calls, likeliest and closest first."""
    called: dict[str, int] = {}
    for match in re.finditer(r"([A-Za-z_]\w*)\s*\(", text):
        called.setdefault(match[1], match.start())
    own = symbol.name.rpartition(".")[2]
    imported = set(state.head(symbol.path).modules) if symbol.path in state.where else set()
    found: list[tuple[tuple[int, int, str, int], Symbol]] = []
    for name, at in called.items():
        if name == own:
            continue
        docs = state.named(name)
        candidates = [state.segments[s].symbol(d) for s, d in docs[:50]]
        candidates = [c for c in candidates if c.kind != "constant"]
        near = [(_distance(symbol, c, imported), c) for c in candidates]
        near = [n for n in near if n[0] < 3 or len(candidates) <= 2]
        if near:
            distance, best = min(near, key=lambda n: (n[0], n[1].path, n[1].line))
            found.append(((distance, at, best.path, best.line), best))
    return [c for _, c in sorted(found, key=lambda f: f[0])]


def _distance(symbol: Symbol, other: Symbol, imported: set[str]) -> int:
    """0 the same class, 1 the same file, 2 imported, 3 somewhere."""
    if other.path == symbol.path:
        same = symbol.name.rpartition(".")[0] == other.name.rpartition(".")[0]
        return 0 if same else 1
    module = re.sub(r"(/__init__)?\.\w+$", "", other.path).replace("/", ".")
    stems = {module, f"{module}.{other.name.partition('.')[0]}"}
    for name in imported:
        clean = name.lstrip("./").replace("/", ".")
        if clean and any(s == clean or s.endswith("." + clean) for s in stems):
            return 2
    return 3


def central(state: State) -> "NDArray[np.float64]":
    """Share of attention of every document: a random reader who follows names to definitions."""
    import numpy as np

    view = state.view
    start = _start(state)
    source, target, weight = _edges(state)
    if not len(source):
        return start
    out = np.bincount(source, weights=weight, minlength=view.docs)
    weight = weight / out[source]
    score = start
    for _ in range(_ROUNDS):
        flow = np.bincount(target, weights=weight * score[source], minlength=view.docs)
        score = _DAMPING * flow + (1 - _DAMPING) * start
    # Attention that flows into tests and vendored code is not attention worth a line of a map.
    score = score * (start / max(float(start.max(initial=0.0)), 1e-12))
    return score / max(float(score.sum()), 1e-12)


def _edges(
    state: State,
) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]":
    """(from, to, weight) of every use of a name worth following, within one language."""
    import numpy as np

    language = _languages(state)
    sources: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    targets = list(sources)
    weights = [np.zeros(0)]
    for name, docs in _defined(state).items():
        users = _users(state, name)
        for target in sorted(docs):
            own = users[(language[users] == language[target]) & (users != target)]
            if len(own):
                sources.append(own)
                targets.append(np.full(len(own), target))
                weights.append(np.full(len(own), 1.0 / (len(docs) * len(own) ** 0.5)))
    return np.concatenate(sources), np.concatenate(targets), np.concatenate(weights)


def _languages(state: State) -> "NDArray[np.int32]":
    """A number of the language family of every document."""
    import numpy as np

    families: dict[str, int] = {}
    by_segment = []
    for segment in state.segments:
        names = [language_of(p) or "" for p in segment.paths]
        numbers = [families.setdefault(_FAMILY.get(n, n), len(families)) for n in names]
        by_segment.append(np.array(numbers, np.int32)[segment.file_of])
    return np.concatenate([np.zeros(0, np.int32), *by_segment])


_FAMILY = {"typescript": "javascript", "tsx": "javascript", "cpp": "c", "cython": "python"}


def _users(state: State, name: str) -> "NDArray[np.int64]":
    """Live documents that hold an identifier, as numbers over all segments."""
    import numpy as np

    found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for segment, offset in zip(state.segments, state.view.offsets, strict=False):
        found.append(segment.idents.of(name).astype(np.int64) + offset)
    users = np.concatenate(found)
    return users[state.view.alive[users]]


def _defined(state: State) -> dict[str, set[int]]:
    """Names worth following -> documents that define them."""
    names: dict[str, set[int]] = {}
    skipped = (KINDS.index("constant"), KINDS.index("module"))
    for segment, offset in zip(state.segments, state.view.offsets, strict=False):
        for doc, (name, kind) in enumerate(zip(segment.name_list, segment.kinds, strict=True)):
            last = name.rpartition(".")[2]
            if kind in skipped or len(last) < 3 or not state.view.alive[offset + doc]:
                continue
            if not (last.startswith("__") and last.endswith("__")):
                names.setdefault(last, set()).add(offset + doc)
    return {n: d for n, d in sorted(names.items()) if len(d) <= _COMMON}


def _start(state: State) -> "NDArray[np.float64]":
    """Where the reader starts anew: any live document, seldom a test or somebody else's code."""
    import numpy as np

    start = np.zeros(state.view.docs)
    for path in state.blobs:
        segment, first = state.first_doc(path)
        at = state.view.offsets[segment] + first
        mark = int(state.segments[segment].marks[state.where[path][1]])
        share = (0.05 if mark & TEST else 1.0) * (0.05 if mark & FOREIGN else 1.0)
        start[at : at + state.docs_of(path)] = share
    return start / max(float(start.sum()), 1e-12)
