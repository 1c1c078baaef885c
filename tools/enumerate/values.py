"""Operators on expressions that compute: comparisons, arithmetic, conditions."""

import ast
from collections.abc import Iterator

from tools.enumerate.code import Code, Edit
from tools.enumerate.operator import Operator, operator

OPERATORS: list[Operator] = []

_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
_NEAR = {
    "<": ("<=", ">"),
    "<=": ("<", ">="),
    ">": (">=", "<"),
    ">=": (">", "<="),
    "==": ("!=", "in"),
    "!=": ("==",),
    "is": ("is not", "=="),
    "is not": ("is", "!="),
    "in": ("not in", "=="),
    "not in": ("in",),
}
_FAR = {
    "<": (">=", "==", "!="),
    "<=": (">", "==", "!="),
    ">": ("<=", "==", "!="),
    ">=": ("<", "==", "!="),
    "==": (">=", "<=", ">", "<", "is"),
    "!=": (">", "<", ">=", "<=", "is not", "not in"),
    "is": ("!=",),
    "is not": ("==",),
    "in": ("!=",),
    "not in": ("!=",),
}
_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
}
_BINARY_NEAR = {
    "+": ("-", "*"),
    "-": ("+",),
    "*": ("/", "**", "+"),
    "/": ("//", "*"),
    "//": ("/", "%"),
    "%": ("//",),
    "**": ("*",),
    "&": ("|", "^"),
    "|": ("&", "^"),
    "^": ("|", "&"),
    "<<": (">>",),
    ">>": ("<<",),
}
_BINARY_FAR = {
    "+": ("//", "%", "|"),
    "-": ("*", "//", "%", "&"),
    "*": ("//", "-"),
    "/": ("-", "%"),
    "//": ("*", "-"),
    "%": ("/", "+"),
    "**": ("+", "//"),
    "&": ("-", "and"),
    "|": ("-", "+", "or"),
    "^": ("-", "**"),
    "<<": ("+",),
    ">>": ("-", "//"),
}


def _compare(code: Code, node: ast.AST, table: dict[str, tuple[str, ...]]) -> Iterator[Edit]:
    if not isinstance(node, ast.Compare):
        return
    left: ast.expr = node.left
    for op, right in zip(node.ops, node.comparators, strict=True):
        old = _COMPARE[type(op)]
        for new in table[old]:
            edit = code.gap(left, right, old, new)
            if edit is not None:
                yield edit
        left = right


@operator(OPERATORS, "comparison", 0)
def comparison(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`<` to `<=` or `>`, `==` to `!=`, `is` to `is not` or `==`, `in` to `not in`."""
    yield from _compare(code, node, _NEAR)


@operator(OPERATORS, "comparison-far", 2)
def comparison_far(code: Code, node: ast.AST) -> Iterator[Edit]:
    """Every remaining comparison operator."""
    yield from _compare(code, node, _FAR)


def _binary(code: Code, node: ast.AST, table: dict[str, tuple[str, ...]]) -> Iterator[Edit]:
    if isinstance(node, ast.BinOp):
        old = _BINARY[type(node.op)] if type(node.op) in _BINARY else ""
        for new in table.get(old, ()):
            edit = code.gap(node.left, node.right, old, new)
            if edit is not None:
                yield edit


@operator(OPERATORS, "arithmetic", 0)
def arithmetic(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`+` and `-`, `*` and `/` and `**`, `/` and `//`, `%` and `//`, bit operators."""
    yield from _binary(code, node, _BINARY_NEAR)


@operator(OPERATORS, "arithmetic-far", 2)
def arithmetic_far(code: Code, node: ast.AST) -> Iterator[Edit]:
    """Less likely binary operators."""
    yield from _binary(code, node, _BINARY_FAR)


@operator(OPERATORS, "augmented", 0)
def augmented(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`+=` to `-=` and so on, or to `=`."""
    if isinstance(node, ast.AugAssign) and type(node.op) in _BINARY:
        old = _BINARY[type(node.op)]
        for new in (*_BINARY_NEAR[old], "", *_BINARY_FAR[old]):
            if new not in ("and", "or"):
                edit = code.gap(node.target, node.value, f"{old}=", f"{new}=")
                if edit is not None:
                    yield edit


@operator(OPERATORS, "accumulate", 1)
def accumulate(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`x = …` to `x += …` or `x -= …`."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and code.function(node):
        for new in ("+=", "-=", "*=", "|="):
            edit = code.gap(node.targets[0], node.value, "=", new)
            if edit is not None:
                yield edit


@operator(OPERATORS, "bool-op", 0)
def bool_op(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`and` to `or`, `or` to `and`."""
    if isinstance(node, ast.BoolOp):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            edit = code.gap(left, right, old, new)
            if edit is not None:
                yield edit


def _is_condition(code: Code, node: ast.AST) -> bool:
    parent = code.parents.get(node)
    if isinstance(parent, ast.If | ast.While | ast.IfExp | ast.Assert):
        return parent.test is node
    if isinstance(parent, ast.comprehension):
        return node in parent.ifs
    return isinstance(parent, ast.BoolOp)


@operator(OPERATORS, "negate", 0)
def negate(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A condition to its negation; `not x` to `x`."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield code.replace(node, code.source(node.operand))
    elif isinstance(node, ast.expr) and _is_condition(code, node):
        # A single comparison is negated by its operator (see `comparison`).
        if not (isinstance(node, ast.Compare) and len(node.ops) == 1):
            yield code.replace(node, f"not {code.wrapped(node)}")


@operator(OPERATORS, "condition-drop", 1)
def condition_drop(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`a and b` to `a` or to `b`; likewise `or`."""
    if isinstance(node, ast.BoolOp):
        for index, value in enumerate(node.values):
            first = node.values[0] if index else node.values[1]
            last = node.values[-1] if index < len(node.values) - 1 else node.values[-2]
            if index == 0:
                yield Edit(code.span(node)[0], code.span(first)[0], "")
            elif value is node.values[-1]:
                yield Edit(code.span(last)[1], code.span(node)[1], "")
            else:
                before = node.values[index - 1]
                yield Edit(code.span(before)[1], code.span(value)[1], "")


@operator(OPERATORS, "operand-swap", 1)
def operand_swap(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`a - b` to `b - a`, for operators where order matters; also both sides of `<` and `in`."""
    pair: tuple[ast.expr, ast.expr] | None = None
    ordered = ast.Sub | ast.Div | ast.FloorDiv | ast.Mod | ast.Pow | ast.LShift | ast.RShift
    if isinstance(node, ast.BinOp) and isinstance(node.op, ordered | ast.Add):
        pair = node.left, node.right
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
        pair = node.left, node.comparators[0]
    elif isinstance(node, ast.BoolOp) and len(node.values) == 2:
        pair = node.values[0], node.values[1]
    elif isinstance(node, ast.Tuple | ast.List) and len(node.elts) == 2:
        pair = node.elts[0], node.elts[1]
    if pair is not None:
        (a, b), (c, d) = code.span(pair[0]), code.span(pair[1])
        yield Edit(a, d, code.text[c:d] + code.text[b:c] + code.text[a:b])


@operator(OPERATORS, "precedence", 1)
def precedence(code: Code, node: ast.AST) -> Iterator[Edit]:
    """Parentheses moved: `a + b * c` to `(a + b) * c`, `(a + b) * c` to `a + b * c`."""
    if isinstance(node, ast.BinOp):
        if isinstance(node.right, ast.BinOp):
            start, end = code.span(node)[0], code.span(node.right.left)[1]
            rest = code.text[end : code.span(node)[1]]
            yield Edit(start, code.span(node)[1], f"({code.text[start:end]}){rest}")
        if isinstance(node.left, ast.BinOp):
            start, end = code.span(node.left.right)[0], code.span(node)[1]
            first = code.text[code.span(node)[0] : start]
            yield Edit(code.span(node)[0], end, f"{first}({code.text[start:end]})")
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.UnaryOp):
        start, end = code.span(node)
        if code.text[start - 1 : start] == "(" and code.text[end : end + 1] == ")":
            before = code.text[start - 2 : start - 1]
            if not (before.isalnum() or before in ("_", "]", ")")):
                yield Edit(start - 1, end + 1, code.text[start:end])
    if isinstance(node, ast.BoolOp):
        first_value = node.values[0]
        if isinstance(first_value, ast.UnaryOp) and isinstance(first_value.op, ast.Not):
            inner = code.span(first_value.operand)[0]
            yield Edit(inner, code.span(node)[1], f"({code.text[inner : code.span(node)[1]]})")


@operator(OPERATORS, "operand", 2)
def operand(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A binary operation to one of its operands; a conditional expression to one branch."""
    if isinstance(node, ast.BinOp):
        yield code.replace(node, code.wrapped(node.left))
        yield code.replace(node, code.wrapped(node.right))
    elif isinstance(node, ast.IfExp):
        yield code.replace(node, code.wrapped(node.body))
        yield code.replace(node, code.wrapped(node.orelse))


@operator(OPERATORS, "branch-swap", 1)
def branch_swap(code: Code, node: ast.AST) -> Iterator[Edit]:
    """The two values of a conditional expression exchanged."""
    if isinstance(node, ast.IfExp):
        (a, b), (c, d) = code.span(node.body), code.span(node.orelse)
        yield Edit(a, d, code.text[c:d] + code.text[b:c] + code.text[a:b])


@operator(OPERATORS, "condition-extend", 2)
def condition_extend(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A condition strengthened or weakened with a test of a name it uses or of a nearby name."""
    if not isinstance(node, ast.expr) or not _is_condition(code, node):
        return
    if isinstance(code.parents.get(node), ast.BoolOp):
        return
    text = code.wrapped(node) if isinstance(node, ast.BoolOp | ast.IfExp) else code.source(node)
    for name in code.names_before(node)[:5]:
        yield code.replace(node, f"{name} and {text}")
        yield code.replace(node, f"{text} or not {name}")
        yield code.replace(node, f"{name} is not None and {text}")
        yield code.replace(node, f"{name} is None or {text}")
        yield code.replace(node, f"{text} or {name}")
        yield code.replace(node, f"{text} and not {name}")


@operator(OPERATORS, "none-test", 1)
def none_test(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`if x` to `if x is not None`, `x or y` to `y if x is None else x`, `x is None` to `not x`."""
    if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript) and _is_condition(
        code, node
    ):
        yield code.replace(node, f"{code.source(node)} is not None")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield code.replace(node, f"{code.source(node.operand)} is None")
    elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) and len(node.values) == 2:
        x, y = (code.source(v) for v in node.values)
        if isinstance(node.values[0], ast.Name | ast.Attribute):
            yield code.replace(node, f"({x} if {x} is not None else {y})")
    elif isinstance(node, ast.Compare) and _is_none(node.comparators[0]):
        subject = code.source(node.left)
        empty = isinstance(node.ops[0], ast.Is | ast.Eq)
        yield code.replace(node, f"not {code.wrapped(node.left)}" if empty else subject)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
