"""Statement mutations. Each operator yields the changes it could make in a function."""

import ast
import itertools
import random
from collections.abc import Callable, Iterator

from training.spans import Change, Scope

__all__ = ["STATEMENT_OPERATORS"]

_AUGMENTED = {
    ast.Add: ("+=", ("-=", "=")),
    ast.Sub: ("-=", ("+=", "=")),
    ast.Mult: ("*=", ("+=", "/=")),
    ast.Div: ("/=", ("*=", "//=")),
    ast.FloorDiv: ("//=", ("/=", "%=")),
    ast.BitOr: ("|=", ("&=", "=")),
    ast.BitAnd: ("&=", ("|=",)),
}


def _bodies(scope: Scope) -> Iterator[list[ast.stmt]]:
    for node in scope.nodes:
        for part in ("body", "orelse", "finalbody"):
            body = getattr(node, part, None)
            if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                yield body


def _short(node: ast.stmt) -> bool:
    return node.end_lineno - node.lineno < 3


def _dropped(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for body in _bodies(scope):
        for node in body:
            if len(body) > 1 and _short(node) and id(node) not in scope.docs:
                yield Change(*scope.lines(node), "")


def _duplicated(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Assign, ast.AugAssign, ast.Expr):
        start, end = scope.lines(node)
        text = scope.data[start:end].decode()
        if _short(node) and text.endswith("\n"):
            yield Change(end, end, text)


def _moved(scope: Scope, rng: random.Random) -> Iterator[Change]:
    """Exchange two neighbouring statements."""
    for body in _bodies(scope):
        for first, second in itertools.pairwise(body):
            if not (_short(first) and _short(second)) or id(first) in scope.docs:
                continue
            start, middle = scope.lines(first)
            begin, end = scope.lines(second)
            texts = [scope.data[a:b].decode() for a, b in ((start, middle), (begin, end))]
            if middle == begin and all(t.endswith("\n") for t in texts):
                yield Change(start, end, texts[1] + texts[0])


def _shifted(scope: Scope, rng: random.Random) -> Iterator[Change]:
    """Indent a statement less (out of its block) or more (into the block before it)."""
    for body in _bodies(scope):
        last = body[-1]
        if _short(last) and len(body) > 1 and last.col_offset >= 8:
            start = scope.lines(last)[0]
            yield Change(start, start + 4, "")
        for before, node in itertools.pairwise(body):
            block = isinstance(before, ast.If | ast.For | ast.While | ast.With | ast.Try)
            if block and node.lineno == node.end_lineno:
                start = scope.lines(node)[0]
                yield Change(start, start, "    ")


def _returned(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Return):
        made = ["return", "return None", "pass"]
        if node.value is None:
            made = ["pass", "return True", "return False"]
        else:
            made += [f"return {n}" for n in scope.locals[:6]]
            made += [scope.text(node.value), f"return not {scope.text(node.value)}"]
        yield scope.swap(node, rng.choice(made))


def _jump(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Break, ast.Continue):
        made = ["pass", "return", "continue" if isinstance(node, ast.Break) else "break"]
        yield scope.swap(node, rng.choice(made))


def _raised(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Raise):
        if node.exc is not None:
            yield scope.swap(node, rng.choice(("pass", "return", f"return {scope.text(node.exc)}")))


def _handler(scope: Scope, rng: random.Random) -> Iterator[Change]:
    kinds = ("KeyError", "IndexError", "ValueError", "TypeError", "AttributeError", "OSError")
    for node in scope.of(ast.ExceptHandler):
        if isinstance(node.type, ast.Name):
            yield scope.swap(node.type, rng.choice([k for k in kinds if k != node.type.id]))


def _augmented(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.AugAssign):
        if known := _AUGMENTED.get(type(node.op)):
            pattern = "".join("\\" + c for c in known[0])
            change = scope.between(node.target, node.value, pattern, rng.choice(known[1]))
            if change:
                yield change


def _accumulated(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Assign):
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            if change := scope.between(node.targets[0], node.value, r"=", "+="):
                yield change


def _initial(scope: Scope, rng: random.Random) -> Iterator[Change]:
    """Another first value for a variable."""
    for node in scope.of(ast.Assign):
        value = node.value
        empty = isinstance(value, ast.List | ast.Dict) and not ast.unparse(value).strip("[]{}")
        if empty or (isinstance(value, ast.Constant) and not isinstance(value.value, str)):
            made = [m for m in ("None", "0", "1", "[]", "{}", "''") if m != scope.text(value)]
            yield scope.swap(value, rng.choice(made))


def _default(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.arguments):
        for value in [*node.defaults, *(d for d in node.kw_defaults if d is not None)]:
            made = [m for m in ("None", "True", "False", "0", "1", "''") if m != scope.text(value)]
            yield scope.swap(value, rng.choice(made))


def _branch(scope: Scope, rng: random.Random) -> Iterator[Change]:
    """`elif` becomes `if`, and the other way round."""
    for body in _bodies(scope):
        for node in body:
            if not isinstance(node, ast.If):
                continue
            start = scope.span(node)[0]
            if scope.data[start : start + 4] == b"elif":
                yield Change(start, start + 4, "if")
        for first, second in itertools.pairwise(body):
            if isinstance(first, ast.If) and not first.orelse and isinstance(second, ast.If):
                start = scope.span(second)[0]
                yield Change(start, start, "el")


def _loop(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.For):
        text = scope.text(node.iter)
        yield scope.swap(
            node.iter, rng.choice((f"{text}[1:]", f"{text}[:-1]", f"reversed({text})"))
        )
    for node in scope.of(ast.While):
        start = scope.span(node)[0]
        yield Change(start, start + 5, "if")


def _guard_dropped(scope: Scope, rng: random.Random) -> Iterator[Change]:
    """Drop an `if` that only leaves (the fix adds lines back)."""
    leaving = (ast.Return, ast.Raise, ast.Continue, ast.Break)
    for body in _bodies(scope):
        for node in body:
            guard = isinstance(node, ast.If) and not node.orelse and len(body) > 1
            if guard and isinstance(node.body[-1], leaving) and node.end_lineno - node.lineno < 4:
                yield Change(*scope.lines(node), "")


def _condition_fixed(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.If):
        yield scope.swap(node.test, rng.choice(("True", "False", "None")))


STATEMENT_OPERATORS: dict[str, Callable[[Scope, random.Random], Iterator[Change]]] = {
    "statement-dropped": _dropped,
    "statement-duplicated": _duplicated,
    "statement-moved": _moved,
    "statement-shifted": _shifted,
    "returned": _returned,
    "jump": _jump,
    "raised": _raised,
    "handler": _handler,
    "augmented": _augmented,
    "accumulated": _accumulated,
    "initial": _initial,
    "default": _default,
    "branch": _branch,
    "loop": _loop,
    "guard-dropped": _guard_dropped,
    "condition-fixed": _condition_fixed,
}
