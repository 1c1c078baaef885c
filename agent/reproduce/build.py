"""From statements of an issue to a self-contained pytest file."""

import ast
import builtins
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from agent.reproduce.types import Draft, Origin, Reason

__all__ = ["Resolve", "build", "called_names", "free_names", "joinable", "parse", "together"]

Resolve = Callable[[str], str | None]
"""A name as the issue uses it -> the dotted module of the repository to import it from."""

_HEADER = '"""Drafted from the issue: red as long as the problem is there."""\n\n'
MAX_SOURCE = 8000


def parse(code: str) -> list[ast.stmt] | None:
    """Statements of a piece of code; None if it is not Python."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return [s for node in tree.body for s in _flat(node)]


def _flat(node: ast.stmt) -> list[ast.stmt]:
    """The body of `if __name__ == "__main__":` stands for itself."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Compare):
        left = node.test.left
        if isinstance(left, ast.Name) and left.id == "__name__":
            return node.body
    return [node]


def called_names(nodes: Sequence[ast.AST]) -> set[str]:
    """Bare names and last attributes that are called."""
    found = set()
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Name):
                    found.add(node.func.id)
                elif isinstance(node.func, ast.Attribute):
                    found.add(node.func.attr)
    return found


def free_names(nodes: Sequence[ast.AST]) -> list[str]:
    """Names that are used and not defined, in order of appearance."""
    stored: set[str] = set()
    used: dict[str, None] = {}
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                used[node.id] = None
            stored |= _defined(node)
    return [n for n in used if n not in stored and not hasattr(builtins, n)]


def _defined(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Name):
        return set() if isinstance(node.ctx, ast.Load) else {node.id}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {a.asname or a.name.split(".")[0] for a in node.names}
    if isinstance(node, ast.arg):
        return {node.arg}
    if isinstance(node, ast.ExceptHandler) and node.name:
        return {node.name}
    return set()


def build(
    nodes: Sequence[ast.stmt],
    resolve: Resolve,
    *,
    reason: Reason,
    confidence: float,
    origin: Origin,
) -> Draft | None:
    """A draft whose one test runs `nodes`; None if a name cannot be imported from anywhere.

    Imports move to the top of the file, where a `*` is allowed and a wrong one shows itself.
    """
    imports = [n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
    body = [n for n in nodes if not isinstance(n, ast.Import | ast.ImportFrom)]
    star = any(a.name == "*" for n in imports for a in n.names)
    lines = [ast.unparse(n) for n in imports if _absolute(n)]
    for name in free_names(nodes):
        line = _import_of(name, resolve)
        if line is None and not star:
            return None
        if line is not None:
            lines.append(line)
    if not body or not _touches_repository(nodes, resolve, lines):
        return None
    if reason.kind == "silent":
        lines.insert(0, "import pytest")
    test = ast.FunctionDef(
        name="test_issue",
        args=ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]),
        body=list(body),
        decorator_list=[],
        lineno=1,
    )
    head = "\n".join(dict.fromkeys(lines))
    source = f"{_HEADER}{head}\n\n\n{ast.unparse(test)}\n"
    if len(source) > MAX_SOURCE or parse(source) is None:
        return None
    return Draft(
        source=source,
        tests=("test_issue",),
        reason=reason,
        confidence=confidence,
        origin=origin,
    )


def joinable(draft: Draft) -> bool:
    """Whether `together` can add it: one test, which may import what it needs itself."""
    return draft.origin in ("code", "doctest", "phrase") and "import *" not in draft.source


def together(first: Draft, others: Sequence[Draft]) -> Draft:
    """One file with the tests of several drafts; the names of one are none of another's."""
    parts, names = [first.source.rstrip()], list(first.tests)
    for other in others:
        body = ast.parse(other.source).body
        imports = [n for n in body if isinstance(n, ast.Import | ast.ImportFrom)]
        test = next(n for n in body if isinstance(n, ast.FunctionDef))
        test.name = f"{test.name}_{len(names) + 1}"
        test.body = [*imports, *test.body]
        names.append(test.name)
        parts.append(ast.unparse(test))
    return replace(first, source="\n\n\n".join(parts) + "\n", tests=tuple(names))


def _absolute(node: ast.Import | ast.ImportFrom) -> bool:
    return isinstance(node, ast.Import) or node.level == 0


def _import_of(name: str, resolve: Resolve) -> str | None:
    module = resolve(name)
    if module is not None:
        if module == name:
            return f"import {name}"
        return f"from {module} import {name}"
    return f"import {name}" if name in sys.stdlib_module_names else None


def _touches_repository(nodes: Sequence[ast.AST], resolve: Resolve, imports: Sequence[str]) -> bool:
    """A test that uses nothing of the repository cannot show a bug of it."""
    if any(resolve(n) is not None for n in free_names(nodes)):
        return True
    outside = sys.stdlib_module_names
    roots = {x.split()[1].split(".")[0] for x in imports}
    return any(root not in outside and root != "pytest" for root in roots)


def with_imports(code: str, nodes: Sequence[ast.stmt], resolve: Resolve) -> str | None:
    """A test file as it is written, with the imports it lacks; None if one cannot be found."""
    missing = [n for n in free_names(nodes) if n not in ("pytest",)]
    lines = []
    for name in missing:
        line = _import_of(name, resolve)
        if line is None:
            return None
        lines.append(line)
    uses_pytest = "pytest." in code and "import pytest" not in code
    lines += ["import pytest"] if uses_pytest else []
    if not missing and not any(isinstance(n, ast.Import | ast.ImportFrom) for n in nodes):
        return None
    return "\n".join([*lines, code]) if lines else code
