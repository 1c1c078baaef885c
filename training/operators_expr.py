"""Expression mutations. Each operator yields the changes it could make in a function."""

import ast
import random
from collections.abc import Callable, Iterator

from training.operator_tables import ATOMS, BINARY, COMPARE, CONFUSED, WRAPPERS
from training.spans import Change, Scope

__all__ = ["EXPRESSION_OPERATORS"]


def _compare(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Compare):
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            pattern, others = COMPARE[type(op)]
            if change := scope.between(left, right, pattern, rng.choice(others)):
                yield change
            left = right


def _compare_operands(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Compare):
        if len(node.ops) == 1 and isinstance(node.ops[0], ast.Lt | ast.Gt | ast.In | ast.LtE):
            yield from _exchange(scope, node, node.left, node.comparators[0])


def _binary(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.BinOp):
        if (known := BINARY.get(type(node.op))) and not _formats(node):
            if change := scope.between(node.left, node.right, known[0], rng.choice(known[1])):
                yield change


def _binary_operands(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.BinOp):
        if isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Mod) and not _formats(node):
            yield from _exchange(scope, node, node.left, node.right)


def _binary_shrink(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.BinOp):
        kept = node.left if rng.random() < 0.7 else node.right
        yield scope.swap(node, scope.text(kept))


def _boolean(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.BoolOp):
        word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        i = rng.randrange(len(node.values) - 1)
        change = scope.between(node.values[i], node.values[i + 1], rf"\b{word}\b", other)
        if change:
            yield change


def _clause_dropped(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.BoolOp):
        word = " and " if isinstance(node.op, ast.And) else " or "
        values = [scope.text(v) for v in node.values]
        del values[rng.randrange(len(values))]
        yield scope.swap(node, word.join(values))


def _negate(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.If, ast.While, ast.IfExp):
        test = node.test
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            yield scope.swap(test, scope.text(test.operand))
        elif isinstance(test, ast.BoolOp | ast.Compare):
            yield scope.swap(test, f"not ({scope.text(test)})")
        else:
            yield scope.swap(test, f"not {scope.text(test)}")


def _not_dropped(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.UnaryOp):
        yield scope.swap(node, scope.text(node.operand))


def _number(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Constant):
        if type(node.value) is int and abs(node.value) < 10**6:
            near = {node.value + 1, node.value - 1, 0, 1, 2, node.value * 2} - {node.value}
            value = rng.choice(sorted(v for v in near if v >= 0))
            yield scope.swap(node, str(value))
        elif type(node.value) is float:
            yield scope.swap(node, repr(node.value * rng.choice((2, 0.5, 10, 0.1))))


def _singleton(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Constant):
        if node.value is True or node.value is False:
            yield scope.swap(node, str(not node.value))
        elif node.value is None:
            yield scope.swap(node, rng.choice(("True", "False", "0", "''", "[]")))


def _string(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Constant):
        value = node.value
        if not isinstance(value, str) or node.lineno != node.end_lineno or len(value) > 60:
            continue
        others = [s for s in scope.strings if s != value and len(s) < 40]
        made = ["", value[1:], value[:-1], value + " ", value.upper(), value.replace("%s", "%r")]
        made = [m for m in made if m != value] + others * 2
        if made:
            quote = '"' if scope.text(node).endswith('"') else "'"
            text = repr(rng.choice(made))
            yield scope.swap(node, text.replace("'", quote) if quote not in text else text)


def _variable(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Name):
        others = [n for n in scope.locals if n != node.id]
        if isinstance(node.ctx, ast.Load) and node.id in scope.locals and others:
            yield scope.swap(node, rng.choice(others))


def _target(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Name):
        others = [n for n in scope.locals if n != node.id]
        if isinstance(node.ctx, ast.Store) and others:
            yield scope.swap(node, rng.choice(others))


def _confused(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Name, ast.Attribute):
        name = node.id if isinstance(node, ast.Name) else node.attr
        others = [o for group in CONFUSED if name in group for o in group if o != name]
        if others:
            yield _rename(scope, node, rng.choice(others))


def _attribute(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Attribute):
        others = [a for a in scope.attributes if a != node.attr]
        if others:
            yield _rename(scope, node, rng.choice(others))


def _attribute_dropped(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Attribute):
        if isinstance(node.value, ast.Name) and isinstance(node.ctx, ast.Load):
            yield scope.swap(node, node.attr if rng.random() < 0.5 else node.value.id)


def _self_added(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Name):
        if isinstance(node.ctx, ast.Load) and node.id in scope.locals and "self" in scope.source:
            yield scope.swap(node, f"self.{node.id}")


def _arguments_swapped(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Call):
        if len(node.args) >= 2:
            i = rng.randrange(len(node.args) - 1)
            first, second = node.args[i], node.args[i + 1]
            start, end = scope.span(first)[0], scope.span(second)[1]
            yield Change(start, end, f"{scope.text(second)}, {scope.text(first)}")


def _argument_dropped(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Call):
        parts = [*node.args, *node.keywords]
        if len(parts) < 2:
            continue
        i = rng.randrange(len(parts))
        if i:
            yield Change(scope.span(parts[i - 1])[1], scope.span(parts[i])[1], "")
        else:
            yield Change(scope.span(parts[0])[0], scope.span(parts[1])[0], "")


def _keyword(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.keyword):
        if node.arg and scope.locals:
            yield scope.swap(node.value, rng.choice([*scope.locals, "None", "True", "False"]))


def _unwrapped(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Call):
        if len(node.args) == 1 and not node.keywords:
            yield scope.swap(node, scope.text(node.args[0]))


def _wrapped(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(*ATOMS):
        if isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            yield scope.swap(node, f"{rng.choice(WRAPPERS)}({scope.text(node)})")


def _method_dropped(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Call):
        if isinstance(node.func, ast.Attribute) and len(node.args) + len(node.keywords) <= 1:
            yield scope.swap(node, scope.text(node.func.value))


def _uncalled(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Call):
        if not node.args and not node.keywords:
            yield scope.swap(node, scope.text(node.func))


def _slice(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Slice):
        lower = scope.text(node.lower) if node.lower else ""
        upper = scope.text(node.upper) if node.upper else ""
        step = f":{scope.text(node.step)}" if node.step else ""
        made = [f"{upper}:{lower}", f"{lower}:", f":{upper}"]
        made += [f"{lower} + 1:{upper}", f"{lower}:{upper} - 1"] if lower and upper else []
        made += [f"{lower}:-1"] if not upper else []
        made += [f"1:{upper}"] if not lower else []
        now = f"{lower}:{upper}"
        yield scope.swap(node, rng.choice([m for m in made if m != now]) + step)


def _index(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Subscript):
        if isinstance(node.slice, ast.Slice | ast.Tuple):
            continue
        text = scope.text(node.slice)
        made = [f"{text} + 1", f"{text} - 1"]
        if isinstance(node.slice, ast.Constant) and node.slice.value in (0, 1):
            made = ["-1", "0", "1"]
        elif text == "-1":
            made = ["0", "-2", "1"]
        elif isinstance(node.slice, ast.BinOp):
            made = [scope.text(node.slice.left)]
        yield scope.swap(node.slice, rng.choice([m for m in made if m != text]))


def _unindexed(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Subscript):
        if isinstance(node.ctx, ast.Load):
            yield scope.swap(node, scope.text(node.value))


def _boundary(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in ("range", "len") and node.args:
            target = node.args[-1] if node.func.id == "range" else node
            text = scope.text(target)
            yield scope.swap(target, f"{text} {rng.choice('+-')} 1")
            if node.func.id == "range" and len(node.args) == 1:
                yield scope.swap(target, f"1, {text}")
            elif node.func.id == "range":
                yield scope.swap(node.args[0], f"{scope.text(node.args[0])} + 1")


def _off_by_one(scope: Scope, rng: random.Random) -> Iterator[Change]:
    """Take a +1 or -1 away."""
    for node in scope.of(ast.BinOp):
        right = node.right
        if (
            isinstance(right, ast.Constant)
            and right.value == 1
            and isinstance(node.op, ast.Add | ast.Sub)
        ):
            yield scope.swap(node, scope.text(node.left))


def _conditional(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.IfExp):
        test, yes, no = (scope.text(n) for n in (node.test, node.body, node.orelse))
        yield scope.swap(node, rng.choice((f"{no} if {test} else {yes}", yes, no)))


def _default_dropped(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.BoolOp):
        if isinstance(node.op, ast.Or) and len(node.values) == 2:
            yield scope.swap(node, scope.text(node.values[0]))


def _comprehension(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.comprehension):
        for test in node.ifs:
            yield Change(scope.span(node.iter)[1], scope.span(test)[1], "")
            yield scope.swap(test, f"not {scope.text(test)}")


def _element(scope: Scope, rng: random.Random) -> Iterator[Change]:
    """Exchange or drop elements of a tuple, list or dict."""
    for node in scope.of(ast.Tuple, ast.List):
        if len(node.elts) >= 2 and isinstance(node.ctx, ast.Load):
            i = rng.randrange(len(node.elts) - 1)
            first, second = node.elts[i], node.elts[i + 1]
            start, end = scope.span(first)[0], scope.span(second)[1]
            yield Change(start, end, f"{scope.text(second)}, {scope.text(first)}")
            yield Change(scope.span(first)[1], end, "")
    for node in scope.of(ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None and scope.locals:
                yield scope.swap(value, rng.choice(scope.locals))


def _await_dropped(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Await):
        yield scope.swap(node, scope.text(node.value))


def _star(scope: Scope, rng: random.Random) -> Iterator[Change]:
    for node in scope.of(ast.Starred):
        if isinstance(node.ctx, ast.Load):
            yield scope.swap(node, scope.text(node.value))


def _rename(scope: Scope, node: ast.Name | ast.Attribute, name: str) -> Change:
    start, end = scope.span(node)
    old = node.id if isinstance(node, ast.Name) else node.attr
    return Change(end - len(old.encode()) if isinstance(node, ast.Attribute) else start, end, name)


def _exchange(scope: Scope, node: ast.AST, left: ast.AST, right: ast.AST) -> Iterator[Change]:
    between = scope.data[scope.span(left)[1] : scope.span(right)[0]].decode()
    if "(" not in between and ")" not in between:
        start, end = scope.span(left)[0], scope.span(right)[1]
        yield Change(start, end, scope.text(right) + between + scope.text(left))


def _formats(node: ast.BinOp) -> bool:
    left = node.left
    return isinstance(node.op, ast.Mod) and isinstance(left, ast.Constant | ast.JoinedStr)


EXPRESSION_OPERATORS: dict[str, Callable[[Scope, random.Random], Iterator[Change]]] = {
    "compare": _compare,
    "compare-operands": _compare_operands,
    "binary": _binary,
    "binary-operands": _binary_operands,
    "binary-shrink": _binary_shrink,
    "boolean": _boolean,
    "clause-dropped": _clause_dropped,
    "negate": _negate,
    "not-dropped": _not_dropped,
    "number": _number,
    "singleton": _singleton,
    "string": _string,
    "variable": _variable,
    "target": _target,
    "confused": _confused,
    "attribute": _attribute,
    "attribute-dropped": _attribute_dropped,
    "self-added": _self_added,
    "arguments-swapped": _arguments_swapped,
    "argument-dropped": _argument_dropped,
    "keyword": _keyword,
    "unwrapped": _unwrapped,
    "wrapped": _wrapped,
    "method-dropped": _method_dropped,
    "uncalled": _uncalled,
    "slice": _slice,
    "index": _index,
    "unindexed": _unindexed,
    "boundary": _boundary,
    "off-by-one": _off_by_one,
    "conditional": _conditional,
    "default-dropped": _default_dropped,
    "comprehension": _comprehension,
    "element": _element,
    "await-dropped": _await_dropped,
    "star": _star,
}
