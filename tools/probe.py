"""Run by the target's interpreter inside the sandbox, alone: how do variants of a function behave?

    python probe.py JOB.json

JOB: what tools/forkserver.py takes ("root", "kind", "args", "flags", "ids", "paths", "fallback"),
and "failing": [test ids], "functions": [{"path", "name", "first"}], "variants": [{"path",
"content": base64, "function": n} ...], "seconds", "most".

1. The tests run once on the tree as it is; arguments of each call of the functions are copied.
2. The copies are varied: by type, and with values other calls had in the same place.
3. For each variant a fork puts its code into the live function objects and calls them with every
   input. The unchanged code goes first and once more at the end: what differs between the two is
   left to chance and dropped.

One JSON object goes to stdout: {"inputs": [[function, "failing"|"passing"] ...], "varied": [bool
...], "outcomes": [[number or null ...] or null per variant, the unchanged first]} or {"why": text};
numbers are equal where outcomes of one input are.

Standard library only, Python 3.8 and later; imports nothing of ours but the file beside it.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import gc
import hashlib
import importlib
import json
import os
import random
import resource
import signal
import sys
import time
import types
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from tools.probe_values import MOST_TEXT, constants, inputs, told
else:
    from probe_values import MOST_TEXT, constants, inputs, told

PREFIX = "@pointsman "
PER_CALL_S = 0.25
MOST_CALLS = 40
"""Recorded per function, different ones only."""


class TooLong(BaseException):
    """A call ran out of time. Not an Exception: the code under test may catch those."""


# --------------------------------------------------------------------------- recording


class Tap:
    """Copies the arguments of calls of some code objects while tests run."""

    def __init__(self, wanted: dict[tuple[str, str, int], int], failing: set[str]) -> None:
        self.wanted = wanted
        self.failing = failing
        self.test = ""
        self.codes: dict[int, types.CodeType] = {}
        self.calls: dict[int, list[tuple[dict[str, Any], bool]]] = {}
        self.keys: dict[int, set[tuple[str, bool]]] = {}
        self.known: dict[types.CodeType, int] = {}
        self.busy = False

    def __call__(self, frame: types.FrameType, event: str, _: Any) -> None:
        if event != "call" or self.busy:
            return
        code = frame.f_code
        number = self.known.get(code)
        if number is None:
            place = os.path.realpath(code.co_filename), code.co_name, code.co_firstlineno
            number = self.known[code] = self.wanted.get(place, -1)
            if number >= 0:
                self.codes[number] = code
        if number < 0 or len(self.calls.setdefault(number, [])) >= MOST_CALLS:
            return
        self.busy = True
        try:
            self.take(number, frame)
        except Exception:  # whatever copying foreign objects may raise: this call is not kept
            pass
        finally:
            self.busy = False

    def take(self, number: int, frame: types.FrameType) -> None:
        code = frame.f_code
        count = code.co_argcount + code.co_kwonlyargcount
        count += bool(code.co_flags & 4) + bool(code.co_flags & 8)
        names = code.co_varnames[:count]
        here = frame.f_locals
        given = {n: here[n] for n in names}
        key = told(given)
        red = self.test in self.failing
        if len(key) > MOST_TEXT or (key, red) in self.keys.setdefault(number, set()):
            return
        self.keys[number].add((key, red))
        self.calls[number].append((copy.deepcopy(given), red))


class Marker:
    """A pytest plugin: only our tests, and which one runs."""

    def __init__(self, ids: set[str], tap: Tap) -> None:
        self.ids, self.tap = ids, tap

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if item.nodeid in self.ids]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.tap.test = nodeid


def run_tests(job: dict[str, Any], tap: Tap) -> None:
    if job["kind"] == "pytest":
        import pytest

        found = importlib.util.find_spec
        flags = [x for module, given in job["flags"].items() if found(module) for x in given]
        args = [*job["args"], *flags, "-q", "-p", "no:cacheprovider", "--tb=no"]
        pytest.main(args, plugins=[Marker(set(job["ids"]), tap)])
        return
    import unittest

    for name in job["ids"]:
        tap.test = name
        unittest.defaultTestLoader.loadTestsFromName(name).run(unittest.TestResult())


def functions_of(code: types.CodeType) -> list[types.FunctionType]:
    return [f for f in gc.get_referrers(code) if isinstance(f, types.FunctionType)]


# --------------------------------------------------------------------------- calling


def called(function: types.FunctionType, given: dict[str, Any]) -> str:
    """What a call does, as text: value or exception, and what became of the arguments."""
    code = function.__code__
    names = code.co_varnames
    plain = names[: code.co_argcount]
    keyed = names[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    at = code.co_argcount + code.co_kwonlyargcount
    given = copy.deepcopy(given)
    positional = [given[n] for n in plain]
    named = {n: given[n] for n in keyed}
    if code.co_flags & 4:
        positional += given[names[at]]
        at += 1
    if code.co_flags & 8:
        named.update(given[names[at]])
    signal.setitimer(signal.ITIMER_REAL, PER_CALL_S)
    try:
        value = function(*positional, **named)
        if isinstance(value, types.CoroutineType):
            value.close()
            raise TypeError("a coroutine is not run")
        if isinstance(value, (types.GeneratorType, map, filter, zip)):
            value = [x for x, _ in zip(value, range(50))]  # noqa: B905
        said = f"= {told(value)}"
    except TooLong:
        return "too long"
    except TypeError:  # its words name the operator: `a >= b` and `a > b - 1` both refuse None
        said = "! TypeError"
    except Exception as error:
        said = f"! {type(error).__qualname__}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    said += " " + told(given)
    return hashlib.md5(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def inner_code(module: types.CodeType, name: str, first: int) -> types.CodeType | None:
    """The code object of a qualified name: the one that begins nearest to a line."""
    level = [module]
    for part in name.split("."):
        level = [
            c
            for code in level
            for c in code.co_consts
            if isinstance(c, types.CodeType) and c.co_name == part
        ]
    return min(level, key=lambda c: abs(c.co_firstlineno - first), default=None)


def in_fork(work: Callable[[], Any], seconds: float) -> Any:
    """The result of `work` in a child process, by way of JSON; None if it did not end well."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os.setsid()
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        try:
            os.write(write, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    signal.setitimer(signal.ITIMER_REAL, seconds + 1)
    chunks = []
    try:
        while chunk := os.read(read, 1 << 16):
            chunks.append(chunk)
    except TooLong:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read)
    try:
        return json.loads(b"".join(chunks))
    except ValueError:
        return None


def outcomes(
    cases: Sequence[tuple[types.FunctionType, dict[str, Any]]],
    swap: tuple[Sequence[types.FunctionType], types.CodeType] | None,
    seconds: float,
) -> list[str | None]:
    if swap is not None:
        for function in swap[0]:
            function.__code__ = swap[1]
    ends = time.monotonic() + seconds
    found: list[str | None] = []
    for function, given in cases:
        if time.monotonic() > ends:
            found.append(None)
            continue
        try:
            found.append(called(function, given))
        except Exception:  # an input that cannot be copied or told twice
            found.append(None)
    return found


def late(number: int, frame: types.FrameType | None) -> None:
    raise TooLong


def variant_code(job: dict[str, Any], item: dict[str, Any]) -> types.CodeType | None:
    about = job["functions"][item["function"]]
    source = base64.b64decode(item["content"])
    try:
        module = compile(source, str(Path(job["root"], item["path"])), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    return inner_code(module, about["name"], about["first"])


def fits(function: types.FunctionType, code: types.CodeType) -> bool:
    """Whether the code may be put into the function: it closes over as many variables."""
    return len(function.__code__.co_freevars) == len(code.co_freevars)


def main() -> int:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    out = os.dup(1)
    sys.path[0:1] = job["paths"]
    sys.path += job["fallback"]
    sys.dont_write_bytecode = True
    os.chdir(job["root"])
    sys.argv[:] = [job["kind"]]
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (1, 2):
        os.dup2(null, fd)
    signal.signal(signal.SIGALRM, late)
    said = compared(job)
    os.write(out, (PREFIX + json.dumps(said) + "\n").encode())
    os._exit(0)


def compared(job: dict[str, Any]) -> dict[str, Any]:
    wanted = {
        (
            os.path.realpath(f"{job['root']}/{about['path']}"),
            about["name"].split(".")[-1],
            about["first"],
        ): n
        for n, about in enumerate(job["functions"])
    }
    tap = Tap(wanted, set(job["failing"]))
    sys.setprofile(tap)
    try:
        run_tests(job, tap)
    except BaseException as error:  # a process boundary: whatever the tests do
        if not tap.calls:
            return {"why": f"the tests did not run: {type(error).__name__}"}
    finally:
        sys.setprofile(None)
    rng = random.Random(0)
    cases, about, new = [], [], []
    live = {n: functions_of(code) for n, code in tap.codes.items()}
    for number in sorted(tap.calls):
        if not live.get(number):
            continue
        function = live[number][0]
        found = inputs(tap.calls[number], job["most"], rng, constants(function))
        for given, red, is_varied in found:
            cases.append((function, given))
            about.append([number, "failing" if red else "passing"])
            new.append(is_varied)
    if not cases:
        return {"why": "no call of the changed functions could be recorded"}
    seconds = job["seconds"]
    rows = [in_fork(lambda: outcomes(cases, None, seconds), seconds)]
    for item in job["variants"]:
        code, functions = variant_code(job, item), live.get(item["function"], [])
        if code is None or not functions or not all(fits(f, code) for f in functions):
            rows.append(None)
            continue
        rows.append(in_fork(partial(outcomes, cases, (functions, code), seconds), seconds))
    again = in_fork(lambda: outcomes(cases, None, seconds), seconds)
    if rows[0] is None or again is None:
        return {"why": "the unchanged code could not be called"}
    rows[0] = [a if a == again[n] else None for n, a in enumerate(rows[0])]
    return {"inputs": about, "varied": new, "outcomes": numbered(rows)}


def numbered(rows: list[Any]) -> list[Any]:
    """Outcomes as small numbers, the same for equal ones of one input: output is bounded."""
    known: list[dict[str, int]] = [{} for _ in rows[0]]
    return [
        [
            None if text is None else known[n].setdefault(text, len(known[n]))
            for n, text in enumerate(row)
        ]
        if row is not None
        else None
        for row in rows
    ]


if __name__ == "__main__":
    sys.exit(main())
