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

    names, name_of, target = _defined(state)
    user_name, user = _users(state, names)
    order = np.argsort(user_name, kind="stable")
    user = user[order]
    begins = np.searchsorted(user_name[order], np.arange(len(names) + 1))
    # Every definition of a name with every user of it.
    sizes = (begins[1:] - begins[:-1])[name_of]
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    edge = np.repeat(np.arange(len(target)), sizes)
    source = user[np.arange(total) + np.repeat(begins[name_of] - ends + sizes, sizes)]
    language = _languages(state)
    kept = (language[source] == language[target[edge]]) & (source != target[edge])
    source, edge = source[kept], edge[kept]
    homonyms = np.bincount(name_of, minlength=len(names))[name_of]
    users = np.bincount(edge, minlength=len(target))
    return source, target[edge], 1.0 / (homonyms[edge] * np.sqrt(users[edge]))


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


def _defined(state: State) -> "tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]":
    """Names worth following, by hash; and of each of their definitions the name and document."""
    import numpy as np

    skipped = (KINDS.index("constant"), KINDS.index("module"))
    hashes: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
    docs: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for segment, offset in zip(state.segments, state.view.offsets, strict=False):
        data = np.frombuffer(segment.names, np.uint8)
        starts, sizes = segment.lasts
        worth = (sizes >= 3) & ~np.isin(segment.kinds, skipped)
        worth &= state.view.alive[offset : offset + segment.docs]
        worth[worth] = ~_dunder(data, starts[worth], sizes[worth])
        hashes.append(segment.last_hashes[worth])
        docs.append(np.flatnonzero(worth) + offset)
    names, name_of, tally = np.unique(
        np.concatenate(hashes), return_inverse=True, return_counts=True
    )
    rare = tally[name_of] <= _COMMON
    return names, name_of[rare].astype(np.int64), np.concatenate(docs)[rare]


def _dunder(
    data: "NDArray[np.uint8]", starts: "NDArray[np.int64]", sizes: "NDArray[np.int64]"
) -> "NDArray[np.bool_]":
    """Whether names begin and end with two underscores."""
    ends = starts + sizes
    around = (data[starts], data[starts + 1], data[ends - 2], data[ends - 1])
    first, second, third, last = (c == ord("_") for c in around)
    found: NDArray[np.bool_] = first & second & third & last
    return found


def _users(
    state: State, names: "NDArray[np.uint64]"
) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Live documents that hold an identifier: the number of the name, and the document."""
    import numpy as np

    of: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    users = list(of)
    for segment, offset in zip(state.segments, state.view.offsets, strict=False):
        idents = segment.idents
        if not len(idents.hashes):
            continue
        at = np.minimum(np.searchsorted(idents.hashes, names), len(idents.hashes) - 1)
        known = np.flatnonzero(idents.hashes[at] == names)
        sizes = idents.starts[at[known] + 1] - idents.starts[at[known]]
        docs = idents.items[idents.gather(at[known].astype(np.int32))].astype(np.int64) + offset
        alive = state.view.alive[docs]
        of.append(np.repeat(known, sizes)[alive])
        users.append(docs[alive])
    return np.concatenate(of), np.concatenate(users)


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
