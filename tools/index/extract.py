"""Bytes of files to their records. Pure: the same bytes and language give the same record."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tools.index import grammar, regexes, tokens
from tools.index.grammar import Found
from tools.index.languages import TREE_SITTER
from tools.index.records import KINDS, Outline, encode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    I64 = NDArray[np.int64]

__all__ = ["MAX_BYTES", "Scan", "exact", "extract", "rough", "unfit"]

MAX_BYTES = 1_000_000
"""Larger files are data or generated; nobody edits a function in them."""
_MAX_TERMS = 3000
"""Distinct identifiers kept per definition."""
_MAX_FILE_TERMS = 65_535
"""And per file: they are numbered by uint16."""
_MAX_DEFINITIONS = 20_000

_GENERATED = re.compile(
    rb"(?i)@generated|do not (edit|modify)|(auto-?|automatically |code )generated (by|from|file)"
)
_KEYWORDS = b"""and as async await break case class const continue def default do elif else end enum
    except export extends final finally fn for from func function if impl import in interface is
    lambda let mut new nil None not null or package pass private protected pub public raise return
    self static struct super switch then this throw True try type unless use using var void while
    with yield False true false virtual int str bool char""".split()

Scan = Callable[[bytes, str], tuple[list[Found], list[tuple[int, int, str]]]]
"""Definitions in source order, and import statements: first line, last line, text."""


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


def extract(sources: Sequence[tuple[bytes, str]], scan: "Scan | None" = None) -> list[bytes]:
    """The stored records of files, given as bytes and language; a megabyte at once is best.

    Invalid UTF-8 is replaced; nothing in a file raises. `scan` finds the definitions and imports.
    """
    outlines = [
        _outline(source, *(scan or exact)(source, language)) for source, language in sources
    ]
    return _identified([source for source, _ in sources], outlines)


def exact(source: bytes, language: str) -> tuple[list[Found], list[tuple[int, int, str]]]:
    """Definitions by the best tier there is for the language."""
    if language not in TREE_SITTER:
        return rough(source, language)
    found, imports, broken = grammar.walk(source, language)
    if broken:
        found = found + _uncovered(found, regexes.scan(source, language))
    return sorted(found, key=_in_order), imports


def rough(source: bytes, language: str) -> tuple[list[Found], list[tuple[int, int, str]]]:
    """Definitions by the regex tier."""
    return regexes.scan(source, language), []


def _in_order(found: Found) -> tuple[int, int]:
    return found.start, -found.end


def _uncovered(found: list[Found], more: list[Found]) -> list[Found]:
    """What the regex tier saw and the broken tree did not."""
    known = {(f.name.rpartition(".")[2], f.line) for f in found}
    return [m for m in more if (m.name.rpartition(".")[2], m.line) not in known]


# ------------------------------------------------------------------------------ outlines

_MODULE, _CLASS, _FUNCTION, _METHOD, _TYPE = map(
    KINDS.index, ("module", "class", "function", "method", "type")
)
_NUMBER = {kind: number for number, kind in enumerate(KINDS)}


def _outline(source: bytes, found: list[Found], imports: list[tuple[int, int, str]]) -> Outline:
    """Parents and qualified names from the spans."""
    lines = source.count(b"\n") + (not source.endswith(b"\n"))
    out = Outline()
    _add(out, "", _MODULE, 1, max(lines, 1), "")
    out.bounds.append(0)
    out.owners.append(0)
    open_ = [(0, len(source), 0)]
    for name, kind, start, end, line, end_line, signature in found[:_MAX_DEFINITIONS]:
        # `a, b = 1, 2` gives two names one span: neither is inside the other.
        while len(open_) > 1 and start >= open_[-1][1]:
            _close(out, open_)
        if len(open_) > 1 and (start, end) == open_[-1][:2]:
            open_.pop()
        parent = open_[-1][2]
        number = _NUMBER[kind]
        if number == _FUNCTION and (out.kinds[parent] in (_CLASS, _TYPE) or "." in name):
            number = _METHOD
        above = out.names[parent]
        _mark(out, start, len(out.names))
        open_.append((start, min(end, open_[-1][1]), len(out.names)))
        name = (f"{above}.{name}" if above else name)[:200]
        _add(out, name.replace("\n", " "), number, line, end_line, signature)
    while len(open_) > 1:
        _close(out, open_)
    out.imports = sorted({(first, last) for first, last, _ in imports})
    out.modules = tuple(dict.fromkeys(m for _, _, text in imports for m in _modules(text)))[:200]
    out.generated = _GENERATED.search(source, 0, 1500) is not None
    return out


def _add(out: Outline, name: str, kind: int, line: int, end_line: int, signature: str) -> None:
    out.names.append(name)
    out.kinds.append(kind)
    out.lines.append(line)
    out.ends.append(end_line)
    out.signatures.append(signature)


def _close(out: Outline, open_: list[tuple[int, int, int]]) -> None:
    _, end, _ = open_.pop()
    _mark(out, end, open_[-1][2])


def _mark(out: Outline, at: int, owner: int) -> None:
    if out.bounds[-1] == at:
        out.owners[-1] = owner
    else:
        out.bounds.append(at)
        out.owners.append(owner)


# ------------------------------------------------------------------------------ identifiers


def _identified(sources: list[bytes], outlines: list[Outline]) -> list[bytes]:
    """Count the identifiers of every definition, each byte for the innermost one only."""
    import numpy as np

    buffer = b"\n".join(sources)
    words = tokens.identifiers(buffer)
    firsts = np.cumsum([0, *(len(s) + 1 for s in sources)])
    docs = np.cumsum([0, *(len(o.names) for o in outlines)])
    doc_of = _doc_of(words.starts, outlines, firsts, docs)
    kept = ~np.isin(words.hashes, _keywords())
    words = tokens.Spans(words.starts[kept], words.sizes[kept], words.hashes[kept])
    one, term = tokens.distinct(words.hashes)
    # By hash, so that the order does not depend on the files that are read with a file.
    order = np.argsort(words.hashes[one])
    one, term = one[order], np.argsort(order)[term]
    n_terms = len(one) or 1
    doc, term, count = _tally(doc_of[kept], term, n_terms, int(docs[-1]))
    file = np.repeat(np.arange(len(outlines)), np.diff(docs))[doc]
    # Terms are numbered file by file: a record knows nothing of other files.
    pairs, local = _numbered(file * n_terms + term)
    file_of, term_of = pairs // n_terms, one[pairs % n_terms]
    begins = np.searchsorted(file_of, np.arange(len(outlines) + 1))
    local -= begins[file]
    fits = local < _MAX_FILE_TERMS
    doc, file, local, count = doc[fits], file[fits], local[fits], count[fits]
    sizes = np.bincount(doc, minlength=int(docs[-1])).astype("<u4")
    ids = local.astype("<u2")
    items = np.searchsorted(file, np.arange(len(outlines) + 1))
    found = []
    for i, outline in enumerate(outlines):
        own = term_of[begins[i] : min(begins[i + 1], begins[i] + _MAX_FILE_TERMS)]
        terms = tokens.gather(buffer, words.starts[own], words.sizes[own])
        a, b = items[i], items[i + 1]
        size = sizes[docs[i] : docs[i + 1]].tobytes()
        found.append(encode(outline, terms, size, ids[a:b].tobytes(), count[a:b].tobytes()))
    return found


def _doc_of(starts: "I64", outlines: list[Outline], firsts: "I64", docs: "I64") -> "I64":
    """The innermost definition, over all files, around each word."""
    import numpy as np

    bounds = [np.array(o.bounds) + first for o, first in zip(outlines, firsts, strict=False)]
    owners = [np.array(o.owners) + doc for o, doc in zip(outlines, docs, strict=False)]
    edges = np.searchsorted(starts, np.concatenate([*bounds, firsts[-1:]]))
    found: I64 = np.repeat(np.concatenate(owners), np.diff(edges))
    return found


def _tally(
    doc: "I64", term: "I64", n_terms: int, n_docs: int
) -> "tuple[I64, I64, NDArray[np.uint8]]":
    """Each pair of definition and term once, in order, with how often it occurs, at most 255."""
    import numpy as np

    key = np.sort(doc * n_terms + term)
    first = np.flatnonzero(np.diff(key, prepend=-1))
    count = np.minimum(np.diff(first, append=len(key)), 255).astype(np.uint8)
    doc, term = np.divmod(key[first], n_terms)
    sizes = np.bincount(doc, minlength=n_docs)
    drop = []
    for large in np.flatnonzero(sizes > _MAX_TERMS):
        own = np.flatnonzero(doc == large)
        drop.append(own[np.argsort(-count[own].astype(int), kind="stable")[_MAX_TERMS:]])
    if drop:
        fits = np.ones(len(doc), bool)
        fits[np.concatenate(drop)] = False
        doc, term, count = doc[fits], term[fits], count[fits]
    return doc, term, count


def _numbered(keys: "I64") -> "tuple[I64, I64]":
    """The distinct keys in order, and the number of each key among them."""
    import numpy as np

    known = np.sort(keys)
    known = known[np.flatnonzero(np.diff(known, prepend=-1))]
    return known, np.searchsorted(known, keys)


def _keywords() -> "NDArray[np.uint64]":
    import numpy as np

    return np.array([tokens.hash_text(k) for k in _KEYWORDS], np.uint64)


_QUOTED = re.compile(r"[\"'<]([^\"'<>]+)[\"'>]")
_PYTHON_FROM = re.compile(r"from\s+(\.*[\w.]*)\s+import\s+(.*)", re.S)
_NAME_AS = re.compile(r"(\w+)(?:\s+as\s+\w+)?")


def _modules(text: str) -> list[str]:
    """Modules an import statement names: dotted for Python, the quoted path elsewhere."""
    if match := _PYTHON_FROM.match(text):
        base = match[1]
        rest = match[2] if "#" not in match[2] else re.sub(r"#[^\n]*", "", match[2])
        joiner = "" if base.endswith(".") else "."
        return [base, *(f"{base}{joiner}{name}" for name in _NAME_AS.findall(rest)[:40])]
    if quoted := _QUOTED.findall(text):
        return [" ".join(q.split()) for q in quoted]
    text = re.sub(r"^\s*(import|use|using|extern\s+crate)\s+(static\s+)?", "", text)
    return [m.replace("::", ".") for m in re.findall(r"[\w.:]{2,}", text) if m != "as"][:40]
