"""Part of tools/probe.py, copied beside it: what a value is, as text, and which values are near it.

Standard library only, Python 3.8 and later.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import decimal
import itertools
import random
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

MOST_TEXT = 4000
DEPTH = 5
_PLAIN = (bool, int, str, bytes, complex, float, type(None))
_SHOWN = (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal)
_NAMED = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)
_ITERATORS: tuple[type, ...] = (type(iter([])), type(iter(())), type(iter("")))
"""Those that can be copied where they stand."""


def told(value: Any, depth: int = 0, seen: frozenset[int] = frozenset()) -> str:
    """A text that is equal for equal values: no addresses, sets and instances in a fixed order."""
    name = type(value).__qualname__
    if isinstance(value, _PLAIN):
        return f"{name}:{value!r}"[:MOST_TEXT]
    if depth > DEPTH or id(value) in seen:
        return f"<{name}>"
    if isinstance(value, _SHOWN):
        return f"{name}:{value!r}"
    if isinstance(value, _NAMED):
        return f"<{getattr(value, '__qualname__', getattr(value, '__name__', '?'))}>"
    if isinstance(value, _ITERATORS):
        return f"{name}:{told(_rest(value), depth + 1, seen)}"
    seen |= {id(value)}

    def part(inner: Any) -> str:
        return told(inner, depth + 1, seen)

    if isinstance(value, (list, tuple, dict, set, frozenset)):
        return f"{name}{_container(value, part)}"
    if isinstance(value, BaseException):
        return f"{name}({','.join(map(part, value.args))})"
    state = _state(value)
    if not state:
        text = repr(value)
        return name if " at 0x" in text else f"{name}:{text[:200]}"
    return f"{name}({','.join(f'{k}={part(v)}' for k, v in sorted(state.items()))})"


def _rest(iterator: Any) -> list[Any]:
    """What an iterator has yet to give, which it still has afterwards."""
    return list(itertools.islice(copy.copy(iterator), 200))


def _container(value: Any, part: Callable[[Any], str]) -> str:
    if isinstance(value, dict):
        return f"{{{','.join(f'{part(k)}={part(v)}' for k, v in list(value.items())[:200])}}}"
    if isinstance(value, (set, frozenset)):
        return f"{{{','.join(sorted(map(part, value)))}}}"
    return f"[{','.join(map(part, value[:200]))}]{len(value)}"


def _state(value: Any) -> dict[str, Any]:
    state = dict(getattr(value, "__dict__", None) or {})
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, slot):
                state[slot] = getattr(value, slot)
    return state


# --------------------------------------------------------------------------- values near one


def varied(value: Any, depth: int = 0) -> Iterator[Any]:
    """Values near one: the edges of its type, and small changes."""
    for kinds, vary in _VARY:
        if isinstance(value, kinds):
            with contextlib.suppress(OverflowError, ValueError):
                yield from vary(value, depth)
            return


def _booleans(value: Any, depth: int) -> Iterator[Any]:
    yield from (not value, None)


def _integers(value: Any, depth: int) -> Iterator[Any]:
    yield from (value + 1, value - 1, 0, 1, -value, value * 2, value + 10, None)


def _floats(value: Any, depth: int) -> Iterator[Any]:
    yield from (value + 0.5, 0.0, -value, value * 1.5, float(int(value)))


def _texts(value: Any, depth: int) -> Iterator[Any]:
    yield from (value[:0], value[:-1], value[1:], value + value[-1:], value[::-1])
    yield from (value.upper(), value.lower(), value.swapcase())
    if isinstance(value, str):
        yield from (f" {value}", f"{value} ", f"{value}1", f"-{value}", value.title())
        for at in [i for i, c in enumerate(value) if c.isdigit()][:4]:
            for new in "019":
                yield value[:at] + new + value[at + 1 :]
        half = len(value) // 2
        yield from (value[:half], value[half:], value[:half] + " " + value[half:], value * 2)


def _sequences(value: Any, depth: int) -> Iterator[Any]:
    if type(value) not in (list, tuple):
        return  # a named tuple has its own rules
    yield from (value[:0], value[:-1], value[1:], value + value[-1:], value[::-1])
    for at, item in enumerate(value[:4]) if depth < 2 else ():
        for new in list(varied(item, depth + 1))[:4]:
            changed = [*value[:at], new, *value[at + 1 :]]
            yield changed if isinstance(value, list) else tuple(changed)


def _iterators(value: Any, depth: int) -> Iterator[Any]:
    for items in _sequences(_rest(value), depth):
        yield iter(items)


def _mappings(value: Any, depth: int) -> Iterator[Any]:
    if type(value) is not dict:
        return
    yield {}
    for key in list(value)[:3]:
        yield {k: v for k, v in value.items() if k != key}
        for new in list(varied(value[key], depth + 1))[:4] if depth < 2 else ():
            yield {**value, key: new}


def _dates(value: Any, depth: int) -> Iterator[Any]:
    for days in (1, -1, 31, 366):
        yield value + datetime.timedelta(days=days)


def _spans(value: Any, depth: int) -> Iterator[Any]:
    yield from (-value, value * 2, datetime.timedelta(0), value + datetime.timedelta(days=1))


def _nothing(value: Any, depth: int) -> Iterator[Any]:
    yield from (0, "", [])


_VARY: tuple[tuple[Any, Callable[[Any, int], Iterator[Any]]], ...] = (
    (bool, _booleans),
    (int, _integers),
    (float, _floats),
    ((str, bytes), _texts),
    ((list, tuple), _sequences),
    (_ITERATORS, _iterators),
    (dict, _mappings),
    (datetime.date, _dates),
    (datetime.timedelta, _spans),
    (type(None), _nothing),
)


MOST_KNOWN = 60


def constants(function: types.FunctionType) -> list[Any]:
    """Plain values that a function's code compares with: its literals, and what is in the
    constants and containers of its module that it names. Near these its branches part."""
    found: dict[str, Any] = {}

    def add(value: Any, depth: int = 0) -> None:
        if type(value) in _PLAIN and value is not None:
            found.setdefault(told(value), value)
        elif depth < 2 and isinstance(value, (list, tuple, set, frozenset, dict)):
            items = list(value) + (list(value.values()) if isinstance(value, dict) else [])
            for item in sorted(items, key=told)[:12] if len(items) < 10_000 else ():
                add(item, depth + 1)

    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
        for value in code.co_consts[1:] if function.__doc__ else code.co_consts:
            add(value)
        for name in code.co_names:
            add(function.__globals__.get(name))
    return list(found.values())[:MOST_KNOWN]


def inputs(
    calls: list[tuple[dict[str, Any], bool]],
    most: int,
    rng: random.Random,
    known: Iterable[Any] = (),
) -> list[tuple[dict[str, Any], bool, bool]]:
    """(arguments, seen in a failing test, varied): the recorded ones first, then those with a
    `known` value in the place of one of its type, at most a half of the rest."""
    found = [(given, red, False) for given, red in calls]
    keys = {told(given) for given, _ in calls}
    special: list[tuple[dict[str, Any], bool, bool]] = []
    for new in known:
        for given, red in calls[:4]:
            for name, value in given.items():
                changed = {**given, name: new}
                key = told(changed)
                if type(new) is type(value) and key not in keys and len(key) <= MOST_TEXT:
                    keys.add(key)
                    special.append((changed, red, True))
    rng.shuffle(special)
    found += special[: max(most - len(found), 0) // 2]
    more: list[tuple[dict[str, Any], bool, bool]] = []
    for given, red in calls:
        for name, value in given.items():
            news = list(varied(value))
            others = [g[name] for g, _ in calls if name in g]
            news += rng.sample(others, min(len(others), 4))
            if name in ("self", "cls"):
                news = list(instances(value))
            for new in news:
                changed = {**given, name: new}
                key = told(changed)
                if key not in keys and len(key) <= MOST_TEXT:
                    keys.add(key)
                    more.append((changed, red, True))
    rng.shuffle(more)
    return found + more[: max(most - len(found), 0)]


def instances(value: Any) -> Iterator[Any]:
    """An object with one plain attribute changed."""
    state = getattr(value, "__dict__", None)
    for name, held in list(state.items())[:8] if isinstance(state, dict) else ():
        if held is None or isinstance(held, (bool, int, float, str)):
            for new in list(varied(held))[:4]:
                with contextlib.suppress(Exception):
                    changed = copy.copy(value)
                    changed.__dict__[name] = new
                    yield changed
