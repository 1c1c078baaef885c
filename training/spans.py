"""A function's syntax tree together with byte offsets into its text, for the operators."""

import ast
import re
import textwrap
import warnings
from dataclasses import dataclass, field

__all__ = ["Change", "Scope", "scope_of"]


@dataclass(frozen=True, slots=True)
class Change:
    """Bytes start..end of the source become `text`."""

    start: int
    end: int
    text: str


@dataclass(slots=True)
class Scope:
    """One function: text, tree, and the names an operator may put in place of others."""

    source: str
    data: bytes
    tree: ast.AST
    dump: str
    starts: list[int]  # byte offset of each line
    indent: int  # columns taken off for parsing
    nodes: list[ast.AST]
    docs: set[int]  # ids of docstring nodes and of all annotations' parts
    locals: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)

    def of(self, *kinds: type[ast.AST]) -> list[ast.AST]:
        """The nodes of those kinds that are neither docstring nor annotation."""
        return [n for n in self.nodes if isinstance(n, kinds) and id(n) not in self.docs]

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Byte offsets of a node."""
        return (
            self.starts[node.lineno - 1] + node.col_offset + self.indent,
            self.starts[node.end_lineno - 1] + node.end_col_offset + self.indent,
        )

    def text(self, node: ast.AST) -> str:
        """Source text of a node."""
        start, end = self.span(node)
        return self.data[start:end].decode()

    def swap(self, node: ast.AST, text: str) -> Change:
        """Put `text` in a node's place."""
        return Change(*self.span(node), text)

    def between(self, left: ast.AST, right: ast.AST, pattern: str, text: str) -> Change | None:
        """Replace the only match of `pattern` in the text between two nodes."""
        start, end = self.span(left)[1], self.span(right)[0]
        gap = self.data[start:end].decode()
        found = re.search(pattern, gap)
        if found is None:
            return None
        before = len(gap[: found.start()].encode())
        return Change(start + before, start + before + len(found[0].encode()), text)

    def lines(self, node: ast.AST) -> tuple[int, int]:
        """Byte offsets of the whole lines a statement stands on, last newline included."""
        end = self.starts[node.end_lineno] if node.end_lineno < len(self.starts) else len(self.data)
        return self.starts[node.lineno - 1], end


def scope_of(source: str) -> Scope | None:
    """The scope of one function's whole lines; None when dedenting them does not parse."""
    indent = len(source) - len(source.lstrip(" "))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(textwrap.dedent(source))
    except (SyntaxError, ValueError):
        return None
    first = module.body[0] if module.body else None
    # Dedenting shifts columns by `indent` on every line only if no line stands further left.
    shifted = all(not t or t[:indent].isspace() or not indent for t in source.split("\n"))
    if not isinstance(first, ast.FunctionDef | ast.AsyncFunctionDef) or not shifted:
        return None
    data = source.encode()
    starts = [0]
    starts.extend(i + 1 for i, byte in enumerate(data) if byte == 10)
    scope = Scope(
        source=source,
        data=data,
        tree=first,
        dump=ast.dump(module),
        starts=starts,
        indent=indent,
        nodes=list(ast.walk(first)),
        docs=_skipped(first),
    )
    _names(scope)
    return scope


def _skipped(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    """Docstrings, annotations, and pieces of f-strings (their columns lie before 3.12)."""
    roots: list[ast.AST] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            roots.append(node)
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            roots.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            roots.append(node.returns)
        elif isinstance(node, ast.JoinedStr):
            roots.append(node)
    return {id(part) for root in roots for part in ast.walk(root)}


def _names(scope: Scope) -> None:
    locals_, attributes, strings, methods = {}, {}, {}, {}
    for node in scope.nodes:
        if id(node) in scope.docs:
            continue
        if isinstance(node, ast.arg):
            locals_[node.arg] = None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            locals_[node.id] = None
        elif isinstance(node, ast.Attribute):
            attributes[node.attr] = None
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings[node.value] = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            methods[node.func.attr] = None
    scope.locals = [n for n in locals_ if n not in ("self", "cls")]
    scope.attributes, scope.strings, scope.methods = list(attributes), list(strings), list(methods)
