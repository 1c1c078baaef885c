"""Operators that add statements or change signatures: guards, steps, defaults, decorators."""

import ast
from collections.abc import Iterator
from itertools import pairwise

from tools.enumerate.code import Code, Edit, FunctionNode
from tools.enumerate.operator import Operator, operator
from tools.enumerate.statements import movable

OPERATORS: list[Operator] = []

_EMPTY = ("None", "", "[]", "''", "0", "False", "True", "{}", "1", "-1")


@operator(OPERATORS, "guard", 2)
def guard(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A guard set before a statement: `if x is None: return …`, `if not x: continue`."""
    if not isinstance(node, ast.stmt) or not code.own_line(node) or not movable(node):
        return
    if code.function(node) is None or isinstance(node, ast.Pass):
        return
    if isinstance(node, ast.If) and code.text.startswith("elif", code.span(node)[0]):
        return
    used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    names = [n for n in code.scope(node).locals if n in used][:3]
    values = [v for v in _returned(code, node) if v not in _EMPTY][:3]
    exits = [f"return {v}".strip() for v in dict.fromkeys((*values, *_EMPTY[:7], *names))]
    if code.in_loop(node):
        exits = ["continue", "break", *exits]
    start = code.line_span(node.lineno, node.lineno)[0]
    pad, eol = code.indent(node), code.newline
    for name in names:
        for test in (f"not {name}", f"{name} is None"):
            for leave in exits:
                yield Edit(start, start, f"{pad}if {test}:{eol}{pad}{code.step}{leave}{eol}")


def _returned(code: Code, node: ast.stmt) -> Iterator[str]:
    """What the function returns elsewhere: a guard is likely to return the same."""
    around = code.function(node)
    for item in ast.walk(around) if around is not None else ():
        if isinstance(item, ast.Return) and item.value is not None:
            text = code.source(item.value)
            if len(text) < 30 and "\n" not in text:
                yield text


@operator(OPERATORS, "default-fill", 2)
def default_fill(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A missing value filled before a statement: `if x is None: x = []`."""
    if not isinstance(node, ast.stmt) or not code.own_line(node) or not movable(node):
        return
    if isinstance(node, ast.If) and code.text.startswith("elif", code.span(node)[0]):
        return
    used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    start = code.line_span(node.lineno, node.lineno)[0]
    pad, eol = code.indent(node), code.newline
    for name in [n for n in code.scope(node).parameters if n in used][:3]:
        for value in ("[]", "{}", "''", "0", "1"):
            body = f"{pad}{code.step}{name} = {value}{eol}"
            yield Edit(start, start, f"{pad}if {name} is None:{eol}{body}")


@operator(OPERATORS, "leave-after", 2)
def leave_after(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`break`, `continue` or `return` set after the last statement of a block."""
    if not isinstance(node, ast.Assign | ast.AugAssign | ast.Expr) or not code.own_line(node):
        return
    if node is not code.block(node)[-1] or code.function(node) is None:
        return
    words = ["return"]
    if code.in_loop(node):
        words = ["break", "continue", *words]
    words += [f"return {n}" for n in code.names_before(node)[:3]]
    for word in words:
        yield _after(code, node, word)


@operator(OPERATORS, "step-after", 2)
def step_after(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A step forgotten after a statement: `x += 1`, `x = None`, `x = []`, `self.x = x`."""
    if not isinstance(node, ast.Assign | ast.AugAssign | ast.Expr) or not code.own_line(node):
        return
    if code.function(node) is None:
        return
    scope = code.scope(node)
    for name in code.names_before(node)[:3]:
        yield _after(code, node, f"{name} += 1")
        yield _after(code, node, f"{name} -= 1")
        yield _after(code, node, f"{name} = []")
        yield _after(code, node, f"{name} = None")
    for name in scope.parameters:
        if scope.attributes:
            yield _after(code, node, f"self.{name} = {name}")
    for name in scope.attributes[:6]:
        if name not in scope.methods:
            yield _after(code, node, f"self.{name} += 1")
            yield _after(code, node, f"self.{name} -= 1")
            yield _after(code, node, f"self.{name} = None")


def _after(code: Code, node: ast.stmt, text: str) -> Edit:
    end = code.line_span(node.lineno, node.end_lineno or node.lineno)[1]
    lead = "" if code.text[:end].endswith(("\n", "\r")) else code.newline
    return Edit(end, end, f"{lead}{code.indent(node)}{text}{code.newline}")


@operator(OPERATORS, "mutable-default", 0)
def mutable_default(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`def f(x=[])` to `x=None` and `if x is None: x = []` as the first statement."""
    if not isinstance(node, FunctionNode) or not node.body:
        return
    plain = [*node.args.posonlyargs, *node.args.args]
    pairs = list(
        zip(plain[len(plain) - len(node.args.defaults) :], node.args.defaults, strict=True)
    )
    for parameter, default in pairs:
        first = node.body[1] if _has_docstring(node) and len(node.body) > 1 else node.body[0]
        empty = isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call)
        if empty and code.own_line(first):
            (a, b), c = code.span(default), code.line_span(first.lineno, first.lineno)[0]
            pad, eol = code.indent(first), code.newline
            fill = f"{pad}if {parameter.arg} is None:{eol}"
            fill += f"{pad}{code.step}{parameter.arg} = {code.text[a:b]}{eol}"
            yield Edit(a, c, f"None{code.text[b:c]}{fill}")


def _has_docstring(node: FunctionNode) -> bool:
    return ast.get_docstring(node, clean=False) is not None


@operator(OPERATORS, "parameter-default", 1)
def parameter_default(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A default given to the last plain parameter; two parameters exchanged."""
    if not isinstance(node, FunctionNode):
        return
    plain = node.args.args
    if plain and not node.args.defaults and plain[-1].arg not in ("self", "cls"):
        end = code.span(plain[-1])[1]
        for value in ("None", "0", "1", "''", "True", "False", "()"):
            spaced = f" = {value}" if plain[-1].annotation is not None else f"={value}"
            yield Edit(end, end, spaced)
    for left, right in pairwise(plain):
        if left.arg not in ("self", "cls"):
            (a, b), (c, d) = code.span(left), code.span(right)
            yield Edit(a, d, code.text[c:d] + code.text[b:c] + code.text[a:b])


@operator(OPERATORS, "decorator", 2)
def decorator(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A decorator dropped, or `property`, `staticmethod`, `classmethod` added to a method."""
    if not isinstance(node, FunctionNode):
        return
    for item in node.decorator_list:
        yield Edit(*code.line_span(item.lineno, item.end_lineno or item.lineno), "")
    if isinstance(code.parents.get(node), ast.ClassDef):
        start, _ = code.line_span(node.lineno, node.lineno)
        for name in ("property", "staticmethod", "classmethod"):
            yield Edit(start, start, f"{code.indent(node)}@{name}{code.newline}")


@operator(OPERATORS, "closure", 1)
def closure(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A loop variable bound in a lambda; a missing `nonlocal` or `global` in a function."""
    if isinstance(node, ast.Lambda):
        bound = {a.arg for a in node.args.args}
        used = {n.id for n in ast.walk(node.body) if isinstance(n, ast.Name)}
        for name in [n for n in code.scope(node).locals if n in used and n not in bound][:3]:
            at = code.span(node.body)[0]
            colon = code.text.rfind(":", code.span(node)[0], at)
            lead = ", " if node.args.args else " "
            yield Edit(colon, colon, f"{lead}{name}={name}")
    elif isinstance(node, ast.Assign | ast.AugAssign) and code.own_line(node):
        around = code.function(node)
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if around is not None and isinstance(target, ast.Name):
            outer = code.function(around)
            word = "global" if outer is None else "nonlocal"
            known = code.scope(outer).locals if outer is not None else code.module_names
            if target.id in known and code.own_line(around.body[0]):
                first = around.body[0]
                start = code.line_span(first.lineno, first.lineno)[0]
                text = f"{code.indent(first)}{word} {target.id}{code.newline}"
                yield Edit(start, start, text)


@operator(OPERATORS, "copy", 2)
def copy(code: Code, node: ast.AST) -> Iterator[Edit]:
    """The sequence of a `for` loop copied, reversed, made unique or taken in order."""
    if isinstance(node, ast.For):
        text = code.source(node.iter)
        for name in ("list", "reversed", "sorted", "set", "enumerate"):
            yield code.replace(node.iter, f"{name}({text})")
        for suffix in (".items()", "[1:]", "[:-1]"):
            yield code.replace(node.iter, f"{code.wrapped(node.iter)}{suffix}")
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute):
        text = code.source(node.value)
        for new in (f"{text}.copy()", f"list({text})", f"dict({text})", f"{text}[:]"):
            yield code.replace(node.value, new)
