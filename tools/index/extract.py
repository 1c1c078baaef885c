"""Bytes of files to their records. Pure: the same bytes and language give the same record."""

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING

from tools.index import grammar, regexes, tokens
from tools.index.grammar import Found, Imported
from tools.index.languages import TREE_SITTER
from tools.index.pieces import Recent
from tools.index.records import KINDS, Columns, Outline, Parts, compose, pack
from tools.index.reparse import LARGE, Trees

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    I64 = NDArray[np.int64]

__all__ = ["Scan", "Scanned", "Source", "again", "exact", "extract", "read", "rough"]

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

Source = tuple[bytes, str]
"""Bytes of a file, and its language."""
Scanned = tuple[list[Found], list[Imported]]
"""Definitions and import statements in source order."""
Scan = Callable[[Sequence[Source]], list[Scanned]]


def extract(sources: Sequence[Source], scan: "Scan | None" = None) -> list[bytes]:
    """The stored records of files; a megabyte at once is best.

    Invalid UTF-8 is replaced; nothing in a file raises. `scan` finds the definitions and imports.
    """
    return [pack(record) for record in read(sources, scan)]


def read(sources: Sequence[Source], scan: "Scan | None" = None) -> list[Parts]:
    """As `extract`: the records before they are stored."""
    if not sources:
        return []
    texts = [source for source, _ in sources]
    return _identified(texts, _outlines(texts, (scan or exact)(sources)), _words(b"\n".join(texts)))


def again(sources: Sequence[Source], recent: Recent) -> list[Parts]:
    """As `read`, for files that were edited: of large ones, what was not edited is still known."""
    if not sources:
        return []
    texts, spans, at = [source for source, _ in sources], [], 0
    for text in texts:
        words = recent.pieces.words(text, _words) if len(text) >= LARGE else _words(text)
        spans.append((words.starts + at, words.sizes, words.hashes))
        at += len(text) + 1
    return _identified(texts, _outlines(texts, exact(sources, recent)), _joined(spans))


def exact(sources: Sequence[Source], recent: Recent | None = None) -> list[Scanned]:
    """Definitions by the best tier there is for each language."""
    told = iter(_python([source for source, language in sources if language == "python"], recent))
    trees = recent.trees if recent else None
    return [
        (next(told) if language == "python" else None) or _parsed(source, language, trees)
        for source, language in sources
    ]


def _python(sources: list[bytes], recent: Recent | None) -> list[Scanned | None]:
    """Row by row; None where it takes the tree to tell."""
    from tools.index import pyscan

    if recent is None:
        return pyscan.scan(sources)
    small = iter(pyscan.scan([s for s in sources if len(s) < LARGE]))
    return [recent.pieces.scan(s, pyscan.scan) if len(s) >= LARGE else next(small) for s in sources]


def _parsed(source: bytes, language: str, trees: Trees | None) -> Scanned:
    if language not in TREE_SITTER:
        return regexes.scan(source, language), []
    found, imports, broken = grammar.walk(source, language, trees)
    if broken:
        found = found + _uncovered(source, found, regexes.scan(source, language))
    # By start, the longer first: two sorts without a call for each cost a third of one with.
    found.sort(key=_END, reverse=True)
    found.sort(key=_START)
    imports.sort()
    return found, imports


def rough(sources: Sequence[Source]) -> list[Scanned]:
    """Definitions by the regex tier."""
    return [(regexes.scan(source, language), []) for source, language in sources]


_START, _END, _SIGNATURE = attrgetter("start"), attrgetter("end"), attrgetter("signature")


def _uncovered(source: bytes, found: list[Found], more: list[Found]) -> list[Found]:
    """What the regex tier saw and the broken tree did not."""

    def place(f: Found) -> tuple[str, int]:
        return f.name.rpartition(".")[2], source.count(b"\n", 0, f.start)

    known = set(map(place, found))
    return [m for m in more if place(m) not in known]


# ------------------------------------------------------------------------------ outlines


def _outlines(sources: list[bytes], scanned: list[Scanned]) -> list[Outline]:
    return [_outline(source, *found) for source, found in zip(sources, scanned, strict=True)]


_MODULE, _FUNCTION, _METHOD = map(KINDS.index, ("module", "function", "method"))
_OWNING = (KINDS.index("class"), KINDS.index("type"))
_NUMBER = {kind: number for number, kind in enumerate(KINDS)}


def _outline(source: bytes, found: list[Found], imports: list[Imported]) -> Outline:
    """Parents and qualified names from the spans."""
    found = found[:_MAX_DEFINITIONS]
    names, kinds, ends = [""], bytearray([_MODULE]), [len(source)]
    bounds, owners = [0], [0]
    open_ = [(0, len(source), 0)]
    for name, kind, start, end, _ in found:
        first, last, parent = open_[-1]
        while parent and start >= last:
            open_.pop()
            at, (first, last, parent) = last, open_[-1]
            _mark(bounds, owners, at, parent)
        # `a, b = 1, 2` gives two names one span: neither is inside the other.
        if parent and start == first and end == last:
            open_.pop()
            _, last, parent = open_[-1]
        number = _NUMBER[kind]
        if number == _FUNCTION and (kinds[parent] in _OWNING or "." in name):
            number = _METHOD
        if parent:
            name = f"{names[parent]}.{name}"[:200]
        end = min(end, last)
        open_.append((start, end, len(names)))
        _mark(bounds, owners, start, len(names))
        names.append(name)
        kinds.append(number)
        ends.append(end)
    while len(open_) > 1:
        at = open_.pop()[1]
        _mark(bounds, owners, at, open_[-1][2])
    starts, signatures = [0, *map(_START, found)], ["", *map(_SIGNATURE, found)]
    modules = dict.fromkeys(m for _, _, text in imports for m in _modules(text))
    return Outline(
        names, kinds, starts, ends, signatures, bounds, owners,
        sorted({(first, last) for first, last, _ in imports}), tuple(modules)[:200],
        _is_generated(source[:1500]),
    )  # fmt: skip


def _mark(bounds: list[int], owners: list[int], at: int, owner: int) -> None:
    if bounds[-1] == at:
        owners[-1] = owner
    else:
        bounds.append(at)
        owners.append(owner)


def _is_generated(head: bytes) -> bool:
    low = head.lower()
    return (b"generated" in low or b"do not" in low) and _GENERATED.search(low) is not None


# ------------------------------------------------------------------------------ identifiers


def _words(buffer: bytes) -> tokens.Spans:
    """The identifiers of a text, keywords left out."""
    words = tokens.identifiers(buffer)
    kept = ~tokens.among(words.hashes, _keywords())
    return tokens.Spans(words.starts[kept], words.sizes[kept], words.hashes[kept])


def _joined(spans: "Sequence[tuple[I64, I64, NDArray[np.uint64]]]") -> tokens.Spans:
    import numpy as np

    starts, sizes, hashes = zip(*spans, strict=True)
    return tokens.Spans(np.concatenate(starts), np.concatenate(sizes), np.concatenate(hashes))


def _identified(sources: list[bytes], outlines: list[Outline], words: tokens.Spans) -> list[Parts]:
    """Count the identifiers of every definition, each byte for the innermost one only. The words
    are those of all sources, each followed by a line break."""
    import numpy as np

    buffer = b"\n".join(sources)
    firsts = np.cumsum([0, *(len(s) + 1 for s in sources)])
    docs = np.cumsum([0, *(len(o.names) for o in outlines)])
    doc_of = _doc_of(words.starts, outlines, firsts, docs)
    one, term = tokens.distinct(words.hashes)
    # By hash, so that the order does not depend on the files that are read with a file.
    order = np.argsort(words.hashes[one])
    rank = np.empty(len(one), np.int64)
    rank[order] = np.arange(len(one))
    n_terms = len(one) or 1
    doc, term, count = _tally(doc_of, rank[term], n_terms, int(docs[-1]))
    file = np.repeat(np.arange(len(outlines)), np.diff(docs))[doc]
    # Terms are numbered file by file: a record knows nothing of other files.
    keys = file * n_terms + term
    pairs = tokens.once(keys)
    local = np.searchsorted(pairs, keys)
    begins = np.searchsorted(pairs // n_terms, np.arange(len(outlines) + 1))
    local -= begins[file]
    fits = local < _MAX_FILE_TERMS
    doc, file, local, count = doc[fits], file[fits], local[fits], count[fits]
    items = np.searchsorted(file, np.arange(len(outlines) + 1))
    own = one[order][pairs % n_terms] if len(pairs) else pairs
    terms = tokens.gather(buffer, words.starts[own], words.sizes[own])
    bytes_at = np.append(0, np.cumsum(words.sizes[own] + 1))
    sizes = np.bincount(doc, minlength=int(docs[-1])).astype("<u4")
    ids, lines = local.astype("<u2"), _lines(buffer, outlines, firsts, docs)
    found = []
    for i, outline in enumerate(outlines):
        a, b, c, d = items[i], items[i + 1], docs[i], docs[i + 1]
        last = min(begins[i + 1], begins[i] + _MAX_FILE_TERMS)
        columns = Columns(
            terms[bytes_at[begins[i]] : bytes_at[last]], lines[0, c:d].tobytes(),
            lines[1, c:d].tobytes(), sizes[c:d].tobytes(), ids[a:b].tobytes(),
            count[a:b].tobytes(),
        )  # fmt: skip
        found.append(compose(outline, columns))
    return found


def _lines(
    buffer: bytes, outlines: list[Outline], firsts: "I64", docs: "I64"
) -> "NDArray[np.uint32]":
    """First and last line of every definition, counted from 1 in its file; shape (2, docs)."""
    import numpy as np

    breaks = np.flatnonzero(np.frombuffer(buffer, np.uint8) == ord("\n"))
    starts = np.concatenate([np.array(o.starts, np.int64) for o in outlines])
    ends = np.concatenate([np.array(o.ends, np.int64) for o in outlines])
    sizes = np.diff(docs)
    shift = np.repeat(firsts[: len(sizes)], sizes)
    # The last byte of a definition tells its last line, whether or not it is a newline.
    at = np.stack([starts, np.maximum(ends - 1, starts)]) + shift
    above = np.searchsorted(breaks, firsts[: len(sizes)])
    return (np.searchsorted(breaks, at) - np.repeat(above, sizes) + 1).astype("<u4")


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


@cache
def _keywords() -> "NDArray[np.uint64]":
    import numpy as np

    return np.sort(np.array([tokens.hash_text(k) for k in _KEYWORDS], np.uint64))


_QUOTED = re.compile(r"[\"'<]([^\"'<>]+)[\"'>]")
_PYTHON_FROM = re.compile(r"from\s+(\.*[\w.]*)\s+import\s+(.*)", re.S)
_NAME_AS = re.compile(r"(\w+)(?:\s+as\s+\w+)?")


@lru_cache(maxsize=1 << 12)
def _modules(text: str) -> tuple[str, ...]:
    """Modules an import statement names: dotted for Python, the quoted path elsewhere."""
    if match := _PYTHON_FROM.match(text):
        base = match[1]
        rest = match[2] if "#" not in match[2] else re.sub(r"#[^\n]*", "", match[2])
        joiner = "" if base.endswith(".") else "."
        return base, *(f"{base}{joiner}{name}" for name in _NAME_AS.findall(rest)[:40])
    if quoted := _QUOTED.findall(text):
        return tuple(" ".join(q.split()) for q in quoted)
    text = re.sub(r"^\s*(import|use|using|extern\s+crate|source|\.)\s+(static\s+)?", "", text)
    found = re.findall(r"[\w.:/]{2,}", text.replace("\\", "."))
    return tuple(m.replace("::", ".") for m in found if m != "as")[:40]
