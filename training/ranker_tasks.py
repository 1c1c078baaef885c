"""Tasks to train the ranker on: a bug in a real file, and what a localiser would say about it.

Tests are simulated, not run: a test walks a function's statements, takes branches by their odds,
and follows calls inside the file. Tests that reach the bug fail, mostly. The product's own
localiser ranks lines from that coverage, so that ties and wrong first places look as they do there.
"""

import ast
import random
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.pool import stream
from agent.ranker.context import Context, words
from agent.ranker.tokens import General
from tools.enumerate import normal_form
from tools.localize import locate
from tools.types import (
    Candidate,
    Coverage,
    Frame,
    Hit,
    Suspect,
    TestCase,
    TestCommand,
    TestRun,
)
from training.mutate import mutate
from training.sources import Function, SourceFile

__all__ = ["Judge", "Task", "made_task"]

POOL = 400
"""Candidates of one task; the product looks at up to a few times as many."""
_NEAR = 200
LINES = 1000
_BRANCHES = (0.1, 0.3, 0.5, 0.7, 0.9)
_COMMAND = TestCommand(argv=("pytest",), kind="pytest", source="simulated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Candidates in the enumerator's order; `right` are the indices of those that repair."""

    package: str
    operator: str
    context: Context
    candidates: tuple[Candidate, ...]
    right: tuple[int, ...]
    reached: int
    """Place of the first right one in the enumerator's own order; POOL if it comes later."""


def made_task(
    file: SourceFile,
    function: Function,
    siblings: Sequence[SourceFile],
    general: General,
    rng: random.Random,
) -> Task | None:
    """A task, or None: no mutation fits, the enumerator cannot undo it, or no test reaches it."""
    at = file.text.find(function.source + "\n")
    mutant = mutate(function.source, rng) if at >= 0 else None
    if mutant is None or file.text.count("\n") > LINES:
        return None
    first = file.text.count("\n", 0, at) + 1
    text = file.text[:at] + "\n".join(mutant.lines) + file.text[at + len(function.source) :]
    after_end = file.text.count("\n", at + len(function.source))
    guilty = range(first + mutant.fix.first - 1, first + mutant.fix.last)
    judge = Judge(file.path, text.encode(), first, after_end, function.source, guilty)
    near = [_suspect(file.path, n) for n in guilty]
    sources = {file.path: text.encode()}
    found = [c for c in stream(sources.get, near, limit=_NEAR) if judge(c)]
    if not found:
        return None
    suspects = _localised(sources, file.path, function, guilty, siblings, rng)
    if not suspects:
        return None
    pool = list(stream(sources.get, suspects, limit=POOL))
    right = [i for i, c in enumerate(pool) if judge(c)]
    reached = right[0] if right else POOL
    if not right:  # beyond the pool: a ranker may still have to choose it
        scores = {s.line: s.score for s in suspects if s.path == file.path}
        first_found = found[0]
        score = max((scores.get(n, 0.0) for n in guilty), default=0.0)
        pool.append(_with_suspicion(first_found, score))
        right = [len(pool) - 1]
    context = Context(
        sources=sources,
        neighbours=[s.text for s in siblings],
        suspects=suspects,
        told=_told(function, mutant.fix.lines, rng),
        general=general,
    )
    return Task(
        package=file.package,
        operator=mutant.operators[0],
        context=context,
        candidates=tuple(pool),
        right=tuple(right),
        reached=reached,
    )


class Judge:
    """Whether a candidate gives back the original function, but for spelling."""

    def __init__(
        self, path: str, source: bytes, first: int, rest: int, original: str, guilty: range
    ) -> None:
        self._path, self._first, self._rest = path, first, rest
        self._lines = source.decode().split("\n")
        self._wanted = normal_form(textwrap.dedent(original).encode())
        last = len(self._lines) - rest
        self._near = range(max(first, guilty[0] - 2), min(last, guilty[-1] + 2) + 1)

    def __call__(self, candidate: Candidate) -> bool:
        inside = candidate.line in self._near and candidate.end_line in self._near
        if candidate.path != self._path or not inside:
            return False
        head = self._lines[self._first - 1 : candidate.line - 1]
        tail = self._lines[candidate.end_line : len(self._lines) - self._rest]
        text = "\n".join([*head, candidate.after.removesuffix("\n"), *tail])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return normal_form(textwrap.dedent(text).encode()) == self._wanted
        except SyntaxError:
            return False


def _suspect(path: str, line: int) -> Suspect:
    return Suspect(path=path, line=line, symbol=None, score=1.0)


def _with_suspicion(candidate: Candidate, score: float) -> Candidate:
    return replace(candidate, suspicion=score)


def _told(function: Function, fix: Sequence[str], rng: random.Random) -> frozenset[str]:
    """Words of an issue and a test: the function's name and some of its names, at random."""
    said = [function.name] if rng.random() < 0.8 else []
    names = sorted(words(function.source))
    said += rng.sample(names, min(len(names), rng.randint(0, 8)))
    if rng.random() < 0.15:
        said += sorted(words("\n".join(fix)))
    return words(" ".join(said))


# --------------------------------------------------------------------------- a simulated test suite


def _localised(
    sources: dict[str, bytes],
    path: str,
    function: Function,
    guilty: range,
    siblings: Sequence[SourceFile],
    rng: random.Random,
) -> tuple[Suspect, ...]:
    texts = {path: sources[path].decode()}
    if siblings and rng.random() < 0.5:
        other = rng.choice(siblings)
        if other.path != path and other.text.count("\n") < LINES:
            texts[other.path] = other.text
            sources[other.path] = other.text.encode()
    walk = _Walk(texts, rng)
    home = walk.around(path, guilty[0])
    tests: dict[str, dict[str, set[int]]] = {}
    failing: list[str] = []
    odds = rng.choice((0.4, 0.7, 1.0))
    for number in range(rng.randint(4, 40)):
        entries = [walk.entry(path, home)]
        if rng.random() < 0.4:
            entries.append(walk.entry(path, home))
        lines = walk.run(entries)
        name = f"tests/test_it.py::test_{number}"
        reached = any(n in lines.get(path, ()) for n in guilty)
        if reached and rng.random() < odds and len(failing) < 6:
            failing.append(name)
        tests[name] = lines
    for _ in range(20):
        if failing:
            break
        lines = walk.run([home] if home is not None else [])
        if any(n in lines.get(path, ()) for n in guilty):
            tests["tests/test_it.py::test_bug"] = lines
            failing.append("tests/test_it.py::test_bug")
    if not failing:
        return ()
    run = _run(tests, failing, path, function.name, guilty, rng)
    coverage = Coverage(
        lines={t: {p: frozenset(n) for p, n in by.items()} for t, by in tests.items()}
    )
    issue = f"`{function.name}` is wrong" if rng.random() < 0.5 else "it is wrong"
    hits = walk.hits(path, home, rng)
    found = locate(
        run=run, coverage=coverage, hits=hits, read=sources.get, files=tuple(sources), issue=issue
    )
    return found.suspects


def _run(
    tests: Mapping[str, Mapping[str, set[int]]],
    failing: Sequence[str],
    path: str,
    name: str,
    guilty: range,
    rng: random.Random,
) -> TestRun:
    """Failing cases; a third of them with a trace that ends near the bug."""
    raises = rng.random() < 0.35
    cases = []
    for test in tests:
        frames = [Frame(path="tests/test_it.py", line=1, function="test")]
        if test in failing and raises:
            executed = sorted(n for n in tests[test].get(path, ()) if abs(n - guilty[0]) < 12)
            line = guilty[0] if rng.random() < 0.4 or not executed else rng.choice(executed)
            frames.append(Frame(path=path, line=line, function=name))
        outcome = "failed" if test in failing else "passed"
        cases.append(
            TestCase(
                id=test,
                outcome="failed" if outcome == "failed" else "passed",
                frames=tuple(frames),
                duration_s=0.0,
            )
        )
    return TestRun(
        command=_COMMAND,
        cases=tuple(cases),
        status="failed",
        exit_code=1,
        output="",
        duration_s=0.0,
    )


_Def = ast.FunctionDef | ast.AsyncFunctionDef


class _Walk:
    """Executes statements by the odds of their branches; lines only, no values."""

    def __init__(self, texts: Mapping[str, str], rng: random.Random) -> None:
        self._rng = rng
        self._odds: dict[ast.AST, float] = {}
        self._home: dict[ast.AST, str] = {}
        self.functions: dict[str, list[_Def]] = {}
        self.by_name: dict[str, list[_Def]] = {}
        for path, text in texts.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
            self.functions[path] = [n for n in ast.walk(tree) if isinstance(n, _Def)]
            for node in self.functions[path]:
                self._home[node] = path
                self.by_name.setdefault(node.name, []).append(node)

    def around(self, path: str, line: int) -> _Def | None:
        inside = [f for f in self.functions[path] if f.lineno <= line <= (f.end_lineno or 0)]
        return inside[-1] if inside else None

    def entry(self, path: str, home: _Def | None) -> _Def | None:
        """What a test calls: the guilty function, its neighbours in the file, or anything."""
        drawn = self._rng.random()
        near = self.functions[path]
        if drawn < 0.35 or home is None:
            return home
        if drawn < 0.75:
            at = near.index(home)
            return self._rng.choice(near[max(0, at - 4) : at + 5])
        return self._rng.choice([f for fs in self.functions.values() for f in fs])

    def hits(self, path: str, home: _Def | None, rng: random.Random) -> list[Hit]:
        found = rng.sample(self.functions[path], min(5, len(self.functions[path])))
        if home is not None and rng.random() < 0.7:
            found.insert(rng.randint(0, len(found)), home)
        return [
            Hit(
                path=path,
                symbol=f.name,
                line=f.lineno,
                end_line=f.end_lineno or f.lineno,
                score=1 / (1 + i),
            )
            for i, f in enumerate(found)
        ]

    def run(self, entries: Sequence[_Def | None]) -> dict[str, set[int]]:
        self._left = 400
        lines: dict[str, set[int]] = {}
        for entry in entries:
            if entry is not None:
                self._call(entry, lines, 0)
        return lines

    def _call(self, function: _Def, lines: dict[str, set[int]], depth: int) -> None:
        into = lines.setdefault(self._home[function], set())
        self._block(function.body, into, lines, depth)

    def _block(
        self, body: Sequence[ast.stmt], into: set[int], lines: dict[str, set[int]], depth: int
    ) -> bool:
        """Whether the block ran to its end."""
        for node in body:
            self._left -= 1
            if self._left < 0:
                return False
            if isinstance(node, _Def | ast.ClassDef):
                continue
            into.add(node.lineno)
            self._calls(node, lines, depth)
            if isinstance(node, ast.Return | ast.Raise | ast.Break | ast.Continue):
                return False
            if not self._inside(node, into, lines, depth):
                return False
        return True

    def _inside(
        self, node: ast.stmt, into: set[int], lines: dict[str, set[int]], depth: int
    ) -> bool:
        if isinstance(node, ast.If):
            taken = self._rng.random() < self._odd(node)
            return self._block(node.body if taken else node.orelse, into, lines, depth)
        if isinstance(node, ast.For | ast.While | ast.AsyncFor):
            if self._rng.random() < 0.9:
                self._block(node.body, into, lines, depth)
            return self._block(node.orelse, into, lines, depth) if node.orelse else True
        if isinstance(node, ast.With | ast.AsyncWith):
            return self._block(node.body, into, lines, depth)
        if isinstance(node, ast.Try):
            ended = self._block(node.body, into, lines, depth)
            if node.handlers and self._rng.random() < 0.2:
                into.add(node.handlers[0].lineno)
                ended = self._block(node.handlers[0].body, into, lines, depth)
            return self._block(node.finalbody, into, lines, depth) and ended
        return True

    def _odd(self, node: ast.AST) -> float:
        return self._odds.setdefault(node, self._rng.choice(_BRANCHES))

    def _calls(self, node: ast.stmt, lines: dict[str, set[int]], depth: int) -> None:
        if depth >= 3:
            return
        for name in _called(node):
            targets = self.by_name.get(name)
            if targets:
                self._call(self._rng.choice(targets), lines, depth + 1)


def _called(node: ast.stmt) -> Iterator[str]:
    """Names called in a statement's own expressions."""
    body = {id(n) for name in ("body", "orelse", "finalbody") for n in _list(node, name)}
    queue: list[ast.AST] = [c for c in ast.iter_child_nodes(node) if id(c) not in body]
    while queue:
        at = queue.pop()
        if isinstance(at, ast.stmt | ast.Lambda):
            continue
        if isinstance(at, ast.Call):
            if isinstance(at.func, ast.Name):
                yield at.func.id
            elif isinstance(at.func, ast.Attribute):
                yield at.func.attr
        queue.extend(ast.iter_child_nodes(at))


def _list(node: ast.AST, name: str) -> list[ast.AST]:
    value = getattr(node, name, None)
    return value if isinstance(value, list) else []
