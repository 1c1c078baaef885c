"""Where a failure probably comes from, ranked, without spending a token.

    localize(run=…, coverage=…, hits=…, read=…, files=…, issue=…) -> (Suspect, …)

Five signals, each scaled to 0..1 per line, are added with the weights of `WEIGHTS`:

`ochiai`  lines executed by failing tests rather than passing ones: ef / √(F·(ef+ep)).
`trace`   frames of the failing tests that lie in the repository and not in its tests; the
          innermost counts 1, its caller ½, and so on; lines near it in the same function a little.
`issue`   `path:line`, paths and symbols the issue names.
`search`  index hits, relative to the best one.
`static`  definitions of the names the failing tests use.

Coverage leads because only about a third of real failures name the guilty function in the trace.
Everything here is a pure function of its arguments; ties are broken by path and line, so two runs
give the same list.
"""

import ast
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tools.types import Coverage, FileReader, Hit, Suspect, TestRun

__all__ = ["WEIGHTS", "Localisation", "is_test_path", "localize", "method_of", "ochiai"]

WEIGHTS: Mapping[str, float] = {
    "ochiai": 1.0,
    "trace": 0.6,
    "issue": 0.4,
    "search": 0.25,
    "static": 0.15,
}

MAX_FILE = 2 << 20
MAX_ISSUE = 64 << 10
"""Characters of the issue that are looked at."""
MAX_PARSED = 60
"""Files parsed for symbols; reached only by issues that name half the repository."""

Lines = dict[tuple[str, int], float]

_LINE_REF = re.compile(r"""File "([^"\n]{1,300})", line (\d+)|([\w./\\-]{1,200}\.\w{1,5}):(\d+)""")
_PATH_REF = re.compile(r"[\w./\\-]{1,200}\.\w{1,5}")
_NAME_REF = re.compile(r"[A-Za-z_][\w.]{2,120}")
_TEST_DIRS = frozenset({"test", "tests", "testing"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Localisation:
    """The ranked suspects and the signals that took part, e.g. `trace+ochiai+search`."""

    suspects: tuple[Suspect, ...]
    method: str


def is_test_path(path: str) -> bool:
    """Whether a path looks like a test file: tests are evidence, never suspects."""
    p = PurePosixPath(path)
    if any(part.lower() in _TEST_DIRS for part in p.parts[:-1]):
        return True
    stem = p.name.split(".")[0]
    return stem == "conftest" or stem.startswith("test_") or stem.endswith(("_test", "_tests"))


def ochiai(coverage: Coverage, failing: Iterable[str], passing: Iterable[str]) -> Lines:
    """Ochiai suspicion, 0..1, of every line that some failing test executed."""
    ef: dict[tuple[str, int], int] = defaultdict(int)
    ep: dict[tuple[str, int], int] = defaultdict(int)
    failed = [t for t in failing if t in coverage.lines]
    for test in failed:
        for path, lines in coverage.lines[test].items():
            for line in lines:
                ef[path, line] += 1
    for test in passing:
        for path, lines in coverage.lines.get(test, {}).items():
            for line in lines:
                if (path, line) in ef:
                    ep[path, line] += 1
    return {at: n / math.sqrt(len(failed) * (n + ep[at])) for at, n in ef.items()}


def localize(
    *,
    run: TestRun | None,
    coverage: Coverage | None,
    hits: Sequence[Hit],
    read: FileReader,
    files: Sequence[str],
    issue: str,
    limit: int = 50,
) -> tuple[Suspect, ...]:
    """At most `limit` suspects, likeliest first. Empty evidence gives an empty tuple."""
    return locate(
        run=run, coverage=coverage, hits=hits, read=read, files=files, issue=issue, limit=limit
    ).suspects


def method_of(suspects: Sequence[Suspect]) -> str:
    """The signals behind a list of suspects, e.g. `trace+ochiai+search`; `none` if it is empty."""
    used = {r.split(" ", 1)[0] for s in suspects for r in s.reasons}
    order = ("trace", "ochiai", "issue", "search", "static")
    return "+".join(k for k in order if k in used) or "none"


def locate(
    *,
    run: TestRun | None,
    coverage: Coverage | None,
    hits: Sequence[Hit],
    read: FileReader,
    files: Sequence[str],
    issue: str,
    limit: int = 50,
) -> Localisation:
    """`localize` with the name of the method used."""
    book = _Book(read, files, run)
    signals: dict[str, Lines] = {
        "ochiai": _ochiai_signal(book, run, coverage),
        "trace": _trace_signal(book, run),
        "issue": _issue_signal(book, issue[:MAX_ISSUE]),
        "search": _search_signal(book, hits),
        "static": {},
    }
    if run is not None and not signals["ochiai"]:
        signals["static"] = _static_signal(book, run)
    suspects = _combine(book, signals)[:limit]
    return Localisation(suspects=suspects, method=method_of(suspects))


class _Book:
    """Parsed files of the repository, tests left out; parses lazily and at most MAX_PARSED."""

    def __init__(self, read: FileReader, files: Sequence[str], run: TestRun | None) -> None:
        self.read = read
        self._known = frozenset(files)
        self._parsed: dict[str, _Outline | None] = {}
        self.test_files = {f for f in self._known if is_test_path(f)}
        for case in run.cases if run is not None else ():
            self.test_files.add(case.id.split("::", 1)[0])
        self.files = tuple(sorted(self._known - self.test_files))

    def suspect(self, path: str) -> bool:
        return path in self._known and path not in self.test_files

    def outline(self, path: str) -> "_Outline | None":
        if path not in self._parsed:
            full = len(self._parsed) >= MAX_PARSED
            self._parsed[path] = None if full else _outline(self.read(path), path)
        return self._parsed[path]

    def span(self, path: str, line: int, end_line: int) -> tuple[int, ...]:
        """The statement lines of a span; the first line alone for what we cannot parse."""
        outline = self.outline(path)
        if outline is None:
            return (line,)
        return tuple(n for n in outline.statements if line <= n <= end_line) or (line,)

    def resolve(self, mentioned: str) -> str | None:
        """A path as people write it (absolute, with backslashes, partial) -> a repository path."""
        parts = mentioned.replace("\\", "/").split("/")
        for start in range(len(parts)):
            tail = "/".join(p for p in parts[start:] if p not in ("", "."))
            if tail in self._known:
                return tail
        tail = "/" + "/".join(p for p in parts if p not in ("", ".", ".."))
        found = [f for f in self.files if ("/" + f).endswith(tail)]
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outline:
    """What ranking needs of one Python file."""

    definitions: tuple[tuple[str, int, int], ...]
    """Qualified name, first and last line; outer before inner."""
    statements: tuple[int, ...]
    """First lines of statements inside definitions and of assignments outside them."""
    dull: frozenset[int]
    """Lines that are seldom wrong: imports, `def`, docstrings, `pass`."""

    def symbol(self, line: int) -> tuple[str, int, int] | None:
        inside = [d for d in self.definitions if d[1] <= line <= d[2]]
        return inside[-1] if inside else None


def _outline(data: bytes | None, path: str) -> _Outline | None:
    if data is None or len(data) > MAX_FILE or not path.endswith((".py", ".pyi")):
        return None
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    definitions: list[tuple[str, int, int]] = []
    statements: set[int] = set()
    dull: set[int] = set()

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                statements.add(child.lineno)
                if _is_dull(child):
                    dull.add(child.lineno)
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}{child.name}"
                definitions.append((name, child.lineno, child.end_lineno or child.lineno))
                visit(child, f"{name}.")
            elif not isinstance(child, ast.expr):
                visit(child, prefix)

    visit(tree, "")
    return _Outline(
        definitions=tuple(definitions), statements=tuple(sorted(statements)), dull=frozenset(dull)
    )


def _is_dull(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return isinstance(node, kinds | ast.Pass | ast.Global | ast.Nonlocal)


# --------------------------------------------------------------------------- signals


def _raise_to(lines: Lines, at: tuple[str, int], value: float) -> None:
    lines[at] = max(lines.get(at, 0.0), value)


def _ochiai_signal(book: _Book, run: TestRun | None, coverage: Coverage | None) -> Lines:
    if run is None or coverage is None:
        return {}
    scores = ochiai(coverage, run.failing, run.passing)
    return {at: s for at, s in scores.items() if book.suspect(at[0])}


def _trace_signal(book: _Book, run: TestRun | None) -> Lines:
    scores: Lines = defaultdict(float)
    cases = [c for c in run.cases if c.id in set(run.failing)] if run is not None else []
    for case in cases:
        own: Lines = {}
        frames = [f for f in reversed(case.frames) if book.suspect(f.path)]
        for depth, frame in enumerate(frames):
            value = 1.0 / (1 + depth)
            _raise_to(own, (frame.path, frame.line), value)
            _spread(book, own, frame.path, frame.line, value)
        for at, value in own.items():
            scores[at] += value / len(cases)
    return dict(scores)


def _spread(book: _Book, lines: Lines, path: str, line: int, value: float) -> None:
    """The lines around a frame in its function: a wrong value is often made just above."""
    outline = book.outline(path)
    symbol = outline.symbol(line) if outline is not None else None
    if symbol is None:
        return
    for near in book.span(path, symbol[1], symbol[2]):
        distance = abs(near - line)
        _raise_to(lines, (path, near), value * 0.5 / (1 + distance / 4))


def _issue_signal(book: _Book, issue: str) -> Lines:
    lines: Lines = {}
    for match in _LINE_REF.finditer(issue):
        path = book.resolve(match[1] or match[3])
        if path is not None and book.suspect(path):
            at = int(match[2] or match[4])
            _raise_to(lines, (path, at), 1.0)
            _spread(book, lines, path, at, 0.8)
    named = _mentioned_paths(book, issue)
    for path in named:
        for line in book.span(path, 1, 1 << 30):
            _raise_to(lines, (path, line), 0.25)
    for path, start, end, value in _mentioned_symbols(book, issue, named):
        for line in book.span(path, start, end):
            _raise_to(lines, (path, line), value)
    return lines


def _mentioned_paths(book: _Book, issue: str) -> list[str]:
    found = (book.resolve(m[0]) for m in _PATH_REF.finditer(issue))
    return sorted({p for p in found if p is not None and book.suspect(p)})


def _mentioned_symbols(
    book: _Book, issue: str, first: Sequence[str]
) -> list[tuple[str, int, int, float]]:
    """Definitions the issue names. A dotted or underscored or called name is surer than a word."""
    words = {m[0].strip(".") for m in _NAME_REF.finditer(issue)}
    called = {m[1] for m in re.finditer(r"([A-Za-z_]\w{1,80})\s*\(", issue)}
    quoted = {m[1].split("(")[0] for m in re.finditer(r"`{1,2}([^`\n]{1,120})`", issue)}
    tails = {w.rsplit(".", 1)[-1] for w in words | quoted}
    found: list[tuple[str, int, int, float]] = []
    for path in [*first, *(f for f in book.files if f not in first)]:
        if not path.endswith(".py"):
            continue
        outline = book.outline(path)
        for name, start, end in outline.definitions if outline is not None else ():
            tail = name.rsplit(".", 1)[-1]
            dotted = "." in name and name in words
            sure = dotted or name in quoted or tail in called or tail in quoted
            if sure or (tail in tails and ("_" in tail or tail != tail.lower())):
                size = 1 + (end - start) / 200
                found.append((path, start, end, (0.8 if sure else 0.5) / size))
    return found


def _search_signal(book: _Book, hits: Sequence[Hit]) -> Lines:
    lines: Lines = {}
    best = max((h.score for h in hits), default=0.0)
    for rank, hit in enumerate(hits):
        if not book.suspect(hit.path):
            continue
        # Scores of different searches have different scales: rank decides when they are not > 0.
        value = hit.score / best if best > 0 else 1.0 / (1 + rank)
        for line in book.span(hit.path, hit.line, hit.end_line):
            _raise_to(lines, (hit.path, line), max(value, 0.0))
    return lines


def _static_signal(book: _Book, run: TestRun) -> Lines:
    """Names the failing tests use -> definitions; rarer names count more."""
    names: set[str] = set()
    for test in run.failing:
        names |= _names_in_test(book, test)
    places: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for path in book.files:
        outline = book.outline(path) if names and path.endswith(".py") else None
        for name, start, end in outline.definitions if outline is not None else ():
            tail = name.rsplit(".", 1)[-1]
            if tail in names:
                places[tail].append((path, start, end))
    lines: Lines = {}
    for found in places.values():
        for path, start, end in found:
            for line in book.span(path, start, end):
                _raise_to(lines, (path, line), 1.0 / len(found))
    return lines


def _names_in_test(book: _Book, test: str) -> set[str]:
    path, *parts = test.split("::")
    data = book.read(path)
    if data is None or len(data) > MAX_FILE:
        return set()
    try:
        tree: ast.AST = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    wanted = parts[-1].split("[")[0] if parts else None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == wanted:
            tree = node
            break
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | {
        n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)
    }


# --------------------------------------------------------------------------- combination


def _combine(book: _Book, signals: Mapping[str, Lines]) -> tuple[Suspect, ...]:
    places = sorted({at for lines in signals.values() for at in lines})
    suspects: list[Suspect] = []
    for path, line in places:
        given = {k: v[path, line] for k, v in signals.items() if v.get((path, line), 0.0) > 0}
        score = sum(WEIGHTS[k] * v for k, v in given.items())
        outline = book.outline(path)
        symbol = outline.symbol(line) if outline is not None else None
        if outline is not None and line in outline.dull:
            score *= 0.3
        reasons = tuple(f"{k} {v:.2f}" for k, v in sorted(given.items()))
        suspects.append(
            Suspect(
                path=path,
                line=line,
                symbol=symbol[0] if symbol is not None else None,
                score=round(score, 6),
                reasons=reasons,
            )
        )
    suspects.sort(key=lambda s: (-s.score, s.path, s.line or 0))
    return tuple(suspects)
