"""One file's bytes to its record. Pure: the same bytes and language give the same record."""

import re
from array import array
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING

from tools.index import grammar, regexes
from tools.index.grammar import Found
from tools.index.languages import TREE_SITTER
from tools.index.records import Definition, FileRecord

if TYPE_CHECKING:
    from tree_sitter import Node

    Scan = Callable[[bytes, str], tuple[list[Found], list[Node]]]

__all__ = ["MAX_BYTES", "extract", "unfit"]

MAX_BYTES = 1_000_000
"""Larger files are data or generated; nobody edits a function in them."""
_MAX_TERMS = 3000
"""Distinct identifiers kept per definition."""
_MAX_DEFINITIONS = 20_000

_WORD = re.compile(rb"[A-Za-z_\x80-\xff$][\w\x80-\xff]{1,63}(?![\w\x80-\xff])")
_GENERATED = re.compile(
    rb"(?i)@generated|do not (edit|modify)|(auto-?|automatically |code )generated (by|from|file)"
)
_KEYWORDS = frozenset(
    b"""and as async await break case class const continue def default do elif else end enum except
    export extends final finally fn for from func function if impl import in interface is lambda let
    mut new nil None not null or package pass private protected pub public raise return self static
    struct super switch then this throw True try type unless use using var void while with yield
    False true false virtual int str bool char""".split()
)


def unfit(source: bytes) -> str:
    """Why a file is left out, or an empty string."""
    if len(source) > MAX_BYTES:
        return "too large"
    if b"\0" in source[:8192]:
        return "binary"
    lines = source.count(b"\n") + 1
    if len(source) > 20_000 and len(source) > 400 * lines:
        return "minified"
    return ""


def extract(source: bytes, language: str, scan: "Scan | None" = None) -> FileRecord:
    """Definitions with their identifiers. Invalid UTF-8 is replaced; nothing in a file raises.

    `scan` finds the definitions and imports; by default the best tier for the language does.
    """
    found, imports = (scan or _definitions)(source, language)
    definitions, spans = _nest(source, found[:_MAX_DEFINITIONS])
    terms, starts, ids, counts = _count(source, spans)
    lines = sorted({(n.start_point[0] + 1, n.end_point[0] + 1) for n in imports})
    return FileRecord(
        tuple(definitions),
        tuple(lines),
        tuple(dict.fromkeys(m for n in imports for m in _modules(n)))[:200],
        _GENERATED.search(source, 0, 1500) is not None,
        terms,
        starts,
        ids,
        counts,
    )


def _definitions(source: bytes, language: str) -> "tuple[list[Found], list[Node]]":
    if language not in TREE_SITTER:
        return regexes.scan(source, language), []
    found, imports, broken = grammar.walk(source, language)
    if broken:
        found = found + _uncovered(found, regexes.scan(source, language))
    return sorted(found, key=lambda f: (f.start, -f.end)), imports


def _uncovered(found: list[Found], more: list[Found]) -> list[Found]:
    """What the regex tier saw and the broken tree did not."""
    known = {(f.name.rpartition(".")[2], f.line) for f in found}
    return [m for m in more if (m.name.rpartition(".")[2], m.line) not in known]


def _nest(source: bytes, found: list[Found]) -> tuple[list[Definition], list[tuple[int, int, int]]]:
    """Parents and qualified names from the spans; (start, end, number) of every definition."""
    lines = source.count(b"\n") + (not source.endswith(b"\n"))
    definitions = [Definition("", "module", 1, max(lines, 1), "")]
    spans = [(0, len(source), 0)]
    open_: list[int] = [0]
    whole = spans[0][:2]
    for f in found:
        # `a, b = 1, 2` gives two names one span: neither is inside the other.
        while f.start >= spans[open_[-1]][1] or (f.start, f.end) == spans[open_[-1]][:2] != whole:
            open_.pop()
        parent = open_[-1]
        above = definitions[parent]
        kind = f.kind
        if kind == "function" and (above.kind in ("class", "type") or "." in f.name):
            kind = "method"
        name = f"{above.name}.{f.name}" if above.name else f.name
        end = min(f.end, spans[parent][1])
        definitions.append(Definition(name[:200], kind, f.line, f.end_line, f.signature))
        spans.append((f.start, end, len(spans)))
        open_.append(len(spans) - 1)
    return definitions, spans


def _count(
    source: bytes, spans: list[tuple[int, int, int]]
) -> "tuple[tuple[str, ...], array[int], array[int], array[int]]":
    """Identifier counts per definition, each byte counted for the innermost one only."""
    words: list[list[bytes]] = [[] for _ in spans]
    findall = _WORD.findall
    at = 0
    open_: list[tuple[int, int, int]] = []
    for span in [*spans, (len(source), len(source), -1)]:
        while open_ and open_[-1][1] <= span[0]:
            _, end, owner = open_.pop()
            words[owner] += findall(source, at, end)
            at = max(at, end)
        if open_ and at < span[0]:
            words[open_[-1][2]] += findall(source, at, span[0])
            at = span[0]
        open_.append(span)
    terms: dict[bytes, int] = {}
    ids = array("I")
    counts = array("B")
    sizes = []
    for own in words:
        tally = Counter(own)
        for keyword in _KEYWORDS & tally.keys():
            del tally[keyword]
        pairs = tally.most_common(_MAX_TERMS) if len(tally) > _MAX_TERMS else tally.items()
        ids.extend([terms.setdefault(word, len(terms)) for word, _ in pairs])
        counts.extend([n if n < 256 else 255 for _, n in pairs])
        sizes.append(len(pairs))
    starts = array("I", [0, *accumulate(sizes)])
    names = tuple(t.decode("utf-8", "replace") for t in terms)
    return names, starts, ids, counts


_QUOTED = re.compile(r"[\"'<]([^\"'<>]+)[\"'>]")
_PYTHON_FROM = re.compile(r"from\s+(\.*[\w.]*)\s+import\s+(.*)", re.S)


def _modules(node: "Node") -> list[str]:
    """Modules an import statement names: dotted for Python, the quoted path elsewhere."""
    text = (node.text or b"").decode("utf-8", "replace")
    if match := _PYTHON_FROM.match(text):
        base = match[1]
        names = re.findall(r"(\w+)(?:\s+as\s+\w+)?", re.sub(r"#[^\n]*", "", match[2]))
        joiner = "" if base.endswith(".") else "."
        return [base, *(f"{base}{joiner}{name}" for name in names[:40])]
    if quoted := _QUOTED.findall(text):
        return quoted
    text = re.sub(r"^\s*(import|use|using|extern\s+crate)\s+(static\s+)?", "", text)
    return [m.replace("::", ".") for m in re.findall(r"[\w.:]{2,}", text) if m != "as"][:40]
