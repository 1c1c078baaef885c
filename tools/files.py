"""Reads and writes files beneath one directory, never through a symbolic link out of it.

A path is resolved with openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) where the kernel has it, else
component by component with O_NOFOLLOW. Resolving first and opening afterwards is not enough: a
racing process escaped that 20-91 times in 20,000 tries, and neither of these once.

    Tree.read       a regular file, or None
    Tree.stage      new contents in a temporary file beside the target, on the disk
    Tree.commit     exchanges it with the target, checking what came out
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.beneath import RENAME_EXCHANGE, RENAME_NOREPLACE, open_beneath, rename
from tools.errors import ConflictError, OutOfScope

__all__ = ["Attributes", "Tree", "check_path", "sync", "write_atomic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a replaced file passes on to its successor. `mode` holds permission bits only."""

    mode: int
    uid: int
    gid: int


class Tree:
    """A directory held open. Paths are relative to it, with `/` separators.

    Methods raise OutOfScope for a path that is not allowed, ConflictError for something there that
    must not be touched, and OSError for what the file system refuses.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        os.close(self._root)

    def read(self, path: str) -> bytes | None:
        """The bytes of a regular file; None when there is none, or something else is there."""
        parts = check_path(path)
        try:
            with self._parent(parts) as parent:
                # O_NONBLOCK: opening a FIFO must not wait for a writer.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                handle = os.open(parts[-1], flags, dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
                return None
            raise
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            return None
        with os.fdopen(handle, "rb") as file:
            return file.read()

    def attributes(self, path: str) -> Attributes | None:
        """Of a regular file that may be replaced; None when nothing is there.

        Raises ConflictError for a link, a directory, a device, or a file with a second name.
        """
        parts = check_path(path)
        try:
            with self._parent(parts) as parent:
                found = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise ConflictError(
                    f"{path}: a parent of it is a link or not a directory"
                ) from None
            raise
        if not stat.S_ISREG(found.st_mode):
            raise ConflictError(f"{path} is {_kind(found.st_mode)}, not a regular file")
        if found.st_nlink > 1:
            raise ConflictError(
                f"{path} has {found.st_nlink} names (hard links); replacing it would part them",
                remedy=f"give it a copy of its own: cp -p {path!r} tmp && mv tmp {path!r}",
            )
        return Attributes(
            mode=stat.S_IMODE(found.st_mode),
            uid=found.st_uid,
            gid=found.st_gid,
        )

    def refuse_twin(self, path: str) -> None:
        """Raise ConflictError when a name that differs in case or accents only is already there."""
        parts = check_path(path)
        for depth, name in enumerate(parts):
            try:
                with self._parent(parts[: depth + 1]) as parent:
                    with os.scandir(parent) as entries:
                        names = {entry.name for entry in entries}
            except (FileNotFoundError, NotADirectoryError):
                return
            twin = next((n for n in names if n != name and _folded(n) == _folded(name)), None)
            if twin is not None and name not in names:
                raise ConflictError(
                    f"{path}: {'/'.join([*parts[:depth], twin])} is there already; the two names"
                    " are one file on a case-insensitive disk"
                )

    def make_parents(self, path: str) -> tuple[str, ...]:
        """Create the missing directories above `path`; the ones made, outermost first."""
        parts = check_path(path)
        made = []
        for depth in range(1, len(parts)):
            with self._parent(parts[:depth]) as parent:
                try:
                    os.mkdir(parts[depth - 1], 0o755, dir_fd=parent)
                except FileExistsError:
                    continue
                _adopt(parts[depth - 1], parent)
                os.fsync(parent)
                made.append("/".join(parts[:depth]))
        return tuple(made)

    def remove_directory(self, path: str) -> None:
        """Remove a directory if it is empty."""
        parts = check_path(path)
        with suppress(OSError), self._parent(parts) as parent:
            os.rmdir(parts[-1], dir_fd=parent)
            os.fsync(parent)

    def stage(self, path: str, name: str, data: bytes, mode: int, like: Attributes | None) -> None:
        """Put `data` into a new file `name` beside `path`, flushed to the disk.

        Owner and extended attributes are those of `like`, the file at `path`, if there is one.
        `name` appears with its whole contents or not at all.
        """
        parts = check_path(path)
        with self._parent(parts) as parent:
            part = name + ".part"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(part, flags, 0o600, dir_fd=parent)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(handle, view) :]
                _dress(handle, parent, parts[-1], like)
                os.fchmod(handle, mode)  # after the owner: changing that clears set-id bits
                os.fsync(handle)
            finally:
                os.close(handle)
            os.rename(part, name, src_dir_fd=parent, dst_dir_fd=parent)

    def overwrite(self, path: str, data: bytes, mode: int) -> None:
        """Replace a file of a scratch copy: in one step, but not flushed to the disk."""
        parts = check_path(path)
        with self._parent(parts) as parent:
            name = f".pointsman-{os.getpid()}.part"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(name, flags, 0o600, dir_fd=parent)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                os.fchmod(handle, mode)
            os.rename(name, parts[-1], src_dir_fd=parent, dst_dir_fd=parent)

    def exchange(self, path: str, name: str) -> None:
        """Swap `path` and the file `name` beside it in one step, so that neither is ever lost."""
        parts = check_path(path)
        with self._parent(parts) as parent:
            if not rename(parent, name, parts[-1], RENAME_EXCHANGE):
                # No exchange on this kernel: keep the old file under a second name, then replace.
                spare = name + ".old"
                os.link(
                    parts[-1], spare, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False
                )
                os.rename(name, parts[-1], src_dir_fd=parent, dst_dir_fd=parent)
                os.rename(spare, name, src_dir_fd=parent, dst_dir_fd=parent)

    def move_new(self, path: str, source: str, target: str) -> None:
        """Rename `source` to `target`, both beside `path`; FileExistsError if `target` is there."""
        with self._parent(check_path(path)) as parent:
            if not rename(parent, source, target, RENAME_NOREPLACE):
                os.link(source, target, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
                os.unlink(source, dir_fd=parent)

    def unlink(self, path: str) -> None:
        """Remove a file or a link, if it is there."""
        parts = check_path(path)
        with suppress(FileNotFoundError), self._parent(parts) as parent:
            os.unlink(parts[-1], dir_fd=parent)

    def set_mode(self, path: str, mode: int) -> None:
        """Permission bits of a regular file."""
        parts = check_path(path)
        with self._parent(parts) as parent:
            handle = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
            try:
                os.fchmod(handle, mode)
            finally:
                os.close(handle)

    def sync_parent(self, path: str) -> None:
        """Flush the directory that holds `path`."""
        with self._parent(check_path(path)) as parent:
            os.fsync(parent)

    @contextmanager
    def _parent(self, parts: tuple[str, ...]) -> Iterator[int]:
        handle = open_beneath(self._root, parts[:-1])
        try:
            yield handle
        finally:
            os.close(handle)


def check_path(path: str) -> tuple[str, ...]:
    """The components of a path that may be written. Raises OutOfScope for any other.

    Not allowed: absolute paths, `..`, empty components, NUL, and `.git` in any spelling that some
    file system takes for it.
    """
    parts = tuple(path.split("/"))
    if not path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise OutOfScope(f"{path!r} is not a path inside the repository")
    if any(_folded(part) in (".git", "git~1") for part in parts):
        raise OutOfScope(f"{path!r} is git's own data; it is never edited")
    return parts


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file of our own: temporary file, flush, rename, flush the directory."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(handle)
    temporary.replace(path)
    sync(path.parent)


def sync(directory: Path) -> None:
    """Flush a directory, so that a rename in it survives a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _folded(name: str) -> str:
    """The name as the laxest file systems compare it: no case, accents composed, no ignorables."""
    plain = "".join(c for c in name if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFC", plain.casefold()).rstrip(". ") or name


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def _dress(handle: int, parent: int, name: str, like: Attributes | None) -> None:
    """Owner and extended attributes; root gives a new file to the directory's owner."""
    above = os.fstat(parent)
    owner = (like.uid, like.gid) if like else (above.st_uid, above.st_gid)
    now = os.fstat(handle)
    if owner != (now.st_uid, now.st_gid) and (like or os.geteuid() == 0):
        with suppress(PermissionError):
            os.fchown(handle, *owner)
    if like is None or not hasattr(os, "listxattr"):
        return
    with suppress(OSError):
        old = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
        try:
            for key in os.listxattr(old):
                with suppress(OSError):
                    os.setxattr(handle, key, os.getxattr(old, key))
        finally:
            os.close(old)


def _adopt(name: str, parent: int) -> None:
    """As root, a new directory belongs to whom the directory around it belongs to."""
    if os.geteuid() == 0:
        above = os.fstat(parent)
        os.chown(name, above.st_uid, above.st_gid, dir_fd=parent, follow_symlinks=False)
