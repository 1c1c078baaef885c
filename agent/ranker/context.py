"""What candidates of one task share: files, suspects, words of the task, language models."""

import ast
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from agent.ranker.tokens import General, Local, abstract, identifiers, tokens
from tools.types import Suspect

__all__ = ["KEYWORDS", "Context", "FileText", "FunctionText", "parts", "words"]

_NEIGHBOURS = 12
_NEIGHBOUR_CHARS = 60_000
KEYWORDS = frozenset(
    "False None True and as assert async await break class continue def del elif else except "
    "finally for from global if import in is lambda nonlocal not or pass raise return try while "
    "with yield self cls".split()
)


def words(text: str) -> frozenset[str]:
    """Names and literals of an issue, a failure or a test, whole and by their parts."""
    found = set(identifiers(tokens(text))) | set(re.findall(r"\b\d+(?:\.\d+)?\b", text))
    found |= {part for name in list(found) for part in parts(name)}
    return frozenset(found - KEYWORDS)


def parts(name: str) -> list[str]:
    """`parseHTTPDate_v2` → parse, http, date, v2."""
    pieces = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+\d*|\d+", name)
    return [p.lower() for p in pieces if len(p) > 1]


class Context:
    """What is shared by the candidates of one task: files, suspects, words, language models."""

    def __init__(
        self,
        *,
        sources: Mapping[str, bytes],
        neighbours: Iterable[str] = (),
        suspects: Sequence[Suspect],
        told: frozenset[str],
        general: General,
    ) -> None:
        texts = {p: s.decode("utf-8", "replace") for p, s in sources.items()}
        near = [text[:_NEIGHBOUR_CHARS] for text in list(neighbours)[:_NEIGHBOURS]]
        self.local = Local([*texts.values(), *near])
        self.general = general
        self.told = told
        self.files = {p: FileText(t) for p, t in texts.items()}
        scored = [s for s in suspects if s.line is not None]
        self.scores = sorted((s.score for s in scored), reverse=True)
        self.ties = Counter(round(s, 6) for s in self.scores)
        self.top = max(self.scores, default=1.0) or 1.0
        self.first_path = scored[0].path if scored else ""
        self.lines = {(s.path, s.line) for s in scored}
        self.symbols: dict[tuple[str, str | None], int] = {}
        for s in scored:
            self.symbols.setdefault((s.path, s.symbol), len(self.symbols))
        self.symbol_at = {(s.path, s.line): s.symbol for s in scored}

    @cached_property
    def abstracted(self) -> dict[str, str]:
        return {}

    def plain(self, row: Sequence[str]) -> list[str]:
        known = self.abstracted
        for token in row:
            if token not in known:
                known[token] = abstract(token, self.general.vocabulary)
        return [known[t] for t in row]


class FileText:
    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.line_counts = Counter(stripped for x in self.lines if (stripped := x.strip()))
        self.functions: list[FunctionText] = []
        self.arity: dict[str, tuple[int, int]] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                tree: ast.AST = ast.parse(text)
            except (SyntaxError, ValueError, RecursionError):
                return
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._enter(node)

    def _enter(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        first, last = node.lineno, node.end_lineno or node.lineno
        args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        names = frozenset(a.arg for a in args) - {"self", "cls"}
        loops = [
            (n.lineno, n.end_lineno or n.lineno) for n in ast.walk(node) if isinstance(n, ast.While)
        ]
        self.functions.append(
            FunctionText(first, last, names, tuple(loops), self.lines[first - 1 : last])
        )
        bound = [a for a in node.args.args if a.arg not in ("self", "cls")]
        most = 99 if node.args.vararg or node.args.kwarg else len(bound) + len(node.args.kwonlyargs)
        least = max(len(bound) - len(node.args.defaults), 0)
        name = node.name
        if name in self.arity:  # several of a name: what any of them takes
            least, most = min(least, self.arity[name][0]), max(most, self.arity[name][1])
        self.arity[name] = (least, most)

    def around(self, line: int) -> "FunctionText | None":
        inside = [f for f in self.functions if f.first <= line <= f.last]
        return inside[-1] if inside else None


@dataclass
class FunctionText:
    first: int
    last: int
    parameters: frozenset[str]
    loops: tuple[tuple[int, int], ...]
    lines: list[str]

    @cached_property
    def uses(self) -> "Counter[str]":
        return Counter(identifiers(tokens("\n".join(self.lines))))

    @cached_property
    def line_counts(self) -> "Counter[str]":
        return Counter(x.strip() for x in self.lines)
