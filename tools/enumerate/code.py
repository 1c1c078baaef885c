"""One Python source file: its text, its tree, and where each node's text stands.

Offsets are positions in the decoded text, with its own line ends; nothing here ever reformats.
"""

import ast
import io
import re
import tokenize
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Code", "Edit", "Scope", "decoded", "line_starts"]

_LINE_END = re.compile(r"\r\n|\r|\n")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `text[start:end]`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Names visible in one function, nearest first where order matters."""

    parameters: tuple[str, ...]
    locals: tuple[str, ...]
    """Parameters and every name assigned in the function, in order of appearance."""
    attributes: tuple[str, ...]
    """Attributes of `self` used or defined in the enclosing class."""
    methods: tuple[str, ...]
    """Methods of the enclosing class."""


def decoded(data: bytes) -> tuple[str, str]:
    """Text and encoding of a source file. Raises SyntaxError or UnicodeDecodeError."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return data.decode(encoding), encoding


def line_starts(text: str) -> Iterator[int]:
    """Where the second and all further lines begin; the end of the text if it ends a line."""
    return (m.end() for m in _LINE_END.finditer(text))


class Code:
    """A parsed file. Raises SyntaxError or UnicodeDecodeError if it is not Python."""

    def __init__(self, data: bytes, path: str) -> None:
        self.path = path
        self.text, self.encoding = decoded(data)
        self.tree = ast.parse(self.text)
        self.starts = [0, *line_starts(self.text)]
        self.parents: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
        self._scopes: dict[ast.AST, Scope] = {}

    # ------------------------------------------------------------------ positions

    def offset(self, line: int, column: int) -> int:
        """Text offset of a 1-based line and a UTF-8 byte column, as `ast` counts them."""
        start = self.starts[line - 1]
        end = self.starts[line] if line < len(self.starts) else len(self.text)
        row = self.text[start:end]
        if row.isascii():
            return start + column
        return start + len(row.encode()[:column].decode(errors="ignore"))

    def span(self, node: ast.AST) -> tuple[int, int]:
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        last, stop = getattr(node, "end_lineno", line), getattr(node, "end_col_offset", column)
        return self.offset(line, column), self.offset(last, stop)

    def source(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def line_of(self, offset: int) -> int:
        return bisect_right(self.starts, offset)

    def line_span(self, first: int, last: int) -> tuple[int, int]:
        """Offsets of whole lines, the last line end included."""
        end = self.starts[last] if last < len(self.starts) else len(self.text)
        return self.starts[first - 1], end

    def indent(self, node: ast.stmt) -> str:
        """The white space before a statement; empty if other code stands before it."""
        start = self.starts[node.lineno - 1]
        before = self.text[start : self.span(node)[0]]
        return before if not before.strip() else ""

    def own_line(self, node: ast.stmt) -> bool:
        """Whether the statement shares its lines with no other."""
        start, end = self.span(node)
        before = self.text[self.starts[node.lineno - 1] : start]
        last = node.end_lineno or node.lineno
        after = self.text[end : self.line_span(last, last)[1]].split("#")[0]
        return not before.strip() and not after.strip()

    @cached_property
    def newline(self) -> str:
        found = _LINE_END.search(self.text)
        return found[0] if found is not None else "\n"

    @cached_property
    def step(self) -> str:
        """One level of indentation."""
        for node in ast.walk(self.tree):
            body = getattr(node, "body", None)
            if isinstance(node, ast.stmt) and isinstance(body, list) and body:
                inner, outer = self.indent(body[0]), self.indent(node)
                if len(inner) > len(outer) and inner.startswith(outer):
                    return inner[len(outer) :]
        return "    "

    # ------------------------------------------------------------------ edits

    def replace(self, node: ast.AST, text: str) -> Edit:
        return Edit(*self.span(node), text)

    def gap(self, left: ast.AST, right: ast.AST, old: str, new: str) -> Edit | None:
        """Replace the operator `old` that stands between two nodes."""
        position, end = self.span(left)[1], self.span(right)[0]
        pattern = re.compile(r"\s+".join(map(re.escape, old.split())))
        while position < end:
            char = self.text[position]
            if char == "#":
                found = _LINE_END.search(self.text, position)
                position = found.end() if found is not None else end
            elif char in ") \t\r\n\\\f":
                position += 1
            else:
                match = pattern.match(self.text, position)
                return Edit(position, match.end(), new) if match is not None else None
        return None

    def wrapped(self, node: ast.AST) -> str:
        """The node's text, parenthesised unless it binds tighter than any operator."""
        text = self.source(node)
        atoms = ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Constant
        if isinstance(node, atoms | ast.List | ast.Dict | ast.Set | ast.JoinedStr | ast.ListComp):
            return text
        if isinstance(node, ast.Tuple) and text.startswith("("):
            return text
        return f"({text})"

    # ------------------------------------------------------------------ context

    def statement(self, node: ast.AST) -> ast.stmt | None:
        """The innermost statement a node belongs to."""
        at: ast.AST | None = node
        while at is not None and not isinstance(at, ast.stmt):
            at = self.parents.get(at)
        return at

    def function(self, node: ast.AST) -> FunctionNode | None:
        """The innermost function around a node, the node itself left out."""
        at = self.parents.get(node)
        while at is not None and not isinstance(at, FunctionNode):
            at = self.parents.get(at)
        return at

    def enclosing_class(self, node: ast.AST) -> ast.ClassDef | None:
        at: ast.AST | None = node
        while at is not None and not isinstance(at, ast.ClassDef):
            at = self.parents.get(at)
        return at

    def in_loop(self, node: ast.AST) -> bool:
        at = self.parents.get(node)
        while at is not None and not isinstance(at, FunctionNode | ast.ClassDef):
            if isinstance(at, ast.For | ast.While | ast.AsyncFor):
                return True
            at = self.parents.get(at)
        return False

    def block(self, node: ast.stmt) -> list[ast.stmt]:
        """The list of statements the node stands in."""
        parent = self.parents.get(node)
        for name in ("body", "orelse", "finalbody", "handlers"):
            block = getattr(parent, name, None)
            if isinstance(block, list) and node in block:
                return block
        return [node]

    def region(self, node: ast.AST) -> ast.stmt | None:
        """The smallest part that parses alone: an outermost function or a plain statement."""
        best: ast.stmt | None = None
        at: ast.AST | None = node
        while at is not None:
            parent = self.parents.get(at)
            if isinstance(at, FunctionNode):
                best = at
            elif best is None and isinstance(parent, ast.Module | ast.ClassDef):
                best = at if isinstance(at, ast.stmt) else None
            at = parent
        return best

    def scope(self, node: ast.AST) -> Scope:
        """What is visible at a node."""
        around = self.function(node) if not isinstance(node, FunctionNode) else node
        key: ast.AST = around if around is not None else self.tree
        if key not in self._scopes:
            self._scopes[key] = self._make_scope(key)
        return self._scopes[key]

    def _make_scope(self, key: ast.AST) -> Scope:
        parameters: list[str] = []
        if isinstance(key, FunctionNode):
            a = key.args
            every = [*a.posonlyargs, *a.args, *a.kwonlyargs]
            every += [x for x in (a.vararg, a.kwarg) if x is not None]
            parameters = [x.arg for x in every]
        names = dict.fromkeys(parameters)
        for node in ast.walk(key):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names[node.id] = None
        owner = self.enclosing_class(key)
        return Scope(
            parameters=tuple(p for p in parameters if p not in ("self", "cls")),
            locals=tuple(n for n in names if n not in ("self", "cls", "_")),
            attributes=tuple(dict.fromkeys(_self_attributes(owner))) if owner else (),
            methods=tuple(n.name for n in owner.body if isinstance(n, FunctionNode))
            if owner
            else (),
        )

    @cached_property
    def module_names(self) -> tuple[str, ...]:
        """Functions, classes and constants defined at the top of the module."""
        names: dict[str, None] = {}
        for node in self.tree.body:
            if isinstance(node, FunctionNode | ast.ClassDef):
                names[node.name] = None
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                for name in ast.walk(node):
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                        names[name.id] = None
        return tuple(names)

    @cached_property
    def functions(self) -> dict[str, FunctionNode]:
        """Functions and methods of the file by bare name; the first of a name wins."""
        found: dict[str, FunctionNode] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, FunctionNode):
                found.setdefault(node.name, node)
        return found

    @cached_property
    def attribute_names(self) -> tuple[str, ...]:
        """Every attribute the file mentions, in order of appearance."""
        found = (n.attr for n in ast.walk(self.tree) if isinstance(n, ast.Attribute))
        return tuple(dict.fromkeys(found))

    def names_before(self, node: ast.AST) -> tuple[str, ...]:
        """Local names by distance from the node: the likeliest replacement is used nearby."""
        around: ast.AST = self.function(node) or self.tree
        line = getattr(node, "lineno", 1)
        nearest: dict[str, int] = {}
        for other in ast.walk(around):
            if isinstance(other, ast.Name | ast.arg):
                name = other.id if isinstance(other, ast.Name) else other.arg
                distance = abs(other.lineno - line)
                nearest[name] = min(nearest.get(name, distance), distance)
        known = [n for n in self.scope(node).locals if n in nearest]
        return tuple(sorted(known, key=lambda n: nearest[n]))


def _self_attributes(owner: ast.ClassDef) -> Iterator[str]:
    for node in ast.walk(owner):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        ):
            yield node.attr
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if node in owner.body:
                yield node.target.id
