"""Taking tests out of a tree: what the agent gets when an issue's tests are hidden."""

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

__all__ = ["hide_tests"]


def hide_tests(root: Path, ids: Iterable[str]) -> tuple[str, ...]:
    """Remove the functions of these pytest ids; the whole file where one cannot be found.

    Parameters in an id are ignored: a function goes with all of its cases. Returns the files that
    changed.
    """
    by_file: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for test_id in ids:
        path, _, rest = test_id.partition("::")
        by_file[path].add(tuple(rest.split("[", 1)[0].split("::")))
    for path, names in sorted(by_file.items()):
        file = root / path
        if not file.is_file():
            continue
        text = without(file.read_text(encoding="utf-8"), names)
        if text is None:
            file.unlink()
        else:
            file.write_text(text, encoding="utf-8")
    return tuple(sorted(by_file))


def without(source: str, names: Iterable[tuple[str, ...]]) -> str | None:
    """Source without the functions `("Class", "test")`; None if one is missing or nothing is left.

    Lines of others stay as they are. A class that would be empty goes too.
    """
    tree = ast.parse(source)
    doomed: set[ast.AST] = set()
    for name in names:
        node = _find(tree, name)
        if node is None:
            return None
        doomed.add(node)
    _widen(tree, doomed)
    if _is_empty(tree.body, doomed):
        return None
    lines = source.splitlines(keepends=True)
    for first, last in sorted(map(_span, doomed), reverse=True):
        del lines[first - 1 : last]
    return "".join(lines)


def _find(tree: ast.Module, name: tuple[str, ...]) -> ast.stmt | None:
    body: list[ast.stmt] = tree.body
    node: ast.stmt | None = None
    for part in name:
        defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        # the last definition of a name is the one that counts
        node = next((n for n in reversed(body) if isinstance(n, defined) and n.name == part), None)
        if node is None:
            return None
        body = node.body if isinstance(node, ast.ClassDef) else []
    return node


def _widen(tree: ast.Module, doomed: set[ast.AST]) -> None:
    """Classes of which nothing but a docstring is left are removed instead of their functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node not in doomed:
            mine = {n for n in node.body if n in doomed}
            if mine and _is_empty(node.body, doomed):
                doomed -= mine
                doomed.add(node)


def _is_empty(body: list[ast.stmt], doomed: set[ast.AST]) -> bool:
    left = [n for n in body if n not in doomed]
    return all(isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant) for n in left)


def _span(node: ast.AST) -> tuple[int, int]:
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    assert node.end_lineno is not None
    return min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.end_lineno
