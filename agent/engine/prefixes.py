"""Saved states of long prompt beginnings on disk, so that a worker started anew need not decode the
system prompt and the repository map again.

One file per beginning. Its name holds a hash of what the state depends on (the model's weights, the
build of llama.cpp, the cache's type) and one of the token ids: finding one opens no file. A file is
written whole or not at all, only its owner can read it, and one that is damaged is removed and
named in `notices`. The least recently used go first when there are too many bytes.
"""

import contextlib
import hashlib
import os
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Prefix", "PrefixStore", "model_identity"]

_MAGIC = b"PMPFX\x00\x00\x01"
_DIGEST = 32
_SUFFIX = ".prefix"
_READ_PER_S = 500e6
"""Bytes/s at which a state is read, checked and given to llama.cpp, at the least; measured here:
0.9 GB/s from the page cache."""
_STALE_S = 3600.0
"""A half-written file this old belongs to a process that is gone."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """What was decoded, and the states after it: of the target, and of the MTP drafter with its
    hidden row."""

    tokens: tuple[int, ...]
    target: bytes
    mtp: "tuple[bytes, NDArray[np.float32]] | None"

    @property
    def size(self) -> int:
        return len(self.target) + (len(self.mtp[0]) if self.mtp else 0)


def model_identity(path: Path) -> str:
    """Hash of a model file: its size, its first MiB (the header) and 64 samples of its weights.

    A few milliseconds where the whole file would take a minute; the same for a copy elsewhere.
    """
    size = path.stat().st_size
    found = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        found.update(file.read(2**20))
        for i in range(64):
            file.seek(size * i // 64)
            found.update(file.read(16384))
    return found.hexdigest()


class PrefixStore:
    """The files of one model and set-up in a directory that others share."""

    def __init__(
        self, folder: Path, *, identity: str, limit: int = 2 * 2**30, least_tokens: int = 256
    ) -> None:
        """`identity`: of everything a state depends on. `limit`: bytes of all files together."""
        self.folder, self.limit, self.least_tokens = folder, limit, least_tokens
        self._key = hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
        self.notices: list[str] = []
        """Files that were ignored, and why; the newest last."""

    def wanted(self, tokens: int, size: int, seconds: float) -> bool:
        """Whether keeping a state pays: decoding took longer than reading it back will."""
        worth = seconds > 2 * size / _READ_PER_S
        return tokens >= self.least_tokens and size <= self.limit // 2 and worth

    def longest(self, prompt: Sequence[int], *, beyond: int) -> Prefix | None:
        """The longest beginning of `prompt` with more than `beyond` tokens, but not all of it."""
        for count, path in sorted(self._files(), reverse=True):
            if not beyond < count < len(prompt):
                continue
            if path.name == self._name(prompt[:count]):
                found = self._read(path, prompt[:count])
                if found is not None:
                    return found
        return None

    def holds(self, tokens: Sequence[int]) -> bool:
        return (self.folder / self._name(tokens)).exists()

    def write(self, prefix: Prefix) -> None:
        """Keep it. A directory that cannot be written is a notice, no error."""
        path = self.folder / self._name(prefix.tokens)
        scratch = path.with_suffix(f".{os.getpid()}")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                digest = hashlib.blake2b(digest_size=_DIGEST)
                parts = _encoded(prefix)
                for part in parts:
                    digest.update(part)
                file.write(_MAGIC + digest.digest())
                file.writelines(parts)
            scratch.replace(path)
            self._prune(keep=path)
        except OSError as error:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)
            self._note(f"{path.name} cannot be written: {error.strerror}")

    def discard(self, tokens: Sequence[int], why: str) -> None:
        """Remove one that llama.cpp would not take."""
        path = self.folder / self._name(tokens)
        with contextlib.suppress(OSError):
            path.unlink()
        self._note(f"{path.name} was ignored and removed: {why}")

    def usage(self) -> tuple[int, int]:
        """How many files there are, of every model, and their bytes."""
        sizes = [size for _, size, _ in self._all()]
        return len(sizes), sum(sizes)

    def _name(self, tokens: Sequence[int]) -> str:
        ids = struct.pack(f"<{len(tokens)}i", *tokens)
        digest = hashlib.blake2b(ids, digest_size=16).hexdigest()
        return f"{self._key}-{len(tokens)}-{digest}{_SUFFIX}"

    def _files(self) -> Iterator[tuple[int, Path]]:
        """Token counts and paths of this model's."""
        for path in self.folder.glob(f"{self._key}-*{_SUFFIX}"):
            count = path.name.split("-")[1]
            if count.isdecimal():
                yield int(count), path

    def _read(self, path: Path, tokens: Sequence[int]) -> Prefix | None:
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None  # another process has removed it
        try:
            found = _decoded(data)
            if found.tokens != tuple(tokens):
                raise ValueError("it holds another text")
        except (ValueError, struct.error) as error:
            self.discard(tokens, str(error))
            return None
        return found

    def _all(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, path) of every model's."""
        found = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                facts = path.stat()
                found.append((facts.st_mtime, facts.st_size, path))
        return sorted(found)

    def _prune(self, keep: Path) -> None:
        files = self._all()
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self.limit:
                break
            if path != keep:
                with contextlib.suppress(OSError):
                    path.unlink()
                total -= size
        for path in self.folder.glob("*.[0-9]*"):  # left by a process that was killed
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()

    def _note(self, text: str) -> None:
        self.notices = [*self.notices[-9:], text]


def _encoded(prefix: Prefix) -> list[bytes]:
    state, row = prefix.mtp if prefix.mtp else (b"", None)
    carry = b"" if row is None else row.astype("<f4").tobytes()
    n = len(prefix.tokens)
    return [
        struct.pack("<IQQI", n, len(prefix.target), len(state), len(carry)),
        struct.pack(f"<{n}i", *prefix.tokens),
        carry,
        prefix.target,
        state,
    ]


def _decoded(data: bytes) -> Prefix:
    """Raises ValueError, struct.error."""
    import numpy as np

    begin = len(_MAGIC) + _DIGEST
    if not data.startswith(_MAGIC):
        raise ValueError("it is no saved state of this version")
    view = memoryview(data)[begin:]
    if hashlib.blake2b(view, digest_size=_DIGEST).digest() != data[len(_MAGIC) : begin]:
        raise ValueError("its checksum is wrong")
    head = struct.Struct("<IQQI")
    n, target, mtp, carry = head.unpack_from(view)
    at = head.size
    tokens = struct.unpack_from(f"<{n}i", view, at)
    at += 4 * n
    row = np.frombuffer(view[at : at + carry], dtype="<f4").astype(np.float32)
    at += carry
    states = bytes(view[at : at + target]), bytes(view[at + target : at + target + mtp])
    return Prefix(tokens, states[0], (states[1], row) if mtp else None)
