"""A normal form of Python: equal for programs that differ only in spelling.

Only rewrites that hold for every value are here, but for the order of `==` and for `+ 0`, which
objects with operators of their own could tell apart.
"""

import ast
from typing import ClassVar

__all__ = ["Normal", "normal_form"]


class Normal(ast.NodeTransformer):
    """Writes the commonest synonyms one way: `not a == b`, `b > a`, `x - 1 + 1`. Edits in place."""

    _flip: ClassVar[dict[type[ast.cmpop], type[ast.cmpop]]] = {ast.Gt: ast.Lt, ast.GtE: ast.LtE}
    _opposite: ClassVar[dict[type[ast.cmpop], type[ast.cmpop]]] = {
        ast.Eq: ast.NotEq,
        ast.NotEq: ast.Eq,
        ast.Is: ast.IsNot,
        ast.IsNot: ast.Is,
        ast.In: ast.NotIn,
        ast.NotIn: ast.In,
    }

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        inner = node.operand
        value = _integer(inner)
        if isinstance(node.op, ast.USub) and value is not None:
            return ast.Constant(-value)
        if isinstance(node.op, ast.Not) and isinstance(inner, ast.Compare) and len(inner.ops) == 1:
            opposite = self._opposite.get(type(inner.ops[0]))
            if opposite is not None:
                return ast.Compare(inner.left, [opposite()], inner.comparators)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) == 1:
            flipped = self._flip.get(type(node.ops[0]))
            if flipped is not None:
                return ast.Compare(node.comparators[0], [flipped()], [node.left])
            if isinstance(node.ops[0], ast.Eq | ast.NotEq):
                pair = sorted((node.left, node.comparators[0]), key=ast.dump)
                return ast.Compare(pair[0], node.ops, [pair[1]])
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """`(x + 1) - 1` is x, `x - 1 - 1` is `x - 2`: integer steps are added up."""
        self.generic_visit(node)
        total, inner = 0, _step(node)
        if inner is None:
            return node
        base: ast.expr = node
        while inner is not None:
            base, step = inner
            total += step
            inner = _step(base)
        if total == 0:
            return base
        return ast.BinOp(base, ast.Add(), ast.Constant(total))


def _step(node: ast.expr) -> tuple[ast.expr, int] | None:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        sign = 1 if isinstance(node.op, ast.Add) else -1
        right, left = _integer(node.right), _integer(node.left)
        if right is not None:
            return node.left, sign * right
        if sign == 1 and left is not None:
            return node.right, left
    return None


def _integer(node: ast.expr) -> int | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return None if isinstance(node.value, bool) else node.value
    return None


class WholeNumbers(Normal):
    """One form for what differs for fractions only: `a + 1 > b`, `a >= b`; `> 59`, `>= 60`."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        found = super().visit_Compare(node)
        if not isinstance(found, ast.Compare) or len(found.ops) != 1:
            return found
        op = found.ops[0]
        if not isinstance(op, ast.Lt | ast.LtE):
            return found
        left, add = _step(found.left) or (found.left, 0)
        right, take = _step(found.comparators[0]) or (found.comparators[0], 0)
        step = add - take + (1 if isinstance(op, ast.Lt) else 0)
        low, high = _integer(left), _integer(right)
        if low is not None:
            left, step = ast.Constant(low + step), 0
        elif high is not None:
            right, step = ast.Constant(high - step), 0
        return ast.Compare(ast.BinOp(left, ast.Add(), ast.Constant(step)), [ast.LtE()], [right])


def normal_form(source: bytes) -> str:
    """A string that is equal for files which differ only in spelling. Raises SyntaxError."""
    return ast.dump(Normal().visit(ast.parse(source)))


def whole_number_form(source: bytes) -> str:
    """`normal_form`, equal also for comparisons that no whole number tells apart."""
    return ast.dump(WholeNumbers().visit(ast.parse(source)))
