"""One file's record: what the extractor found in its bytes, and its stored form.

A record depends on the bytes and the language only, so files that are equal share one, in every
branch and worktree. The stored form is JSON for the symbols and flat little-endian arrays for the
identifier counts; it is read back with length checks and never executed.
"""

import json
import struct
import sys
from array import array
from dataclasses import dataclass

__all__ = ["EXTRACTOR_VERSION", "KINDS", "Definition", "FileRecord", "decode", "encode"]

EXTRACTOR_VERSION = 1
"""Raised whenever the extractor would say something else about the same bytes."""

KINDS = ("module", "class", "function", "method", "constant", "type")

_HEADER = struct.Struct("<4sIIII")
_MAGIC = b"PMR1"


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition inside one file. Lines are 1-based and include decorators; bytes half-open."""

    name: str
    """Qualified within the file; empty for the file itself, which is always definition 0."""
    kind: str
    line: int
    end_line: int
    signature: str
    parent: int
    """Number of the enclosing definition; -1 for the file itself."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """All that the index keeps of a file.

    The identifiers of definition `d` are `terms[i] for i in ids[starts[d]:starts[d+1]]`, with
    their `counts`; text inside a nested definition belongs to the nested one only.
    """

    definitions: tuple[Definition, ...]
    imports: tuple[tuple[int, int], ...]
    """First and last line of each import statement."""
    modules: tuple[str, ...]
    """Modules or files the import statements name, as written."""
    generated: bool
    terms: tuple[str, ...]
    starts: "array[int]"
    ids: "array[int]"
    counts: "array[int]"


def encode(record: FileRecord) -> bytes:
    head = json.dumps(
        [
            [[d.name, KINDS.index(d.kind), d.line, d.end_line, d.signature, d.parent]
             for d in record.definitions],
            record.imports,
            record.modules,
            int(record.generated),
        ],
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode("utf-8", "replace")  # fmt: skip
    terms = "\n".join(record.terms).encode("utf-8", "replace")
    sizes = (len(head), len(terms), len(record.starts), len(record.ids))
    arrays = (record.starts, record.ids, record.counts)
    return b"".join((_HEADER.pack(_MAGIC, *sizes), head, terms, *map(_little_endian, arrays)))


def decode(data: bytes) -> FileRecord:
    """Raises ValueError for anything that `encode` did not write."""
    try:
        magic, n_head, n_terms, n_starts, n_ids = _HEADER.unpack_from(data)
    except struct.error as error:
        raise ValueError("record too short") from error
    if magic != _MAGIC or len(data) != _HEADER.size + n_head + n_terms + 4 * n_starts + 5 * n_ids:
        raise ValueError("record of another format")
    at = _HEADER.size
    raw, imports, modules, generated = json.loads(data[at : at + n_head])
    at += n_head
    terms = data[at : at + n_terms].decode("utf-8", "replace")
    at += n_terms
    starts = _read("I", data[at : at + 4 * n_starts])
    at += 4 * n_starts
    ids = _read("I", data[at : at + 4 * n_ids])
    return FileRecord(
        tuple(Definition(n, KINDS[k], a, b, s, p) for n, k, a, b, s, p in raw),
        tuple((a, b) for a, b in imports),
        tuple(modules),
        bool(generated),
        tuple(terms.split("\n")) if terms else (),
        starts,
        ids,
        _read("B", data[at + 4 * n_ids :]),
    )


def _little_endian(values: "array[int]") -> bytes:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _read(code: str, data: bytes) -> "array[int]":
    values: array[int] = array(code)
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values
