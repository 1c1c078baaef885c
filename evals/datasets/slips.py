"""What goes wrong when people write code, for the injector: its own table, shared with nothing.

A slip takes a function's source and says which spans would read otherwise. `reach` slips are one
small edit; `beyond` slips lose something that a single small edit does not bring back.
"""

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["SLIPS", "Function", "Replace", "Slip", "Source", "functions"]

Replaced = tuple["Replace", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Bytes `start` to `end` (half open) become `text`."""

    start: int
    end: int
    text: bytes


class Source:
    """A module's bytes and where its nodes are in them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.tree = ast.parse(data)
        self._starts = [0]
        for line in data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._starts[node.lineno - 1] + node.col_offset
        return start, self._starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.expr | ast.stmt) -> bytes:
        start, end = self.span(node)
        return self.data[start:end]

    def lines(self, first: ast.stmt, last: ast.stmt) -> tuple[int, int]:
        """The whole lines of statements, with what follows them on the last one."""
        assert last.end_lineno is not None
        return self._starts[first.lineno - 1], self._starts[last.end_lineno]

    def swap(self, node: ast.expr | ast.stmt, text: bytes) -> Replace:
        start, end = self.span(node)
        return Replace(start=start, end=end, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of a module, with its dotted name."""

    name: str
    node: ast.FunctionDef
    source: Source


Maker = Callable[[Function], Iterator[Replaced]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """A way to go wrong."""

    name: str
    stratum: Literal["reach", "beyond"]
    make: Maker


SLIPS: list[Slip] = []


def slip(name: str, stratum: Literal["reach", "beyond"]) -> Callable[[Maker], Maker]:
    def enter(make: Maker) -> Maker:
        SLIPS.append(Slip(name=name, stratum=stratum, make=make))
        return make

    return enter


def functions(source: Source) -> Iterator[Function]:
    """Functions and methods, not those inside others and not dunder methods but `__init__`."""

    def walk(body: Sequence[ast.stmt], prefix: str) -> Iterator[Function]:
        for node in body:
            if isinstance(node, ast.FunctionDef):
                if not node.name.startswith("__") or node.name == "__init__":
                    yield Function(name=prefix + node.name, node=node, source=source)
            elif isinstance(node, ast.ClassDef):
                yield from walk(node.body, f"{prefix}{node.name}.")

    yield from walk(source.tree.body, "")


def _inside(function: Function) -> Iterator[ast.AST]:
    """The nodes of the body, without docstring, decorators and annotations."""
    body = function.node.body
    start = 1 if ast.get_docstring(function.node, clean=False) is not None else 0
    for statement in body[start:]:
        yield from ast.walk(statement)


# --------------------------------------------------------------------------- one small edit

LIMITS = {ast.Lt: b"<=", ast.LtE: b"<", ast.Gt: b">=", ast.GtE: b">"}


@slip("limit", "reach")
def limit(function: Function) -> Iterator[Replaced]:
    """Whether the limit itself is in."""
    source = function.source
    for node in _inside(function):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in LIMITS:
            left, right = source.text(node.left), source.text(node.comparators[0])
            sign = LIMITS[type(node.ops[0])]
            yield (source.swap(node, left + b" " + sign + b" " + right),)


@slip("contrary", "reach")
def contrary(function: Function) -> Iterator[Replaced]:
    """A condition taken the wrong way round."""
    source = function.source
    for node in _inside(function):
        if not isinstance(node, ast.If | ast.IfExp | ast.While):
            continue
        if isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not):
            yield (source.swap(node.test, source.text(node.test.operand)),)
        elif isinstance(node.test, ast.Name | ast.Attribute | ast.Call):
            yield (source.swap(node.test, b"not " + source.text(node.test)),)


@slip("neighbour", "reach")
def neighbour(function: Function) -> Iterator[Replaced]:
    """The next element, or the one before."""
    source = function.source
    for node in _inside(function):
        if not isinstance(node, ast.Subscript):
            continue
        bounds = [node.slice]
        if isinstance(node.slice, ast.Slice):
            bounds = [b for b in (node.slice.lower, node.slice.upper) if b is not None]
        for bound in bounds:
            if isinstance(bound, ast.Constant) and type(bound.value) is int:
                yield (source.swap(bound, str(bound.value + 1).encode()),)


@slip("mistaken", "reach")
def mistaken(function: Function) -> Iterator[Replaced]:
    """Another parameter than the one that was meant."""
    source = function.source
    names = [a.arg for a in function.node.args.args if a.arg not in ("self", "cls")]
    for node in _inside(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
            for other in names:
                if other != node.id:
                    yield (source.swap(node, other.encode()),)


@slip("exchanged", "reach")
def exchanged(function: Function) -> Iterator[Replaced]:
    """Two arguments of a call in each other's place."""
    source = function.source
    for node in _inside(function):
        if isinstance(node, ast.Call) and len(node.args) >= 2:
            a, b = node.args[0], node.args[1]
            if not isinstance(a, ast.Starred) and not isinstance(b, ast.Starred):
                yield source.swap(a, source.text(b)), source.swap(b, source.text(a))


@slip("either", "reach")
def either(function: Function) -> Iterator[Replaced]:
    """One of two conditions where both were meant, or both where one would do."""
    source = function.source
    for node in _inside(function):
        if isinstance(node, ast.BoolOp) and len(node.values) == 2:
            word = b" or " if isinstance(node.op, ast.And) else b" and "
            left, right = (source.text(v) for v in node.values)
            yield (source.swap(node, left + word + right),)


# --------------------------------------------------------------------------- beyond

LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)


def _blocks(function: Function) -> Iterator[list[ast.stmt]]:
    for node in (function.node, *_inside(function)):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                yield block


@slip("unguarded", "beyond")
def unguarded(function: Function) -> Iterator[Replaced]:
    """A case nobody thought of: the guard is not there."""
    source = function.source
    for block in _blocks(function):
        for node in block[:-1]:
            if not isinstance(node, ast.If) or node.orelse or not isinstance(node.body[-1], LEAVES):
                continue
            start, end = source.lines(node, node)
            yield (Replace(start=start, end=end, text=b""),)


@slip("unhandled", "beyond")
def unhandled(function: Function) -> Iterator[Replaced]:
    """One kind of input fewer: an `elif` that is not there."""
    source = function.source
    for node in _inside(function):
        if not isinstance(node, ast.If) or len(node.orelse) != 1:
            continue
        arm = node.orelse[0]
        if not isinstance(arm, ast.If) or arm.col_offset != node.col_offset:
            continue
        start, end = source.lines(arm, arm.body[-1])
        yield (Replace(start=start, end=end, text=b""),)


@slip("unprepared", "beyond")
def unprepared(function: Function) -> Iterator[Replaced]:
    """A value used as it came: the step that would make it ready is not there."""
    source = function.source
    for block in _blocks(function):
        for node in block[:-1]:
            if isinstance(node, ast.AugAssign) or _of_itself(node) or _fills(node):
                start, end = source.lines(node, node)
                yield (Replace(start=start, end=end, text=b""),)


def _of_itself(node: ast.stmt) -> bool:
    """`name = …name…`."""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
        return False
    name = node.targets[0].id
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node.value))


def _fills(node: ast.stmt) -> bool:
    """An `if` that only gives something a value."""
    return (
        isinstance(node, ast.If)
        and not node.orelse
        and all(isinstance(n, ast.Assign | ast.AugAssign) for n in node.body)
    )


@slip("formula", "beyond")
def formula(function: Function) -> Iterator[Replaced]:
    """A formula got wrong: grouped otherwise, and with another sign."""
    source = function.source
    signs: dict[type[ast.operator], bytes] = {
        **{ast.Add: b"-", ast.Sub: b"+", ast.Mult: b"+", ast.FloorDiv: b"%", ast.Mod: b"//"},
        ast.Div: b"*",
    }
    for node in _inside(function):
        if not isinstance(node, ast.BinOp) or not isinstance(node.left, ast.BinOp):
            continue
        inner = node.left
        if type(node.op) not in signs or type(inner.op) not in signs or _is_text(node):
            continue
        a, b, c = (source.text(n) for n in (inner.left, inner.right, node.right))
        outer, within = signs[type(node.op)], signs[type(inner.op)]
        yield (source.swap(node, a + b" " + within + b" (" + b + b" " + outer + b" " + c + b")"),)


def _is_text(node: ast.BinOp) -> bool:
    """Strings are joined and formatted by the same signs."""
    return any(
        isinstance(n, ast.JoinedStr) or (isinstance(n, ast.Constant) and isinstance(n.value, str))
        for n in ast.walk(node)
    )


@slip("coarse", "beyond")
def coarse(function: Function) -> Iterator[Replaced]:
    """Of three or more conditions only the first was thought of."""
    source = function.source
    for node in _inside(function):
        if isinstance(node, ast.BoolOp) and len(node.values) >= 3:
            yield (source.swap(node, source.text(node.values[0])),)
