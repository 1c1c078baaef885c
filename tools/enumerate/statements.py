"""Operators on the statements there are: flow, results, order, indentation, handlers."""

import ast
from collections.abc import Iterator

from tools.enumerate.code import Code, Edit, FunctionNode
from tools.enumerate.operator import Operator, operator

OPERATORS: list[Operator] = []

_SIMPLE = (
    ast.Assign
    | ast.AugAssign
    | ast.AnnAssign
    | ast.Expr
    | ast.Return
    | ast.Raise
    | ast.Assert
    | ast.Delete
    | ast.Break
    | ast.Continue
    | ast.Pass
)
_WIDER = {
    "KeyError": ("LookupError", "(KeyError, TypeError)", "(KeyError, AttributeError)"),
    "IndexError": ("LookupError", "(IndexError, TypeError)", "(IndexError, ValueError)"),
    "ValueError": ("(TypeError, ValueError)", "(ValueError, OverflowError)"),
    "TypeError": ("(TypeError, ValueError)", "(TypeError, AttributeError)"),
    "AttributeError": ("(AttributeError, TypeError)", "(AttributeError, KeyError)"),
    "FileNotFoundError": ("OSError",),
    "IOError": ("Exception",),
    "OSError": ("(OSError, ValueError)",),
    "ImportError": ("Exception",),
    "ModuleNotFoundError": ("ImportError",),
    "ZeroDivisionError": ("ArithmeticError", "(ZeroDivisionError, TypeError)"),
    "UnicodeDecodeError": ("ValueError",),
    "StopIteration": ("(StopIteration, RuntimeError)",),
    "Exception": ("BaseException",),
}


@operator(OPERATORS, "loop-exit", 0)
def loop_exit(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`break`, `continue`, `return` and `pass` exchanged."""
    if isinstance(node, ast.Break | ast.Continue | ast.Pass) or (
        isinstance(node, ast.Return) and node.value is None
    ):
        words = ["return", "pass"]
        if code.in_loop(node):
            words = ["break", "continue", *words]
        for word in words:
            if code.source(node) != word:
                yield code.replace(node, word)
    elif isinstance(node, ast.Return) and code.in_loop(node):
        yield code.replace(node, "continue")
        yield code.replace(node, "break")


@operator(OPERATORS, "return-value", 1)
def return_value(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`return x` to `return not x`, a constant, another local; `yield` and `yield from`."""
    if isinstance(node, ast.Return):
        current = code.source(node.value) if node.value is not None else ""
        if node.value is not None:
            yield code.replace(node.value, f"not {code.wrapped(node.value)}")
            yield code.replace(node, f"yield {current}")
        constants = ("None", "True", "False", "0", "1", "-1", "[]", "''", "{}", "self")
        for new in (*code.names_before(node)[:8], *constants):
            if new != current and (new != "self" or code.scope(node).attributes):
                yield code.replace(node, f"return {new}")
    elif isinstance(node, ast.Yield) and node.value is not None:
        yield code.replace(node, f"yield from {code.source(node.value)}")
        yield code.replace(node, f"return {code.source(node.value)}")
    elif isinstance(node, ast.YieldFrom):
        yield code.replace(node, f"yield {code.source(node.value)}")


@operator(OPERATORS, "return-missing", 1)
def return_missing(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A result computed but dropped: `f(x)` to `return f(x)`, `s.strip()` to `s = s.strip()`."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Name | ast.BinOp):
        if code.function(node) is not None:
            yield code.replace(node, f"return {code.source(node.value)}")
            if isinstance(node.value, ast.Call):
                yield code.replace(node, f"yield from {code.source(node.value)}")
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        # Methods of immutable values give a new one: `s.strip()` alone does nothing.
        callee = node.value.func
        if isinstance(callee, ast.Attribute) and isinstance(callee.value, ast.Name):
            yield code.replace(node, f"{callee.value.id} = {code.source(node)}")


@operator(OPERATORS, "delete", 1)
def delete(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A statement deleted; `pass` where it stood alone."""
    if isinstance(node, _SIMPLE) and not isinstance(node, ast.Pass) and code.own_line(node):
        if len(code.block(node)) > 1:
            last = node.end_lineno or node.lineno
            yield Edit(*code.line_span(node.lineno, last), "")
        else:
            yield code.replace(node, "pass")


@operator(OPERATORS, "reorder", 1)
def reorder(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A statement exchanged with the one before or after it."""
    if not isinstance(node, ast.stmt) or not code.own_line(node):
        return
    block = code.block(node)
    at = block.index(node)
    for left, right in ((at - 1, at), (at, at + 1)):
        if 0 <= left and right < len(block):
            one, two = block[left], block[right]
            if code.own_line(one) and code.own_line(two) and movable(one) and movable(two):
                (a, b), (c, d) = code.span(one), code.span(two)
                yield Edit(a, d, code.text[c:d] + code.text[b:c] + code.text[a:b])


def movable(node: ast.stmt) -> bool:
    return not isinstance(node, FunctionNode | ast.ClassDef)


@operator(OPERATORS, "indent", 1)
def indent(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A statement moved out of its block, or into the block before it."""
    if not isinstance(node, ast.stmt) or not code.own_line(node) or not movable(node):
        return
    last = node.end_lineno or node.lineno
    start, end = code.line_span(node.lineno, last)
    text, block = code.text[start:end], code.block(node)
    parent = code.parents.get(node)
    alone = len(block) == 1
    if node is block[-1] and isinstance(parent, ast.stmt) and movable(parent) and not alone:
        outer = code.indent(parent)
        yield Edit(start, end, _shift(text, code.indent(node), outer))
        # Out of an `if` whose `else` follows: past the end of the whole statement.
        if (parent.end_lineno or 0) > last:
            after = code.line_span(parent.lineno, parent.end_lineno or parent.lineno)[1]
            moved = _shift(text, code.indent(node), outer)
            yield Edit(start, after, code.text[end:after] + moved)
    at = block.index(node)
    if at > 0:
        inner = _inner_indents(code, block[at - 1])
        for deeper in inner:
            yield Edit(start, end, _shift(text, code.indent(node), deeper))


def _inner_indents(code: Code, node: ast.stmt) -> list[str]:
    """Indentations of the blocks that end right before the next statement, outermost first."""
    found: list[str] = []
    at: ast.stmt | None = node
    while at is not None and not isinstance(at, FunctionNode | ast.ClassDef):
        blocks = [getattr(at, n, None) for n in ("finalbody", "orelse", "handlers", "body")]
        last = next((b[-1] for b in blocks if isinstance(b, list) and b), None)
        at = last if isinstance(last, ast.stmt) else None
        if at is not None:
            found.append(code.indent(at))
    return found


def _shift(text: str, old: str, new: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(new + x[len(old) :] if x.startswith(old) else x for x in lines)


@operator(OPERATORS, "duplicate", 2)
def duplicate(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A statement done twice, or once more after the loop it stands in."""
    if isinstance(node, ast.AugAssign | ast.Expr | ast.Assign) and code.own_line(node):
        start, end = code.line_span(node.lineno, node.end_lineno or node.lineno)
        text = code.text[start:end]
        yield Edit(start, start, text if text.endswith(("\n", "\r")) else text + code.newline)
        parent = code.parents.get(node)
        if isinstance(parent, ast.For | ast.While):
            after = code.line_span(parent.lineno, parent.end_lineno or parent.lineno)[1]
            lead = "" if code.text[:after].endswith(("\n", "\r")) else code.newline
            moved = _shift(text, code.indent(node), code.indent(parent))
            yield Edit(after, after, lead + moved)


@operator(OPERATORS, "branch-kind", 1)
def branch_kind(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`if` to `while` and back, `elif` to `if` and back, `if True`, `else` dropped."""
    if isinstance(node, ast.If | ast.While):
        start = code.span(node)[0]
        word = "while" if isinstance(node, ast.While) else code.text[start : start + 4]
        if word == "elif":
            yield Edit(start, start + 4, "if")
        elif word == "while":
            yield Edit(start, start + 5, "if")
        else:
            yield Edit(start, start + 2, "while")
            block = code.block(node)
            at = block.index(node)
            if at and isinstance(block[at - 1], ast.If):
                yield Edit(start, start + 2, "elif")
        for new in ("True", "False"):
            yield code.replace(node.test, new)


@operator(OPERATORS, "handler", 1)
def handler(code: Code, node: ast.AST) -> Iterator[Edit]:
    """The exception of a handler widened; a bare handler body raising again."""
    if isinstance(node, ast.Try):
        for item in node.handlers:
            if item.type is not None:
                for new in (*_WIDER.get(code.source(item.type), ()), "Exception"):
                    yield code.replace(item.type, new)
    elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        if isinstance(node.exc.func, ast.Name) and code.source(node.exc.func) in _WIDER:
            for new in ("ValueError", "TypeError", "KeyError", "IndexError", "AttributeError"):
                yield code.replace(node.exc.func, new)
