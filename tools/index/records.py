"""One file's record: what the extractor found in its bytes, and its stored form.

A record depends on the bytes and the language only, so files that are equal share one, in every
branch and worktree. The stored form is flat little-endian arrays and joined texts; reading it is
slicing, its lengths and checksum are looked at, and nothing in it is executed.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "EXTRACTOR_VERSION",
    "KINDS",
    "Columns",
    "Definition",
    "Outline",
    "Parts",
    "Record",
    "compose",
    "pack",
    "packed",
    "parts",
    "unpacked",
]

EXTRACTOR_VERSION = 8
"""Raised whenever the extractor would say something else about the same bytes."""

KINDS = ("module", "class", "function", "method", "constant", "type")

_HEADER = struct.Struct("<4sB7I")
_MAGIC = b"PMR4"


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition inside one file. Lines are 1-based and include decorators."""

    name: str
    """Qualified within the file; empty for the file itself, which is always definition 0."""
    kind: str
    line: int
    end_line: int
    signature: str


@dataclass(slots=True)
class Outline:
    """What stands in a file, column by column: a row for each definition, the file's own first.

    Columns and not rows: a repository has 60,000 definitions, and an object for each costs more
    than finding it.
    """

    names: list[str]
    kinds: bytearray
    """Numbers in `KINDS`."""
    starts: list[int]
    ends: list[int]
    """Bytes, half-open."""
    signatures: list[str]
    bounds: list[int]
    """Bytes where the innermost definition changes; the first is 0."""
    owners: list[int]
    """Which definition is innermost from each bound on."""
    imports: Sequence[tuple[int, int]]
    """First and last line of each import statement."""
    modules: Sequence[str]
    """Modules or files the import statements name, as written."""
    generated: bool


@dataclass(frozen=True, slots=True)
class Columns:
    """The arrays of a record, little-endian."""

    terms: bytes
    """The identifiers of the file, each ended by a newline."""
    lines: bytes
    ends: bytes
    """uint32: first and last line of each definition."""
    sizes: bytes
    """uint32: how many identifiers each definition has."""
    ids: bytes
    """uint16: which, definition by definition."""
    counts: bytes
    """uint8: how often. Text inside a nested definition belongs to the nested one only."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a record holds. Arrays as in `Columns`; texts are lines, each ended by a newline."""

    generated: bool
    signatures: bytes
    names: bytes
    modules: bytes
    terms: bytes
    kinds: bytes
    lines: bytes
    ends: bytes
    sizes: bytes
    imports: bytes
    """uint32: first and last line of each."""
    ids: bytes
    counts: bytes

    def size(self) -> int:
        """Bytes of the arrays and texts, the imports left out."""
        texts = (self.signatures, self.names, self.modules, self.terms)
        arrays = (self.kinds, self.lines, self.ends, self.sizes, self.ids, self.counts)
        return sum(map(len, texts)) + sum(map(len, arrays))


def compose(outline: Outline, columns: Columns) -> Parts:
    """The record of an outline with its identifiers."""
    spans = [n for span in outline.imports for n in span]
    return Parts(
        generated=outline.generated,
        signatures=_text(outline.signatures),
        names=_text(outline.names),
        modules=_text(outline.modules),
        terms=columns.terms,
        kinds=bytes(outline.kinds),
        lines=columns.lines,
        ends=columns.ends,
        sizes=columns.sizes,
        imports=struct.pack(f"<{len(spans)}I", *spans),
        ids=columns.ids,
        counts=columns.counts,
    )


Record = Parts | bytes
"""A record, or its stored form."""


def packed(record: Record) -> bytes:
    """The stored form of a record."""
    return record if isinstance(record, bytes) else pack(record)


def unpacked(record: Record) -> Parts:
    """Raises ValueError as `parts`."""
    return parts(record) if isinstance(record, bytes) else record


def pack(p: Parts) -> bytes:
    """The stored form of a record."""
    texts = (p.signatures, p.names, p.modules, p.terms)
    counted = (*map(len, texts), len(p.imports) // 4, len(p.kinds), len(p.counts))
    arrays = (p.kinds, p.lines, p.ends, p.sizes, p.imports, p.ids, p.counts)
    raw = b"".join((_HEADER.pack(_MAGIC, p.generated, *counted), *texts, *arrays))
    # 40 % of the size for 50 µs a file, mostly in the workers.
    return zlib.compress(raw, 1)


def parts(data: bytes) -> Parts:
    """Raises ValueError for anything that `pack` did not write."""
    try:
        data = zlib.decompress(data)
        magic, generated, *sizes = _HEADER.unpack_from(data)
    except (struct.error, zlib.error) as error:
        raise ValueError("record cut short or damaged") from error
    n_signatures, n_names, n_modules, n_terms, n_imports, n, n_ids = sizes
    texts = (n_signatures, n_names, n_modules, n_terms)
    lengths = (*texts, n, 4 * n, 4 * n, 4 * n, 4 * n_imports, 2 * n_ids, n_ids)
    if magic != _MAGIC or len(data) != _HEADER.size + sum(lengths):
        raise ValueError("record of another format")
    slices = []
    at = _HEADER.size
    for length in lengths:
        slices.append(data[at : at + length])
        at += length
    return Parts(bool(generated), *slices)


def _text(texts: Sequence[str]) -> bytes:
    return ("\n".join(texts) + "\n").encode("utf-8", "replace") if texts else b""
