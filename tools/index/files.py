"""Which files there are, whether they changed, and their bytes. Never blocks, never follows out.

A FIFO would block an open for ever and a link can lead anywhere: the kind of file is checked
before it is opened, and again on the open descriptor.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.index import git
from tools.index.extract import MAX_BYTES
from tools.index.languages import language_of

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["Seen", "blob_id", "list_files", "look", "read"]

ListFiles = Callable[[], Sequence[str]]

_SKIPPED = frozenset(
    ".git .hg .svn .jj node_modules __pycache__ .venv venv .tox .nox .mypy_cache .pytest_cache"
    " .ruff_cache .eggs .idea .gradle".split()
)
_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Seen:
    """What `lstat` says of a regular file. Equal and not fresh means: the same bytes."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def blob_id(data: bytes) -> str:
    """The id git gives these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def look(root: str, paths: Iterable[str]) -> dict[str, Seen]:
    """Regular files of a fit size among `paths`; everything else is left out."""
    found: dict[str, Seen] = {}
    lstat, isreg, prefix = os.lstat, stat.S_ISREG, root.rstrip("/") + "/"
    for path in paths:
        try:
            s = lstat(prefix + path)
        except (OSError, ValueError):
            continue
        if isreg(s.st_mode) and s.st_size <= MAX_BYTES:
            found[path] = Seen(s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)
    return found


def read(root: Path, path: str) -> bytes | None:
    """The bytes of a regular file inside `root`; None if there is no such readable file."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(root / path, flags)
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def list_files(root: Path, given: ListFiles | None) -> list[str]:
    """Paths of a known language below `root`, sorted: from the caller, from git, or by a walk."""
    # Git says nothing of a directory that a repository around it ignores: it is walked then.
    paths: Iterable[str] | None = given() if given is not None else git.ls_files(root) or None
    if paths is None:
        paths = _walk(root)
    ignore = _agentignore(root)
    kept = {p for p in paths if language_of(p) is not None and _inside(p)}
    if ignore is not None:
        kept = {p for p in kept if not ignore.match_file(p)}
    return sorted(kept)


def _inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/")


def _agentignore(root: Path) -> "GitIgnoreSpec | None":
    return _ignores(root / ".agentignore", "")


def _ignores(file: Path, prefix: str) -> "GitIgnoreSpec | None":
    """The patterns of one ignore file, made relative to the root of the walk."""
    data = read(file.parent, file.name)
    if data is None:
        return None
    from pathspec import GitIgnoreSpec

    lines = data.decode("utf-8", "replace").splitlines()
    if prefix:
        lines = [_below(line, prefix) for line in lines]
    return GitIgnoreSpec.from_lines(lines)


def _below(line: str, prefix: str) -> str:
    """A pattern of a nested ignore file as the root would write it."""
    text = line.rstrip()
    if not text or text.startswith("#"):
        return ""
    sign, text = ("!", text[1:]) if text.startswith("!") else ("", text)
    anchored = "/" in text.rstrip("/")
    middle = "/" if anchored else "/**/"
    return f"{sign}/{prefix}{middle}{text.lstrip('/')}"


def _walk(root: Path) -> Iterator[str]:
    """Files below `root` without git: honours every `.gitignore`, never follows links."""
    stack: list[tuple[str, list[GitIgnoreSpec]]] = [("", [])]
    while stack:
        folder, specs = stack.pop()
        if folder.count("/") > _MAX_DEPTH:
            continue
        own = _ignores(root / folder / ".gitignore", folder)
        specs = [*specs, own] if own is not None else specs
        try:
            entries = sorted(os.scandir(root / folder), key=lambda e: e.name)
        except OSError:
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _SKIPPED and not _ignored(path + "/", specs):
                    stack.append((path, specs))
            elif entry.is_file(follow_symlinks=False) and not _ignored(path, specs):
                yield path


def _ignored(path: str, specs: "list[GitIgnoreSpec]") -> bool:
    """The deepest ignore file that says anything about the path decides."""
    for spec in reversed(specs):
        verdict = spec.check_file(path).include
        if verdict is not None:
            return verdict
    return False
