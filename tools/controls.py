"""Do the inputs of a comparison put a condition to the test at all?

Two repairs that do the same on every generated input are one repair in two spellings only if the
inputs took the parts of their conditions both ways. So each part of a changed condition is
replaced by True and by False: where one of these *controls* cannot be told from the repair itself,
the part was never decisive, and nothing is concluded: mutation adequacy of the inputs, at the
changed lines. (`if not word and word.lower() not in UNCOUNTABLES` and `… or word.lower() in …` were
alike on 59 inputs, none of which was uncountable.)
"""

import ast
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tools.behaviour import Probed, Variant

__all__ = ["MOST", "controls", "decisive"]

MOST = 32
"""Controls of one comparison: each is a fork of some 50 ms. With more, nothing is concluded."""


def controls(variant: Variant, first: int, last: int) -> tuple[Variant, ...] | None:
    """The variant with each part of the conditions on its lines `first..last` fixed, both ways.

    Empty where the lines hold no condition; None where they cannot be made (not UTF-8).
    """
    try:
        variant.content.decode("utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(variant.content)
    except (UnicodeDecodeError, SyntaxError, ValueError, RecursionError):
        return None
    starts = [0]
    for line in variant.content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    made: list[Variant] = []
    for node in _parts(tree, first, last):
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        for fixed in (b"(True)", b"(False)"):
            content = variant.content[:begin] + fixed + variant.content[end:]
            made.append(replace(variant, content=content))
    return tuple(made)


def decisive(probed: Probed, variant: int, rows: Sequence[int]) -> bool:
    """Whether each control among `rows` of the outcomes differs from the variant on some input."""
    own = probed.outcomes[1 + variant]
    return all(
        any(
            o is not None and a is not None and b is not None and a != b
            for o, a, b in zip(probed.outcomes[0], own, probed.outcomes[1 + n], strict=False)
        )
        for n in rows
    )


def _parts(tree: ast.Module, first: int, last: int) -> Iterator[ast.expr]:
    """Conditions without `and`, `or`, `not` of their own, each once, that touch the lines."""
    seen: set[tuple[int, int]] = set()
    for node in ast.walk(tree):
        for part in _atoms(node):
            place = part.lineno, part.col_offset
            inside = part.lineno <= last and (part.end_lineno or part.lineno) >= first
            if inside and place not in seen and not isinstance(part, ast.Constant):
                seen.add(place)
                yield part


def _atoms(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
        yield from _leaves(node.test)
    elif isinstance(node, ast.BoolOp):
        yield from _leaves(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield from _leaves(node.operand)
    elif isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield from _leaves(test)


def _leaves(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _leaves(value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield from _leaves(node.operand)
    else:
        yield node
