"""The map: ranked signatures to a token budget, grouped by file."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tools.index.model import CountTokens, RepoMap
from tools.types import Symbol

__all__ = ["Counter", "render"]

_MISSES = 40
"""Signatures that may be too long for what is left before the map is called full."""


@dataclass
class Counter:
    """Token counts of lines, each counted once for the life of the index."""

    count: CountTokens
    known: dict[str, int] = field(default_factory=dict)

    def __call__(self, line: str) -> int:
        tokens = self.known.get(line)
        if tokens is None:
            tokens = self.known[line] = self.count(line)
        return tokens


def render(
    ranked: Iterable[tuple[Symbol, tuple[Symbol, ...]]], budget: int, counter: Counter
) -> RepoMap:
    """`ranked`: symbols with the classes around them, best first.

    Files stand in the order of their best symbol, symbols of a file in source order. Lines are
    counted one by one; the whole text is counted once at the end, and lines are taken back from
    the worst up in the rare case that a tokenizer counts the whole higher than its lines.
    """
    chosen: dict[str, dict[int, Symbol]] = {}
    order: list[tuple[str, list[int]]] = []
    left, misses = budget, 0
    for symbol, around in ranked:
        own = chosen.get(symbol.path, {})
        new = [s for s in (*around, symbol) if s.line not in own or own[s.line].name != s.name]
        if not new:
            continue
        cost = sum(counter(_line(s)) for s in new)
        cost += 0 if own else counter(f"{symbol.path}:\n")
        if cost > left:
            misses += 1
            if misses > _MISSES or left < 8:
                break
            continue
        left -= cost
        chosen.setdefault(symbol.path, {}).update({s.line: s for s in new})
        order.append((symbol.path, [s.line for s in new]))
    text = _text(chosen)
    while (tokens := counter.count(text) if text else 0) > budget:
        path, lines = order.pop()
        for line in lines:
            del chosen[path][line]
        if not chosen[path]:
            del chosen[path]
        text = _text(chosen)
    return RepoMap(text=text, tokens=tokens, symbols=sum(map(len, chosen.values())))


def _line(symbol: Symbol) -> str:
    depth = symbol.name.count(".") if symbol.kind in ("method", "constant", "class") else 0
    return f"{'  ' * min(depth + 1, 5)}{symbol.signature or symbol.name}  :{symbol.line}\n"


def _text(chosen: dict[str, dict[int, Symbol]]) -> str:
    parts = []
    for path, symbols in chosen.items():
        parts.append(f"{path}:\n")
        parts += (_line(symbols[number]) for number in sorted(symbols))
    return "".join(parts)
