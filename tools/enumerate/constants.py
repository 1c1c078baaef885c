"""Operators on constants and bounds: one off, another sign, another spelling."""

import ast
from collections.abc import Iterator

from tools.enumerate.code import Code, Edit
from tools.enumerate.operator import Operator, operator

OPERATORS: list[Operator] = []


@operator(OPERATORS, "integer", 0)
def integer(code: Code, node: ast.AST) -> Iterator[Edit]:
    """An integer constant one up or down; 0 and 1 exchanged."""
    if _is_number(node) and isinstance(node, ast.Constant) and isinstance(node.value, int):
        value = int(node.value)
        # `x - 0` is left to `bound-drop`, which writes it as people do.
        least = 1 if isinstance(code.parents.get(node), ast.BinOp) else 0
        for new in (value - 1, value + 1):
            if new >= least:
                yield code.replace(node, str(new))
        if value == 0:
            yield code.replace(node, "-1" if _takes_sign(code, node) else "(-1)")


@operator(OPERATORS, "number", 1)
def number(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A number to its negative, 0, 1, 2, its double, half or a tenth."""
    if not _is_number(node) or not isinstance(node, ast.Constant):
        return
    value = node.value
    if isinstance(value, int | float):
        text = code.source(node)
        yield code.replace(node, f"-{text}" if _takes_sign(code, node) else f"(-{text})")
        inner = isinstance(code.parents.get(node), ast.BinOp)
        options: list[float] = [0, 1, 2, value * 2, value * 10]
        options.append(value // 2 if isinstance(value, int) else value / 2)
        options.append(value // 10 if isinstance(value, int) else value / 10)
        for new in dict.fromkeys(options):
            if new != value and abs(new) < 1e18 and not (new == 0 and inner):
                yield code.replace(node, repr(new))
        if isinstance(value, int):
            yield code.replace(node, "None")


def _is_number(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
    )


def _takes_sign(code: Code, node: ast.AST) -> bool:
    return not isinstance(code.parents.get(node), ast.BinOp | ast.UnaryOp | ast.Attribute)


@operator(OPERATORS, "truth", 0)
def truth(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`True` and `False` exchanged; `None` to them in a return."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield code.replace(node, str(not node.value))
        yield code.replace(node, "None")
    elif isinstance(node, ast.Constant) and node.value is None:
        for new in ("True", "False", "0", "''", "[]", "{}"):
            yield code.replace(node, new)


@operator(OPERATORS, "bound-drop", 0)
def bound_drop(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`x + 1` and `x - 1` to `x`; also with the other sign's constant 2."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        if _is_number(node.right):
            yield code.replace(node, code.source(node.left))
        if _is_number(node.left):
            yield code.replace(node, code.source(node.right))


@operator(OPERATORS, "bound-step", 0)
def bound_step(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`x` to `x - 1` and `x + 1` where off-by-one hides: ranges, indices, slices, comparisons."""
    parent = code.parents.get(node)
    if not isinstance(node, ast.expr) or _is_number(node) or not _is_bound(code, node, parent):
        return
    text = code.source(node)
    if isinstance(node, ast.Name | ast.Call | ast.Attribute | ast.Subscript | ast.BinOp):
        for step in (" - 1", " + 1"):
            yield code.replace(node, text + step)


def _is_bound(code: Code, node: ast.expr, parent: ast.AST | None) -> bool:
    if isinstance(parent, ast.Call):
        return (
            isinstance(parent.func, ast.Name) and parent.func.id == "range" and node in parent.args
        )
    if isinstance(parent, ast.Slice):
        return True
    if isinstance(parent, ast.Subscript):
        return parent.slice is node and not isinstance(parent.ctx, ast.Del)
    if isinstance(parent, ast.Compare):
        is_length = isinstance(node, ast.Call) and _name(node.func) == "len"
        return is_length or isinstance(parent.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)
    return False


@operator(OPERATORS, "result-step", 1)
def result_step(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A returned, assigned or passed number-like expression one up or down."""
    parent = code.parents.get(node)
    if isinstance(parent, ast.Return | ast.Assign | ast.AugAssign | ast.BinOp | ast.Call) and (
        isinstance(node, ast.Name | ast.BinOp)
        or (isinstance(node, ast.Call) and _name(node.func) in ("len", "sum", "max", "min", "int"))
    ):
        if isinstance(parent, ast.Assign) and node in parent.targets:
            return
        if isinstance(parent, ast.Call) and parent.func is node:
            return
        if isinstance(parent, ast.AugAssign) and parent.target is node:
            return
        inner = isinstance(parent, ast.BinOp)
        for step in (" - 1", " + 1"):
            text = code.wrapped(node) + step if inner else code.source(node) + step
            yield code.replace(node, f"({text})" if inner else text)


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


@operator(OPERATORS, "sign", 1)
def sign(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A minus sign dropped, or set before a returned, assigned or passed value."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert):
        yield code.replace(node, code.source(node.operand))
    parent = code.parents.get(node)
    if isinstance(node, ast.Name | ast.Call | ast.Attribute | ast.BinOp | ast.Subscript):
        is_value = isinstance(parent, ast.Return | ast.keyword) or (
            isinstance(parent, ast.Assign | ast.AugAssign) and parent.value is node
        )
        if is_value or (isinstance(parent, ast.Call) and node in parent.args):
            yield code.replace(node, f"-{code.wrapped(node)}")


@operator(OPERATORS, "string", 1)
def string(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A string constant in another case, with or without blanks at its ends, or as an f-string."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return
    text, value = code.source(node), node.value
    if (
        "\n" in text
        or not text
        or text[0] not in "'\""
        or isinstance(code.parents.get(node), ast.JoinedStr)
    ):
        return
    quote = text[0]
    changed = [value.lower(), value.upper(), value.capitalize(), value.strip(), value + " "]
    changed += [" " + value, "", value[1:], value[:-1], value + "s"]
    if value == "":
        changed += [" ", ",", "\\n"]
    if value == " ":
        changed += [", ", "\\t", "_", "-"]
    for new in dict.fromkeys(changed):
        if new != value and "\\" not in text and quote not in new:
            yield code.replace(node, f"{quote}{new}{quote}")
    if "{" in value:
        yield code.replace(node, f"f{text}")
    yield from (code.replace(node, f"{p}{text}") for p in ("r", "b") if value and "\\" in text)
