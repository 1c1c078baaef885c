"""Runs inside the tests of a package: writes down which calls a test made and what came of them.

The text of this module is put at the end of the `conftest.py` of a scratch tree, with `CONFIG`
before it; it imports the standard library only. Of a call made by a test itself it records an
expression that a reader can type, and the value, where both can be written as Python.
"""

import ast
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

CONFIG: dict[str, Any] = globals().get("CONFIG", {})
SHORT = 160
GENERATOR = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Watch:
    """The calls of one test."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.calls: list[dict[str, str]] = []
        self.made: dict[int, tuple[object, str, str]] = {}
        """Objects by id, with the expression and the import that make them. Kept alive."""

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        back = frame.f_back
        if event != "call" or back is None or not self._is_test(back.f_code):
            return None
        code = frame.f_code
        if not self._is_source(code) or code.co_flags & GENERATOR or code.co_name == "<lambda>":
            return None
        try:
            told = self._told(frame)
        except Exception:  # whatever a foreign __repr__ or signature does
            told = None
        return None if told is None else self._until_return(frame, *told)

    def _is_test(self, code: CodeType) -> bool:
        name = Path(code.co_filename)
        return code.co_filename.startswith(self.root) and "test" in str(name.relative_to(self.root))

    def _is_source(self, code: CodeType) -> bool:
        return code.co_filename.startswith(self.root) and not self._is_test(code)

    def _until_return(self, frame: FrameType, line: str, said: str) -> Callable[..., Any]:
        raised: list[BaseException] = []

        def local(_: FrameType, event: str, arg: Any) -> Any:
            if event == "line":
                raised.clear()
            elif event == "exception":
                raised[:] = [arg[1]]
            elif event == "return":
                try:
                    self._note(frame, line, said, raised[0] if raised else None, arg)
                except Exception:
                    return None
            return local

        return local

    def _note(
        self, frame: FrameType, line: str, said: str, error: BaseException | None, value: object
    ) -> None:
        if error is not None:
            kind = type(error)
            row = {"kind": "raises", "value": kind.__qualname__, "module": kind.__module__}
            row["message"] = str(error)[:SHORT]
        elif frame.f_code.co_name == "__init__":
            made = frame.f_locals[frame.f_code.co_varnames[0]]
            self.made[id(made)] = (made, said, line)
            return
        else:
            self.made.setdefault(id(value), (value, said, line))
            text = repr(value)
            if " at 0x" in text or len(text) > SHORT or "\n" in text:
                return
            kind_of = "equals" if is_literal(value) else "repr"
            row = {"kind": kind_of, "value": text}
        self.calls.append({"import": line, "call": said, **row})

    def _told(self, frame: FrameType) -> tuple[str, str] | None:
        """The import and the call of this frame."""
        code = frame.f_code
        if code.co_name.startswith("_") and code.co_name != "__init__":
            return None
        first = frame.f_locals[code.co_varnames[0]] if code.co_argcount else None
        if code.co_name == "__init__":
            kind = type(first)
            where = self._public(kind.__module__, kind.__qualname__, kind)
            if where is None:
                return None
            said = self._arguments(frame, inspect.signature(kind), 1)
            return None if said is None else (where, f"{kind.__qualname__}({said})")
        if "." in code.co_qualname:
            return self._method(frame, first)
        function = inspect.unwrap(frame.f_globals[code.co_name])
        if function.__code__ is not code:
            return None
        where = self._public(
            frame.f_globals["__name__"], code.co_name, frame.f_globals[code.co_name]
        )
        said = self._arguments(frame, inspect.signature(function), 0)
        return None if where is None or said is None else (where, f"{code.co_name}({said})")

    def _method(self, frame: FrameType, first: object) -> tuple[str, str] | None:
        name = frame.f_code.co_name
        if id(first) in self.made and self.made[id(first)][0] is first:
            _, receiver, where = self.made[id(first)]
        elif isinstance(first, type):
            found = self._public(first.__module__, first.__qualname__, first)
            if found is None:
                return None
            receiver, where = first.__qualname__, found
        else:
            return None
        bound = getattr(first, name)
        if not callable(bound):
            return where, f"{receiver}.{name}"
        said = self._arguments(frame, inspect.signature(bound), 1)
        return None if said is None else (where, f"{receiver}.{name}({said})")

    def _arguments(self, frame: FrameType, signature: inspect.Signature, skip: int) -> str | None:
        """What the call was given, without what is the default."""
        parts = []
        named = False
        for name, parameter in signature.parameters.items():
            if name not in frame.f_locals:
                return None
            value = frame.f_locals[name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                parts += [self._written(v) for v in value]
            elif parameter.kind is parameter.VAR_KEYWORD:
                parts += [f"{k}={self._written(v)}" for k, v in value.items()]
            elif parameter.default is not parameter.empty and same(value, parameter.default):
                named = True
            elif named or parameter.kind is parameter.KEYWORD_ONLY:
                parts.append(f"{name}={self._written(value)}")
            else:
                parts.append(self._written(value))
        text = ", ".join(parts)
        return None if "\0" in text or len(text) > SHORT else text

    def _written(self, value: object) -> str:
        if is_literal(value):
            return repr(value)
        if isinstance(value, type) and value.__module__ == "builtins":
            return value.__name__
        return "\0"

    def _public(self, module: str, name: str, value: object) -> str | None:
        """The import a user writes: from the package itself where it has the name."""
        if "." in name or name.startswith("_") or any(p.startswith("_") for p in module.split(".")):
            module = module.split(".")[0]
        for place in (module.split(".")[0], module):
            if getattr(importlib.import_module(place), name, None) is value:
                return f"from {place} import {name}"
        return None


def is_literal(value: object) -> bool:
    """Whether its `repr` reads back as the same."""
    try:
        return same(ast.literal_eval(repr(value)), value)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return False


def same(a: object, b: object) -> bool:
    try:
        return type(a) is type(b) and bool(a == b)
    except Exception:  # a foreign __eq__
        return False


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    if not CONFIG or item.nodeid not in CONFIG["ids"]:
        yield
        return
    watch = Watch(CONFIG["root"])
    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(before)
        with Path(CONFIG["out"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"id": item.nodeid, "calls": watch.calls}) + "\n")
