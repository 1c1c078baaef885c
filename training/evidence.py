"""Real evidence for an edit step: original and mutant run on the same generated inputs.

Only functions that need nothing but their arguments, a few harmless builtins and methods of
plain values are run, with a limit on steps and seconds. The lines read like pytest's `E` lines,
which is what the product shows: `assert 3 == 4` and `+  where 3 = f(1, 2)`, or `TypeError: …`.
"""

import ast
import builtins
import random
import signal
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from types import FrameType
from typing import Any

__all__ = ["evidence", "runs_alone"]

_BUILTINS = frozenset(
    "abs all any ascii bin bool chr dict divmod enumerate filter float format frozenset hash hex "
    "int isinstance issubclass iter len list map max min next oct ord range repr reversed round "
    "set slice sorted str sum tuple type zip Exception ValueError TypeError KeyError IndexError "
    "AttributeError ZeroDivisionError StopIteration RuntimeError NotImplementedError "
    "OverflowError ArithmeticError LookupError True False None".split()
)
_METHODS = frozenset(
    name
    for kind in (str, list, dict, set, tuple, int, float)
    for name in dir(kind)
    if not name.startswith("_") and name not in ("format", "format_map", "to_bytes")
)
_REFUSED: tuple[type[ast.AST], ...] = (
    *(ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Await, ast.Yield, ast.YieldFrom),
    *(ast.ClassDef, ast.AsyncFor, ast.AsyncWith, ast.With, ast.Try, ast.Pow),
)
_POOL: tuple[object, ...] = (
    *(0, 1, 2, 3, 5, 7, 10, -1, -4),
    *("", "a", "abc", "Hello World", "a,b,,c", " x ", "key=value", "1.2.3"),
    *([], [1], [3, 1, 2], ["b", "a"], [1, 2, 2, 5], [[1, 2], [3]]),
    *({}, {"a": 1}, {"a": 1, "b": 2}),
    *((1, 2), (), True, False, None, 0.5),
)
_STEPS = 2000
_SECONDS = 0.3
_TRIES = 60
_WANTED = 6  # inputs the original accepts
_LONGEST = 120


class _Stopped(BaseException):
    """Out of steps or time. Not an Exception: the function may catch those."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a call did: the value's text, or `Kind: message` of what it raised."""

    value: str | None
    raised: str | None


def evidence(original: str, mutant: str, rng: random.Random) -> tuple[str, ...]:
    """Evidence lines (without the `! `), empty when the two cannot be run or do not differ."""
    trees = []
    for text in (original, mutant):
        tree = _function(text)
        if tree is None or not runs_alone(tree):
            return ()
        trees.append(tree)
    name, count = trees[0].name, len(trees[0].args.args)
    if len(trees[1].args.args) != count:
        return ()
    first, second = (_compile(t) for t in trees)
    accepted = 0
    for _ in range(_TRIES):
        args = [rng.choice(_POOL) for _ in range(count)]
        wanted = _call(first, args)
        if wanted is None or wanted.raised is not None:
            continue
        accepted += 1
        got = _call(second, args)
        if got is not None and got != wanted:
            return _lines(name, args, wanted, got)
        if accepted == _WANTED:
            break
    return ()


def runs_alone(function: ast.FunctionDef) -> bool:
    """Whether a function can be run by itself and cannot touch anything outside."""
    args = function.args
    plain = not (args.vararg or args.kwarg or args.kwonlyargs or args.posonlyargs)
    if not plain or function.decorator_list or not 1 <= len(args.args) <= 3:
        return False
    if args.args[0].arg in ("self", "cls"):
        return False
    known = _BUILTINS | {function.name}
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            known |= {node.arg}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known |= {node.id}
    return all(_harmless(node, known) for node in ast.walk(_bare(function)))


def _harmless(node: ast.AST, known: frozenset[str]) -> bool:
    if isinstance(node, _REFUSED):
        return False
    if isinstance(node, ast.Name):
        return node.id in known and not node.id.startswith("__")
    if isinstance(node, ast.Attribute):
        return node.attr in _METHODS and isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return abs(node.value) < 10**6  # no `[0] * 10**9`
    return not isinstance(node, ast.FunctionDef) or not node.decorator_list


def _function(source: str) -> ast.FunctionDef | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(textwrap.dedent(source)).body
    except (SyntaxError, ValueError):
        return None
    return body[0] if body and isinstance(body[0], ast.FunctionDef) else None


def _bare(function: ast.FunctionDef) -> ast.FunctionDef:
    """A copy without annotations, which name things that are not here."""
    bare = deepcopy(function)
    for node in ast.walk(bare):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return bare


def _compile(function: ast.FunctionDef) -> Callable[..., object]:
    module = ast.fix_missing_locations(ast.Module(body=[_bare(function)], type_ignores=[]))
    space: dict[str, object] = {
        "__builtins__": {n: getattr(builtins, n) for n in _BUILTINS if hasattr(builtins, n)}
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(module, "<evidence>", "exec"), space)
    made = space[function.name]
    assert callable(made)
    return made


def _call(function: Callable[..., object], args: Sequence[object]) -> _Outcome | None:
    """One call on copies of the arguments; None when it ran too long or has no plain result."""
    try:
        with _limits():
            value = function(*deepcopy(list(args)))
            text = repr(value)
    except _Stopped:
        return None
    except Exception as error:  # whatever the code under test raises is its outcome
        return _Outcome(None, f"{type(error).__name__}: {error}"[:_LONGEST])
    if len(text) > _LONGEST or " at 0x" in text:
        return None
    return _Outcome(text, None)


@contextmanager
def _limits() -> Iterator[None]:
    """Stop after so many lines or so much time."""
    left = _STEPS

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise _Stopped
        return trace

    def late(number: int, frame: FrameType | None) -> None:
        raise _Stopped

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    traced = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(traced)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _lines(name: str, args: Sequence[object], wanted: _Outcome, got: _Outcome) -> tuple[str, ...]:
    if got.raised is not None:
        return (got.raised,)
    call = f"{name}({', '.join(map(repr, args))})"
    return (f"assert {got.value} == {wanted.value}", f"+  where {got.value} = {call}")
