"""From a question to hits and to the order of a map."""

from collections.abc import Iterator, Mapping
from itertools import islice

from tools.index import near
from tools.index import query as queries
from tools.index.query import Query
from tools.index.records import KINDS
from tools.index.search import Scored, Weights, rank
from tools.index.state import State
from tools.types import Hit, Symbol

__all__ = ["asked", "localize", "ranked_symbols", "search"]

_SEARCH = Weights(test=1.0, vendored=0.6)
_LOCALIZE = Weights()
_SIGNATURE_TOKENS = 6
"""A line of a map is seldom shorter: bounds how many symbols a budget can hold."""


def asked(state: State, text: str) -> Query:
    """The question in a text, as far as the index can answer it."""
    return near.widened(state.view, queries.parse(text), text)


def search(state: State, query: Query, limit: int) -> tuple[Hit, ...]:
    scored = rank(state.view, query, limit, _SEARCH, {})
    return tuple(_hit(state, s, query) for s in scored)


def localize(
    state: State, query: Query, limit: int, commits: Mapping[str, float] | None = None
) -> tuple[Hit, ...]:
    """`commits`: evidence by path from similar past commits, 0 to 1."""
    scored = rank(state.view, query, limit, _LOCALIZE, commits or {})
    return tuple(_hit(state, s, query) for s in scored)


def _hit(state: State, scored: Scored, query: Query) -> Hit:
    symbol = state.segments[scored.segment].symbol(scored.doc)
    return Hit(
        path=symbol.path,
        symbol=symbol.name or None,
        line=symbol.line,
        end_line=symbol.end_line,
        score=round(scored.score, 4),
        reasons=(*_near(state, scored, query), *_reasons(symbol, scored, query)),
    )


def _near(state: State, scored: Scored, query: Query) -> Iterator[str]:
    """Words that are in a definition in place of those that were asked for."""
    segment = state.segments[scored.segment]
    for pair in query.near:
        docs = segment.word_docs(pair.word)[0]
        if scored.doc in docs or scored.doc in segment.name_words.of(pair.word):
            yield f"near match: {pair.found} for {pair.asked}"


def _reasons(symbol: Symbol, scored: Scored, query: Query) -> Iterator[str]:
    """In words, the heaviest first."""
    for part, _ in sorted(scored.parts, key=lambda p: (-p[1], p[0])):
        if part == "mention":
            yield from _mentions(symbol, query)
        elif part == "text":
            yield "its text matches"
        elif part == "name":
            yield "its name matches"
        elif part == "path":
            yield "its path matches"
        elif part == "commit":
            yield "similar commits changed the file"
        elif part == "file":
            yield "the file matches"


def _mentions(symbol: Symbol, query: Query) -> Iterator[str]:
    file = symbol.path.rpartition("/")[2]
    last = symbol.name.rpartition(".")[2]
    for path, line, _ in query.frames:
        if path.rpartition("/")[2] == file and symbol.line <= line <= symbol.end_line:
            yield f"in the traceback at line {line}"
            break
    named = [n for n, _ in query.names if n.replace("::", ".").rpartition(".")[2] == last]
    if last and (named or last in query.plain):
        yield f"mentions {named[0] if named else last}"
    if any(f.rpartition("/")[2] == file for f in query.files):
        yield f"mentions {file}"


# ----------------------------------------------------------------------- maps


def ranked_symbols(
    state: State,
    query: Query | None,
    budget: int,
    focus: tuple[str, ...],
    commits: Mapping[str, float],
) -> Iterator[tuple[Symbol, tuple[Symbol, ...]]]:
    """Symbols with the classes around them, best first: files in focus, then by rank."""
    most = max(50, budget // _SIGNATURE_TOKENS)
    for path in focus:
        for symbol in state.of_path(path):
            yield symbol, _around(state, symbol)
    order = _by_query(state, query, most, commits) if query else _by_centrality(state, most)
    for symbol in order:
        if symbol.path not in focus:
            yield symbol, _around(state, symbol)


def _by_query(
    state: State, query: Query, most: int, commits: Mapping[str, float]
) -> Iterator[Symbol]:
    for scored in rank(state.view, query, most, _LOCALIZE, commits):
        symbol = state.segments[scored.segment].symbol(scored.doc)
        yield from (symbol,) if symbol.name else islice(_top_level(state, symbol.path), 3)


def _top_level(state: State, path: str) -> Iterator[Symbol]:
    """What stands for a file whose own text matched: its outermost definitions."""
    return (s for s in state.of_path(path) if "." not in s.name)


def _by_centrality(state: State, most: int) -> Iterator[Symbol]:
    """Equal scores in path and line order, not in that of documents: edits renumber them."""
    import numpy as np

    kinds = np.concatenate([np.zeros(0, np.uint8), *(s.kinds for s in state.view.segments)])
    score = np.round(state.centrality, 12)
    score[np.isin(kinds, (KINDS.index("constant"), KINDS.index("module")))] = 0.0
    if not len(score):
        return
    least = max(float(np.partition(score, -min(most, len(score)))[-min(most, len(score))]), 1e-12)
    found = []
    for at in np.flatnonzero(score >= least):
        segment = int(np.searchsorted(np.array(state.view.offsets[1:]), at, side="right"))
        doc = int(at) - state.view.offsets[segment]
        file = int(state.segments[segment].file_of[doc])
        path = state.segments[segment].paths[file]
        found.append((-float(score[at]), path, doc, segment))
    for _, _, doc, segment in sorted(found)[:most]:
        symbol = state.segments[segment].symbol(doc)
        yield symbol


def _around(state: State, symbol: Symbol) -> tuple[Symbol, ...]:
    """Enclosing definitions, outermost first, each once."""
    if "." not in symbol.name:
        return ()
    parts = symbol.name.split(".")
    wanted = [".".join(parts[:n]) for n in range(1, len(parts))]
    by_name: dict[str, Symbol] = {}
    for other in state.of_path(symbol.path):
        if other.name in wanted and other.line <= symbol.line <= other.end_line:
            by_name[other.name] = other
    return tuple(by_name[w] for w in wanted if w in by_name)
