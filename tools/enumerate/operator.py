"""What an edit operator is: a name, a cost tier, and a function from a node to edits."""

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tools.enumerate.code import Code, Edit

__all__ = ["Maker", "Operator", "called", "operator"]

Maker = Callable[[Code, ast.AST], Iterable[Edit]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One way to change code. Tier 0 is tried first."""

    name: str
    tier: int
    about: str
    """One line; the first line of the maker's docstring."""
    make: Maker


def operator(table: list[Operator], name: str, tier: int) -> Callable[[Maker], Maker]:
    """Enter a maker in a table."""

    def enter(make: Maker) -> Maker:
        about = (make.__doc__ or "").strip().splitlines()[0]
        table.append(Operator(name=name, tier=tier, about=about, make=make))
        return make

    return enter


def called(node: ast.Call) -> str:
    """The bare name a call names; empty if it calls the result of an expression."""
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""
