"""Places in the text: uses of a name, callers, lines that match a pattern.

The index says which definitions hold a name; the lines are read from the disk when asked for.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase

from tools.index.graph import lines_with
from tools.index.state import State
from tools.types import Hit, Symbol

__all__ = ["callers", "find", "grep", "references", "written"]

ReadText = Callable[[str], str | None]
"""The text of a file of the repository; None if it cannot be read."""

_REFERENCES = 500
"""Places a look-up of references returns at most."""
_SHOWN = 160
"""Characters of a line that are shown."""


def written(name: str) -> str:
    """A name as the index writes it: dots between the parts."""
    return name.replace("::", ".").replace("#", ".").replace("->", ".").strip(".$")


def find(state: State, name: str) -> tuple[Symbol, ...]:
    """Definitions called `name`; see `Index.find`."""
    name = written(name)
    docs = state.named(name.rpartition(".")[2])
    found = [state.segments[s].symbol(d) for s, d in docs]
    if "." in name:
        exact = [s for s in found if s.name == name or s.name.endswith("." + name)]
        found = exact or [s for s in found if _dotted(s).endswith("." + name)]
    return tuple(sorted(found, key=lambda s: (s.path, s.line, s.name)))


def _dotted(symbol: Symbol) -> str:
    module = symbol.path.rpartition(".")[0].replace("/", ".").removesuffix(".__init__")
    return f".{module}.{symbol.name}"


def references(state: State, read: ReadText, name: str) -> tuple[Hit, ...]:
    """Lines that use an identifier, its definitions first; at most 500."""
    hits = _uses(state, read, written(name).rpartition(".")[2])
    first = ("definition",)
    ordered = sorted(hits, key=lambda h: (h.reasons != first, h.path, h.line))
    return tuple(ordered[:_REFERENCES])


def _uses(state: State, read: ReadText, name: str) -> Iterator[Hit]:
    texts: dict[str, str] = {}
    done: set[tuple[str, int]] = set()
    # The innermost definition first, so that a line is given to it and not to what is around.
    docs = [state.segments[s].symbol(d) for s, d in state.using(name)]
    for symbol in sorted(docs, key=lambda s: (s.end_line - s.line, s.path, s.line)):
        text = texts.get(symbol.path)
        if text is None:
            text = texts[symbol.path] = read(symbol.path) or ""
        for number, line in lines_with(text, name, symbol.line, symbol.end_line):
            if (symbol.path, number) in done:
                continue
            done.add((symbol.path, number))
            own = symbol.name.rpartition(".")[2] == name and name in symbol.signature
            first = own and _defines(line, name)
            yield _at_line(symbol, number, "definition" if first else line.strip()[:_SHOWN])


def _at_line(symbol: Symbol, number: int, reason: str) -> Hit:
    return Hit(
        path=symbol.path, symbol=symbol.name or None, line=number, end_line=number, score=1.0,
        reasons=(reason,),
    )  # fmt: skip


def _defines(line: str, name: str) -> bool:
    head = line.partition(name)[0].split()
    return not head or head[-1].rstrip("*&") in _DEFINING or not line[:1].isspace()


_DEFINING = frozenset(
    "def class function func fn struct enum interface trait type const let var".split()
)


def callers(state: State, read: ReadText, symbol: Symbol) -> tuple[Hit, ...]:
    """Definitions that call a symbol by its name, those in its own file first."""
    name = symbol.name.rpartition(".")[2]
    homonyms = len(state.named(name))
    note = f"one of {homonyms} definitions of {name}" if homonyms > 1 else "only definition"
    first: dict[tuple[str, str | None], Hit] = {}
    for hit in _uses(state, read, name):
        own = hit.path == symbol.path and hit.symbol == symbol.name
        if own or hit.reasons == ("definition",) or f"{name}(" not in hit.reasons[0]:
            continue
        key = (hit.path, hit.symbol)
        if key not in first or hit.line < first[key].line:
            near = 1.0 if hit.path == symbol.path else 1.0 / max(homonyms, 1)
            first[key] = Hit(
                path=hit.path, symbol=hit.symbol, line=hit.line, end_line=hit.end_line,
                score=near, reasons=(hit.reasons[0], note),
            )  # fmt: skip
    return tuple(sorted(first.values(), key=lambda h: (-h.score, h.path, h.line)))


def grep(
    state: State, read: ReadText, pattern: str, limit: int, globs: Sequence[str]
) -> Iterator[Hit]:
    """Lines that match a regular expression, in the order of the paths; see `Index.grep`."""
    try:
        matcher = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
    found = 0
    for path in sorted(state.blobs):
        if globs and not any(fnmatchcase(path, g) or fnmatchcase(path, f"*/{g}") for g in globs):
            continue
        for number, line in enumerate((read(path) or "").split("\n"), 1):
            if not matcher.search(line[:_LONGEST]):
                continue
            if found >= limit:
                return
            found += 1
            yield _at_line(_around(state, path, number), number, line.strip()[:_SHOWN])


_LONGEST = 2000
"""Characters of a line that are searched: a pattern may cost the square of them."""


def _around(state: State, path: str, line: int) -> Symbol:
    """The innermost definition around a line; the file itself outside of any."""
    whole = Symbol(path=path, name="", kind="module", line=1, end_line=line, signature="")
    inside = [s for s in state.of_path(path) if s.line <= line <= s.end_line]
    return min(inside, key=lambda s: s.end_line - s.line, default=whole)
