"""One file's record: what the extractor found in its bytes, and its stored form.

A record depends on the bytes and the language only, so files that are equal share one, in every
branch and worktree. The stored form is flat little-endian arrays, joined texts and a little JSON;
reading it is slicing, its lengths are checked, and nothing in it is executed.
"""

import json
import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["EXTRACTOR_VERSION", "KINDS", "Definition", "FileRecord", "Parts", "parts"]

EXTRACTOR_VERSION = 3
"""Raised whenever the extractor would say something else about the same bytes."""

KINDS = ("module", "class", "function", "method", "constant", "type")

_HEADER = struct.Struct("<4sBIIIIII")
_MAGIC = b"PMR2"


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition inside one file. Lines are 1-based and include decorators."""

    name: str
    """Qualified within the file; empty for the file itself, which is always definition 0."""
    kind: str
    line: int
    end_line: int
    signature: str


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What the extractor found in a file.

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

    def encode(self) -> bytes:
        """The stored form."""
        head = [[d.signature for d in self.definitions], self.imports, self.modules]
        texts = (
            _bytes(json.dumps(head, separators=(",", ":"), ensure_ascii=False)),
            _bytes("\n".join(d.name.replace("\n", " ") for d in self.definitions)),
            _bytes("\n".join(self.terms)),
        )
        kinds = bytes(KINDS.index(d.kind) for d in self.definitions)
        lines = array("I", [d.line for d in self.definitions])
        ends = array("I", [d.end_line for d in self.definitions])
        sizes = (*map(len, texts), len(self.definitions), len(self.starts), len(self.ids))
        header = _HEADER.pack(_MAGIC, self.generated, *sizes)
        arrays = (lines, ends, self.starts, self.ids)
        flat = (_little_endian(a).tobytes() for a in arrays)
        return b"".join((header, *texts, kinds, *flat, self.counts.tobytes()))


@dataclass(frozen=True, slots=True)
class Parts:
    """A stored record, sliced. Arrays are little-endian uint32; `kinds` and `counts` bytes."""

    generated: bool
    head: bytes
    names: bytes
    terms: bytes
    kinds: bytes
    lines: bytes
    ends: bytes
    starts: bytes
    ids: bytes
    counts: bytes


def parts(data: bytes) -> Parts:
    """Raises ValueError for anything that `FileRecord.encode` did not write."""
    try:
        magic, generated, *sizes = _HEADER.unpack_from(data)
    except struct.error as error:
        raise ValueError("record too short") from error
    n_head, n_names, n_terms, n, n_starts, n_ids = sizes
    lengths = (n_head, n_names, n_terms, n, 4 * n, 4 * n, 4 * n_starts, 4 * n_ids, n_ids)
    if magic != _MAGIC or n_starts != n + 1 or len(data) != _HEADER.size + sum(lengths):
        raise ValueError("record of another format")
    slices = []
    at = _HEADER.size
    for length in lengths:
        slices.append(data[at : at + length])
        at += length
    return Parts(bool(generated), *slices)


def read_head(
    head: bytes,
) -> tuple[Sequence[str], tuple[tuple[int, int], ...], tuple[str, ...]]:
    """Signatures, import lines and imported modules of a record."""
    signatures, imports, modules = json.loads(head)
    return signatures, tuple((a, b) for a, b in imports), tuple(modules)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _little_endian(values: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values
