"""Bugs made for training: one or two small changes to a function's source text.

Operators work on the syntax tree and return text replacements, so formatting and comments stay
as written. `operators_expr` changes expressions, `operators_stmt` statements.
"""

import ast
import random
import textwrap
import warnings
from dataclasses import dataclass

from training.operators_expr import EXPRESSION_OPERATORS
from training.operators_stmt import STATEMENT_OPERATORS
from training.render import Edit
from training.spans import Change, Scope, scope_of

__all__ = ["Mutant", "mutate"]

_OPERATORS = {**EXPRESSION_OPERATORS, **STATEMENT_OPERATORS}
_MAX_FIX_LINES = 6
# Operators that fit almost everywhere would drown the bugs people write: weights of the draw.
_LIKELY = frozenset(
    "compare binary boolean negate number variable confused off-by-one boundary slice index "
    "clause-dropped augmented returned guard-dropped arguments-swapped conditional initial".split()
)
_UNLIKELY = frozenset("wrapped unwrapped attribute-dropped self-added method-dropped".split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    lines: tuple[str, ...]  # the buggy function
    fix: Edit  # what turns it back, by line number
    operators: tuple[str, ...]


def mutate(source: str, rng: random.Random) -> Mutant | None:
    """A mutant that parses, differs from the original, and is undone by one short edit.

    A tenth of them carry two changes near each other. None when nothing was found.
    """
    original = source.split("\n")
    count = 2 if rng.random() < 0.1 else 1
    text, names = source, []
    for _ in range(count):
        made = _once(text, rng)
        if made is None:
            break
        text, name = made
        names.append(name)
    lines = text.split("\n")
    fix = _difference(lines, original)
    if not names or fix is None or (len(names) > 1 and _same(text, source)):
        return None
    return Mutant(lines=tuple(lines), fix=fix, operators=tuple(names))


def _same(text: str, source: str) -> bool:
    """Whether a second change undid the first but for spelling."""
    after, before = scope_of(text), scope_of(source)
    return after is None or before is None or after.dump == before.dump


def _once(source: str, rng: random.Random) -> tuple[str, str] | None:
    """One change, drawn by operator first so that rare kinds are not drowned."""
    scope = scope_of(source)
    if scope is None:
        return None
    for name in sorted(_OPERATORS, key=lambda name: _draw(name, rng))[:16]:
        changes = list(_OPERATORS[name](scope, rng))
        rng.shuffle(changes)
        for change in changes[:2]:
            changed = _replace(scope, change)
            if changed is not None:
                return changed, name
    return None


def _draw(name: str, rng: random.Random) -> float:
    weight = 3.0 if name in _LIKELY else 0.6 if name in _UNLIKELY else 1.0
    return -float(rng.random() ** (1 / weight))


def _replace(scope: Scope, change: Change) -> str | None:
    """The changed source, or None when it no longer parses or means the same."""
    data = scope.data
    text = (data[: change.start] + change.text.encode() + data[change.end :]).decode().rstrip("\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(textwrap.dedent(text))
    except (SyntaxError, ValueError):
        return None
    if not tree.body or ast.dump(tree) == scope.dump:
        return None
    indent = len(scope.source) - len(scope.source.lstrip())
    return text if len(text) - len(text.lstrip()) == indent else None


def _difference(buggy: list[str], original: list[str]) -> Edit | None:
    """The smallest single edit from the buggy lines to the original ones."""
    head = 0
    while head < min(len(buggy), len(original)) and buggy[head] == original[head]:
        head += 1
    tail = 0
    most = min(len(buggy), len(original)) - head
    while tail < most and buggy[-1 - tail] == original[-1 - tail]:
        tail += 1
    last, new = len(buggy) - tail, original[head : len(original) - tail]
    if head == last or not new:  # pure insertion or deletion: anchor it on the line before
        if head == 0:
            return None
        head -= 1
        new = original[head : len(original) - tail]
    if len(new) > _MAX_FIX_LINES or last - head > _MAX_FIX_LINES:
        return None
    if not new[-1]:  # a final newline does not count in an answer, so it cannot end in a blank line
        return None
    return Edit(first=head + 1, last=last, lines=tuple(new))
