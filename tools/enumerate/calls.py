"""Operators on calls: which function, which arguments, wrapped or not."""

import ast
from collections.abc import Iterator
from itertools import pairwise

from tools.enumerate.code import Code, Edit
from tools.enumerate.names import is_plain_value
from tools.enumerate.operator import Operator, called, operator

OPERATORS: list[Operator] = []

_KEYED = frozenset({"min", "max", "sorted", "sort"})


@operator(OPERATORS, "callee", 2)
def callee(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A call of a module function to another one that takes as many arguments."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        count = len(node.args) + len(node.keywords)
        for name, target in code.functions.items():
            takes = len(target.args.args) + len(target.args.kwonlyargs)
            needs = takes - len(target.args.defaults)
            if name in code.module_names and name != node.func.id and needs <= count <= takes:
                yield code.replace(node.func, name)


@operator(OPERATORS, "argument-swap", 1)
def argument_swap(code: Code, node: ast.AST) -> Iterator[Edit]:
    """Two neighbouring arguments exchanged."""
    if isinstance(node, ast.Call):
        for left, right in pairwise(node.args):
            (a, b), (c, d) = code.span(left), code.span(right)
            yield Edit(a, d, code.text[c:d] + code.text[b:c] + code.text[a:b])
        for one, two in pairwise(node.keywords):
            (a, b), (c, d) = code.span(one.value), code.span(two.value)
            yield Edit(a, d, code.text[c:d] + code.text[b:c] + code.text[a:b])


@operator(OPERATORS, "argument-drop", 1)
def argument_drop(code: Code, node: ast.AST) -> Iterator[Edit]:
    """One argument dropped."""
    if not isinstance(node, ast.Call):
        return
    items: list[ast.AST] = [*node.args, *node.keywords]
    items.sort(key=lambda n: code.span(n))
    for index, item in enumerate(items):
        start, end = code.span(item)
        if isinstance(item, ast.keyword) and item.arg is None:
            start = code.text.rfind("**", 0, start)
        if index + 1 < len(items):
            yield Edit(start, code.span(items[index + 1])[0], "")
        elif index:
            yield Edit(code.span(items[index - 1])[1], end, "")
        elif not (isinstance(item, ast.GeneratorExp)):
            yield Edit(start, end, "")


@operator(OPERATORS, "argument-add", 2)
def argument_add(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A parameter of the called function that is not given is passed from a name like it."""
    if not isinstance(node, ast.Call):
        return
    target = code.functions.get(called(node))
    if target is None:
        return
    names = [a.arg for a in (*target.args.args, *target.args.kwonlyargs)]
    names = [n for n in names if n not in ("self", "cls")]
    given = {k.arg for k in node.keywords}
    scope = code.scope(node)
    for name in names[len(node.args) :]:
        if name not in given:
            if name in scope.locals:
                yield _append(code, node, f"{name}={name}")
            if name in scope.attributes:
                yield _append(code, node, f"{name}=self.{name}")
    if names and len(node.args) < len(names):
        for local in code.names_before(node)[:3]:
            yield _append(code, node, local)


def _append(code: Code, node: ast.Call, text: str) -> Edit:
    end = code.span(node)[1] - 1
    before = code.text[:end].rstrip()
    lead = "" if before.endswith(("(", ",")) else ", "
    return Edit(end, end, f"{lead}{' ' if before.endswith(',') else ''}{text}")


@operator(OPERATORS, "default-value", 1)
def default_value(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A default for calls that may find nothing: `get`, `pop`, `next`, `getattr`, `max`, `min`."""
    if not isinstance(node, ast.Call):
        return
    name, count = called(node), len(node.args)
    if name in ("get", "pop", "setdefault") and isinstance(node.func, ast.Attribute):
        if count == 1:
            for default in ("0", "''", "[]", "{}", "None", "False"):
                yield _append(code, node, default)
            subject = code.source(node.func.value)
            yield code.replace(node, f"{subject}[{code.source(node.args[0])}]")
    elif (name == "next" and count == 1) or (name == "getattr" and count == 2):
        yield _append(code, node, "None")
    elif name in ("max", "min") and count == 1 and not node.keywords:
        yield _append(code, node, "default=0")
        yield _append(code, node, "default=None")
    elif name == "sum" and count == 1:
        yield _append(code, node, "0.0")


@operator(OPERATORS, "keyword", 1)
def keyword(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`reverse=True`, `key=…`, `start`, `maxsplit`, `keepends`, `strict` added where they fit."""
    if not isinstance(node, ast.Call):
        return
    name, count = called(node), len(node.args)
    given = {k.arg for k in node.keywords}
    if name in ("sorted", "sort") and "reverse" not in given:
        yield _append(code, node, "reverse=True")
    if name in _KEYED and "key" not in given and count <= 1:
        for key in ("len", "str", "abs", "str.lower", "lambda x: x[0]", "lambda x: x[1]"):
            yield _append(code, node, f"key={key}")
    if name == "enumerate" and count == 1 and not given:
        yield _append(code, node, "1")
    if name in ("split", "rsplit") and count == 1 and not given:
        yield _append(code, node, "1")
    if name == "splitlines" and not count and not given:
        yield _append(code, node, "True")
    if name == "round" and count == 1:
        yield _append(code, node, "2")
    if name == "replace" and count == 3:
        yield Edit(code.span(node.args[1])[1], code.span(node.args[2])[1], "")


@operator(OPERATORS, "range", 0)
def range_(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`range(n)` to `range(1, n)`, `range(1, n + 1)` or backwards; `range(a, b)` to `range(b)`."""
    if not isinstance(node, ast.Call) or called(node) != "range" or node.keywords:
        return
    texts = [code.source(a) for a in node.args]
    start, end = code.span(node.args[0])[0] if node.args else 0, code.span(node)[1] - 1
    options: list[str] = []
    if len(texts) == 1:
        options = [f"1, {texts[0]}", f"1, {texts[0]} + 1", f"{texts[0]} - 1, -1, -1"]
        options += [f"len({texts[0]})", f"{texts[0]}, 0, -1"]
    elif len(texts) == 2:
        options = [texts[1], f"{texts[0]}, {texts[1]}, -1", f"{texts[0]}, {texts[1]} + 1"]
        options += [f"{texts[1]}, {texts[0]}", f"0, {texts[1]}"]
    elif len(texts) == 3:
        options = [f"{texts[0]}, {texts[1]}"]
    for option in options:
        yield Edit(start, end, option)


_ADD = ("len", "int", "str", "list", "sorted", "abs", "float", "set", "tuple", "reversed", "dict")
_ADD_METHODS = ("strip", "lower", "copy", "upper", "items", "values", "keys")


@operator(OPERATORS, "wrapper-drop", 1)
def wrapper_drop(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`int(x)` to `x`, `x.strip()` to `x`: any one-argument call or argument-less method."""
    if isinstance(node, ast.Call):
        if len(node.args) == 1 and not node.keywords:
            yield code.replace(node, code.wrapped(node.args[0]))
        if isinstance(node.func, ast.Attribute):
            yield code.replace(node, code.source(node.func.value))
            if not node.args and not node.keywords:
                yield code.replace(node, code.source(node.func))


@operator(OPERATORS, "wrapper-add", 2)
def wrapper_add(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`x` to `len(x)`, `int(x)`, `str(x)`, `sorted(x)`, `x.strip()`, `x.copy()` and the like."""
    if isinstance(node, ast.Name | ast.Attribute) and not is_plain_value(code, node):
        return
    kinds = ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.BinOp | ast.GeneratorExp
    if not isinstance(node, kinds) or isinstance(code.parents.get(node), ast.expr_context):
        return
    if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        return
    if isinstance(code.parents.get(node), ast.Expr | ast.Attribute | ast.Await):
        return
    text = code.source(node)
    for name in _ADD:
        yield code.replace(node, f"{name}({text})")
    for name in _ADD_METHODS:
        yield code.replace(node, f"{code.wrapped(node)}.{name}()")


@operator(OPERATORS, "call", 2)
def call(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A method or function that is named but not called: `x.name` to `x.name()`."""
    if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
        name = node.attr if isinstance(node, ast.Attribute) else node.id
        parent = code.parents.get(node)
        if name in code.functions and not (isinstance(parent, ast.Call) and parent.func is node):
            yield code.replace(node, f"{code.source(node)}()")


@operator(OPERATORS, "instance-type", 1)
def instance_type(code: Code, node: ast.AST) -> Iterator[Edit]:
    """The type of an `isinstance` test widened or changed."""
    if isinstance(node, ast.Call) and called(node) == "isinstance" and len(node.args) == 2:
        wide = {
            "int": ("(int, float)", "float", "str"),
            "float": ("(int, float)", "int"),
            "str": ("(str, bytes)", "bytes"),
            "bytes": ("(str, bytes)", "(bytes, bytearray)", "str"),
            "list": ("(list, tuple)", "tuple", "dict"),
            "tuple": ("(list, tuple)", "list"),
            "dict": ("list",),
            "set": ("(set, frozenset)",),
        }
        for new in wide.get(code.source(node.args[1]), ()):
            yield code.replace(node.args[1], new)
