"""Operators on names: which variable, which attribute, which method, which part of it."""

import ast
import difflib
from collections.abc import Iterator

from tools.enumerate.code import Code, Edit, FunctionNode
from tools.enumerate.operator import Operator, called, operator

OPERATORS: list[Operator] = []

_FUNCTIONS = {
    "min": ("max",),
    "max": ("min",),
    "any": ("all",),
    "all": ("any",),
    "int": ("float", "round"),
    "float": ("int",),
    "round": ("int",),
    "list": ("tuple", "sorted", "set"),
    "tuple": ("list",),
    "set": ("list", "frozenset"),
    "sorted": ("list", "reversed"),
    "reversed": ("list", "sorted"),
    "str": ("repr",),
    "repr": ("str",),
    "len": ("sum", "max"),
    "sum": ("len", "max"),
    "range": ("reversed", "len"),
    "isinstance": ("issubclass",),
    "type": ("isinstance",),
    "floor": ("ceil",),
    "ceil": ("floor",),
    "ord": ("int",),
    "deepcopy": ("copy",),
    "copy": ("deepcopy",),
    "filter": ("filterfalse",),
    "takewhile": ("dropwhile",),
    "dropwhile": ("takewhile",),
    "zip": ("zip_longest",),
    "heappush": ("heappop",),
    "enumerate": ("reversed",),
}
_METHODS = {
    "append": ("extend", "add", "insert"),
    "extend": ("append",),
    "add": ("update", "append"),
    "update": ("add",),
    "appendleft": ("append",),
    "pop": ("popleft", "get"),
    "popleft": ("pop",),
    "startswith": ("endswith",),
    "endswith": ("startswith",),
    "strip": ("lstrip", "rstrip"),
    "lstrip": ("strip", "rstrip", "removeprefix"),
    "rstrip": ("strip", "lstrip", "removesuffix"),
    "keys": ("values", "items"),
    "values": ("keys", "items"),
    "items": ("values", "keys"),
    "find": ("rfind", "index"),
    "rfind": ("find",),
    "index": ("find", "rindex"),
    "rindex": ("index",),
    "split": ("rsplit", "splitlines"),
    "rsplit": ("split",),
    "partition": ("rpartition",),
    "rpartition": ("partition",),
    "upper": ("lower", "title", "capitalize"),
    "lower": ("upper", "casefold"),
    "title": ("capitalize",),
    "capitalize": ("title",),
    "isdigit": ("isalnum", "isnumeric"),
    "isalpha": ("isalnum", "isupper"),
    "isalnum": ("isalpha", "isdigit"),
    "islower": ("isupper",),
    "isupper": ("islower",),
    "ljust": ("rjust",),
    "rjust": ("ljust",),
    "get": ("pop", "setdefault"),
    "setdefault": ("get",),
    "remove": ("discard",),
    "discard": ("remove",),
    "union": ("intersection", "difference"),
    "intersection": ("union", "difference"),
    "difference": ("symmetric_difference", "intersection"),
    "issubset": ("issuperset",),
    "issuperset": ("issubset",),
    "match": ("search", "fullmatch"),
    "search": ("match", "fullmatch"),
    "fullmatch": ("match",),
    "findall": ("finditer",),
    "group": ("groups",),
    "sort": ("reverse",),
    "reverse": ("sort",),
    "days": ("total_seconds",),
    "floor": ("ceil",),
    "ceil": ("floor",),
    "copy": ("deepcopy",),
    "put": ("put_nowait",),
    "read": ("readline",),
    "exists": ("is_file",),
    "is_file": ("exists", "is_dir"),
    "is_dir": ("exists", "is_file"),
}


@operator(OPERATORS, "function", 0)
def function(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`min` to `max`, `any` to `all`, `int` to `float`, `floor` to `ceil` and other builtins."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        for new in _FUNCTIONS.get(node.id, ()):
            yield code.replace(node, new)


@operator(OPERATORS, "method", 0)
def method(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`append` to `extend`, `startswith` to `endswith`, `find` to `rfind` and other methods."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        for new in _METHODS.get(node.attr, ()):
            yield _attribute(code, node, new)


def _attribute(code: Code, node: ast.Attribute, name: str) -> Edit:
    end = code.span(node)[1]
    return Edit(end - len(node.attr), end, name)


@operator(OPERATORS, "self", 0)
def self_(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A bare name that is an attribute of the class to `self.name`; `self.name` to a parameter."""
    scope = code.scope(node)
    if isinstance(node, ast.Name):
        around = code.function(node)
        is_method = around is not None and isinstance(code.parents.get(around), ast.ClassDef)
        known = node.id in scope.attributes or node.id in scope.methods
        if is_method and known and node.id not in ("self", "cls"):
            yield code.replace(node, f"self.{node.id}")
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.value.id == "self" and node.attr in scope.locals:
            yield code.replace(node, node.attr)
        elif node.value.id == "self" and node.attr in code.module_names:
            yield code.replace(node, node.attr)


@operator(OPERATORS, "await", 0)
def await_(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A missing `await` before a call in a coroutine; `await` dropped."""
    if isinstance(node, ast.Await):
        yield code.replace(node, code.source(node.value))
    elif isinstance(node, ast.Call) and not isinstance(code.parents.get(node), ast.Await):
        if isinstance(code.function(node), ast.AsyncFunctionDef):
            target = code.functions.get(called(node))
            text = f"await {code.source(node)}"
            used = isinstance(code.parents.get(node), ast.Attribute | ast.Subscript | ast.BinOp)
            if target is None or isinstance(target, ast.AsyncFunctionDef):
                yield code.replace(node, f"({text})" if used else text)


@operator(OPERATORS, "variable", 1)
def variable(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A variable to another name of the same function, nearest use first."""
    if not isinstance(node, ast.Name) or node.id in ("self", "cls"):
        return
    parent = code.parents.get(node)
    if isinstance(parent, ast.Call) and parent.func is node:
        return
    known = node.id in code.scope(node).locals or not isinstance(node.ctx, ast.Load)
    names = code.names_before(node)
    if known or difflib.get_close_matches(node.id, names, 1, 0.75):
        for name in names[:8]:
            if name != node.id:
                yield code.replace(node, name)


@operator(OPERATORS, "variable-attribute", 2)
def variable_attribute(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A variable to an attribute of `self` or to a constant of the module."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        scope = code.scope(node)
        parent = code.parents.get(node)
        if isinstance(parent, ast.Call) and parent.func is node:
            return
        for name in scope.attributes[:8]:
            if name not in scope.methods:
                yield code.replace(node, f"self.{name}")
        for name in code.module_names:
            if name.isupper():
                yield code.replace(node, name)


@operator(OPERATORS, "near-name", 0)
def near_name(code: Code, node: ast.AST) -> Iterator[Edit]:
    """An undefined or misspelt name to the one most like it in the module."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        pool = [n for n in (*code.scope(node).locals, *code.module_names) if n != node.id]
        for name in difflib.get_close_matches(node.id, pool, 3, 0.7):
            yield code.replace(node, name)
    elif isinstance(node, ast.Attribute):
        attributes = [n for n in code.attribute_names if n != node.attr]
        pool = [*code.scope(node).methods, *(n for n in attributes)]
        matches = difflib.get_close_matches(node.attr, list(dict.fromkeys(pool)), 3, 0.7)
        for name in matches:
            if name != node.attr:
                yield _attribute(code, node, name)


@operator(OPERATORS, "attribute", 1)
def attribute(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`self.a` to another attribute or method of the class; `x.a` to one `x` has elsewhere."""
    if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
        return
    scope = code.scope(node)
    parent = code.parents.get(node)
    called = isinstance(parent, ast.Call) and parent.func is node
    if node.value.id in ("self", "cls"):
        data = [n for n in scope.attributes if n not in scope.methods]
        pool = list(scope.methods) if called else data
    else:
        pool = list(dict.fromkeys(_attributes_of(code, node.value.id)))
    for name in pool[:10]:
        if name != node.attr and not name.startswith("__"):
            yield _attribute(code, node, name)


def _attributes_of(code: Code, name: str) -> Iterator[str]:
    for node in ast.walk(code.tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == name
        ):
            yield node.attr


@operator(OPERATORS, "slice", 1)
def slice_(code: Code, node: ast.AST) -> Iterator[Edit]:
    """Slice bounds dropped, shifted to the ends, exchanged; `x[a:b]` and `x[a]`; reversed."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
        return
    subject, place = code.source(node.value), node.slice
    if isinstance(place, ast.Slice):
        low = code.source(place.lower) if place.lower is not None else ""
        high = code.source(place.upper) if place.upper is not None else ""
        step = f":{code.source(place.step)}" if place.step is not None else ""
        options = [f"{low}:", f":{high}", f"{low or '1'}:{high}", f"{low}:{high or '-1'}"]
        options += [f"{high}:{low}", f"{low}:{high}", f"{low}:{high}:-1", low, high]
        options += [f"{low}{step}:{high}"] if step else []
        for option in options:
            if option:
                yield code.replace(node, f"{subject}[{option}]")
        yield code.replace(node, subject)
    else:
        index = code.source(place)
        options = ["0", "-1", f"-{index}", f"{index}:", f":{index}"]
        for option in options:
            if option != index and "--" not in option:
                yield code.replace(node, f"{subject}[{option}]")


@operator(OPERATORS, "subscript", 2)
def subscript(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`x[k]` to `x`, `x.get(k)`; `x` to `x[0]`, `x[-1]`, `x[1:]`, `x[:-1]`."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        subject = code.source(node.value)
        yield code.replace(node, subject)
        if not isinstance(node.slice, ast.Slice | ast.Tuple):
            key = code.source(node.slice)
            yield code.replace(node, f"{subject}.get({key})")
            for default in ("0", "[]", "''"):
                yield code.replace(node, f"{subject}.get({key}, {default})")
    elif isinstance(node, ast.Name | ast.Attribute) and is_plain_value(code, node):
        text = code.source(node)
        for suffix in ("[0]", "[-1]", "[1:]", "[:-1]", "[1]", "[::-1]", "[:]"):
            yield code.replace(node, text + suffix)


def is_plain_value(code: Code, node: ast.Name | ast.Attribute) -> bool:
    parent = code.parents.get(node)
    if not isinstance(node.ctx, ast.Load) or isinstance(parent, ast.Attribute | ast.keyword):
        return False
    if isinstance(parent, ast.arg | ast.ExceptHandler | FunctionNode | ast.ClassDef):
        return False
    return not (isinstance(parent, ast.Call) and parent.func is node)
