"""A segment on disk: one file of arrays, read through mmap, so that a new process starts at once.

It holds nothing that could not be built from the records. It is replaced whole, its checksum is
looked at before it is used, and one that does not fit is ignored and written again.
"""

import json
import mmap
import os
import struct
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tools.index.postings import Postings
from tools.index.records import EXTRACTOR_VERSION
from tools.index.segment import Segment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["load", "save"]

_FORMAT = f"4.{EXTRACTOR_VERSION}"
"""Raised with the layout, the way names are split, or what marks a file as a test."""
_HEADER = struct.Struct("<8sQQI")
_MAGIC = b"PMSNAP01"
_LARGE = 32 << 20
"""Bytes; of a smaller one all will be read soon."""
_POSTINGS = ("idents", "words", "name_words", "path_words", "by_name")
_ARRAYS = (
    "first_doc generated marks kinds lines ends lengths imports import_at module_at name_ends"
    " signature_ends"
).split()
_DERIVED = ("marks", "name_ends", "signature_ends")
_TEXTS = ("names", "signatures", "modules", "vocabulary")


def save(path: Path, segment: Segment) -> None:
    """Write a segment. A disk that is full or read-only costs the speed of the next start only."""
    arrays: dict[str, NDArray[np.generic]] = {n: getattr(segment, n) for n in _ARRAYS}
    texts = {
        "paths": "\0".join(segment.paths).encode("utf-8", "surrogateescape"),
        "blobs": "\n".join(segment.blobs).encode(),
        **{n: getattr(segment, n) for n in _TEXTS},
    }
    for name in _POSTINGS:
        postings: Postings = getattr(segment, name)
        arrays[f"{name}.hashes"] = postings.hashes
        arrays[f"{name}.starts"] = postings.starts
        arrays[f"{name}.items"] = postings.items
        if postings.counts is not None:
            arrays[f"{name}.counts"] = postings.counts
    with suppress(OSError):
        _write(path, *_layout(arrays, texts))


def _layout(
    arrays: "Mapping[str, NDArray[np.generic]]", texts: Mapping[str, bytes]
) -> tuple[bytes, list[bytes | memoryview]]:
    """The table of contents, and the pieces, each padded to 16 bytes."""
    table: dict[str, tuple[str, int, int]] = {}
    pieces: list[bytes | memoryview] = []
    at = 0
    # Views: copies of all arrays at once would double the memory.
    raw = [(n, a.dtype.str, _bytes(a)) for n, a in arrays.items()]
    named: list[tuple[str, str, bytes | memoryview]] = [
        *raw,
        *((n, "", t) for n, t in texts.items()),
    ]
    for name, kind, data in named:
        table[name] = (kind, at, len(data))
        pieces.append(data)
        pieces.append(b"\0" * (-len(data) % 16))
        at += len(data) + -len(data) % 16
    contents = json.dumps([_FORMAT, table]).encode()
    return contents + b" " * (-(len(contents) + _HEADER.size) % 16), pieces


def _bytes(array: "NDArray[np.generic]") -> memoryview:
    import numpy as np

    return np.ascontiguousarray(array).view(np.uint8).data


def _write(path: Path, contents: bytes, pieces: list[bytes | memoryview]) -> None:
    checksum = zlib.crc32(contents)
    for piece in pieces:
        checksum = zlib.crc32(piece, checksum)
    total = _HEADER.size + len(contents) + sum(map(len, pieces))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_HEADER.pack(_MAGIC, len(contents), total, checksum))
            file.writelines([contents, *pieces])
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def load(path: Path) -> Segment | None:
    """The segment that was saved; None if there is none that can be used."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, n_contents, total, checksum = _HEADER.unpack_from(data)
    except (OSError, ValueError, struct.error):
        return None
    if magic != _MAGIC or total != len(data):
        return None
    view = memoryview(data)
    if zlib.crc32(view[_HEADER.size :]) != checksum:
        return None
    if len(data) > _LARGE and hasattr(mmap, "MADV_DONTNEED"):
        data.madvise(mmap.MADV_DONTNEED)  # what the checksum read need not stay
    version, table = json.loads(data[_HEADER.size : _HEADER.size + n_contents])
    return _segment(view[_HEADER.size + n_contents :], table) if version == _FORMAT else None


def _segment(body: memoryview, table: Mapping[str, tuple[str, int, int]]) -> Segment:
    import numpy as np

    def array(name: str) -> "NDArray[np.generic]":
        kind, at, size = table[name]
        return np.frombuffer(body[at : at + size], dtype=np.dtype(kind))

    def text(name: str) -> bytes:
        _, at, size = table[name]
        return bytes(body[at : at + size])

    def lines(name: str) -> list[str]:
        found = text(name)
        return found.decode("utf-8", "replace").split("\n") if found else []

    def postings(name: str) -> Postings:
        counts = array(f"{name}.counts") if f"{name}.counts" in table else None
        return Postings(
            array(f"{name}.hashes"),  # type: ignore[arg-type]  # the dtype that was saved
            array(f"{name}.starts"),  # type: ignore[arg-type]
            array(f"{name}.items"),  # type: ignore[arg-type]
            counts,  # type: ignore[arg-type]
        )

    paths = text("paths")
    segment = Segment(
        paths=tuple(paths.decode("utf-8", "surrogateescape").split("\0")) if paths else (),
        blobs=tuple(lines("blobs")),
        idents=postings("idents"),
        words=postings("words"),
        **{n: text(n) for n in _TEXTS},  # type: ignore[arg-type]
        **{n: array(n) for n in _ARRAYS if n not in _DERIVED},  # type: ignore[arg-type]
    )
    for name in _DERIVED:
        segment.__dict__[name] = array(name)
    for name in _POSTINGS[2:]:
        segment.__dict__[name] = postings(name)
    return segment
