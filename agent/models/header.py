"""Reads a GGUF header: metadata and tensor shapes, in bounded time and memory.

The file may be truncated, damaged or hostile: every count and length is checked against what is
left of the file before it is used. Arrays (vocabularies) are skipped, not loaded.
"""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from agent.errors import EngineError

__all__ = ["Header", "Tensor", "read_header"]

_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i",
    6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_MAX_ENTRIES = 100_000
_MAX_TEXT = 4 * 2**20
_MAX_ITEMS = 4_000_000

Value = int | float | bool | str | None


@dataclass(frozen=True, slots=True)
class Tensor:
    """Shape as stored (fastest first), GGML type number, offset into the data section."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True, slots=True)
class Header:
    """Metadata without arrays (their length is kept instead), tensors, and where data begins."""

    values: dict[str, Value]
    array_lengths: dict[str, int]
    tensors: tuple[Tensor, ...]
    data_start: int
    file_size: int


@dataclass(slots=True)
class _Cursor:
    file: BinaryIO
    size: int
    name: str
    at: int = field(default=0)

    def take(self, n: int) -> bytes:
        data = self.file.read(n) if self.at + n <= self.size else b""
        if len(data) != n:
            raise EngineError(f"{self.name} is cut off: its header does not end")
        self.at += n
        return data

    def skip(self, n: int) -> None:
        if self.at + n > self.size:
            raise EngineError(f"{self.name} is cut off: its header does not end")
        self.file.seek(n, 1)
        self.at += n

    def number(self, form: str) -> Value:
        value: Value = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def count(self, what: str, limit: int, form: str = "<Q") -> int:
        n = self.number(form)
        if not isinstance(n, int) or n > limit:
            raise EngineError(f"{self.name} is damaged: {n} {what}")
        return n

    def text(self) -> str:
        return self.take(self.count("bytes in a string", _MAX_TEXT)).decode("utf-8", "replace")


def read_header(path: Path) -> Header:
    """Raises EngineError for a file that is missing, not GGUF, cut off or damaged."""
    try:
        with path.open("rb") as file:
            return _read(_Cursor(file, path.stat().st_size, path.name))
    except OSError as error:
        raise EngineError(f"{path}: {error.strerror or error}") from error


def _read(cursor: _Cursor) -> Header:
    if cursor.size < 24 or cursor.take(4) != b"GGUF":
        raise EngineError(f"{cursor.name} is not a GGUF file")
    version = cursor.count("as version", 2**32, "<I")
    if version not in (2, 3):
        raise EngineError(f"{cursor.name}: GGUF version {version} is not supported")
    tensor_count = cursor.count("tensors", _MAX_ENTRIES)
    value_count = cursor.count("metadata entries", _MAX_ENTRIES)
    values: dict[str, Value] = {}
    lengths: dict[str, int] = {}
    for _ in range(value_count):
        key = cursor.text()
        kind = cursor.count("as type", 2**32, "<I")
        if kind == _ARRAY:
            lengths[key] = _skip_array(cursor)
        else:
            values[key] = _value(cursor, kind)
    tensors = tuple(_tensor(cursor) for _ in range(tensor_count))
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 2**20:
        raise EngineError(f"{cursor.name} is damaged: alignment {alignment}")
    start = -(-cursor.at // alignment) * alignment
    return Header(values, lengths, tensors, start, cursor.size)


def _value(cursor: _Cursor, kind: int) -> Value:
    if kind == _STRING:
        return cursor.text()
    if kind not in _SCALARS:
        raise EngineError(f"{cursor.name} is damaged: value type {kind}")
    return cursor.number(_SCALARS[kind])


def _skip_array(cursor: _Cursor) -> int:
    kind = cursor.count("as type", 2**32, "<I")
    n = cursor.count("items in an array", _MAX_ITEMS)
    if kind == _STRING:
        for _ in range(n):
            cursor.skip(cursor.count("bytes in a string", _MAX_TEXT))
    elif kind in _SCALARS:
        cursor.skip(n * struct.calcsize(_SCALARS[kind]))
    else:
        raise EngineError(f"{cursor.name} is damaged: arrays of type {kind}")
    return n


def _tensor(cursor: _Cursor) -> Tensor:
    name = cursor.text()
    dimensions = cursor.count("dimensions", 8, "<I")
    shape = tuple(cursor.count("in a dimension", 2**40) for _ in range(dimensions))
    kind = cursor.count("as tensor type", 2**32, "<I")
    return Tensor(name, shape, kind, cursor.count("as offset", 2**62))
