"""Which files there are, whether they changed, and their bytes. Never blocks, never follows out.

A FIFO would block an open for ever and a link can lead anywhere: the kind of file is checked
before it is opened, and again on the open descriptor.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tools.index import git
from tools.index.languages import language_of

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["Lister", "Listing", "Seen", "blob_id", "identity", "look", "read", "unfit"]

ListFiles = Callable[[], Sequence[str]]
Listing = Callable[[Container[str]], list[str]]

_SKIPPED = frozenset(
    ".git .hg .svn .jj node_modules __pycache__ .venv venv .tox .nox .mypy_cache .pytest_cache"
    " .ruff_cache .eggs .idea .gradle".split()
)
_MAX_DEPTH = 64


class Seen(NamedTuple):
    """What `lstat` says of a regular file. Equal and not fresh means: the same bytes."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def blob_id(data: bytes) -> str:
    """The id git gives these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def look(root: str, paths: Iterable[str]) -> dict[str, Seen]:
    """Regular files of a fit size among `paths`, none of them behind a link; others are left out.

    git goes on listing a tracked file whose directory has become a link to somewhere else.
    """
    found: dict[str, Seen] = {}
    lstat, isreg, prefix = os.lstat, stat.S_ISREG, root.rstrip("/") + "/"
    real = {"": True}
    for path in paths:
        folder = path.rpartition("/")[0]
        try:
            if not (real[folder] if folder in real else _real(prefix, folder, real)):
                continue
            s = lstat(prefix + path)
        except (OSError, ValueError):
            continue
        if isreg(s.st_mode) and s.st_size <= MAX_BYTES:
            found[path] = Seen(s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)
    return found


def _real(prefix: str, folder: str, known: dict[str, bool]) -> bool:
    """Whether a directory and all above it, up to the root, are directories and no links."""
    above = folder.rpartition("/")[0]
    if above not in known:
        _real(prefix, above, known)
    try:
        known[folder] = known[above] and stat.S_ISDIR(os.lstat(prefix + folder).st_mode)
    except (OSError, ValueError):
        known[folder] = False
    return known[folder]


MAX_BYTES = 1_000_000
"""Larger files are data or generated; nobody edits a function in them."""


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


def identity(source: bytes) -> str:
    """The id of a blob that can be indexed; `!` and why it is left out for another."""
    reason = unfit(source)
    return f"!{reason}" if reason else blob_id(source)


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


class Lister:
    """Lists the files of one root: from the caller, from git, or by a walk."""

    def __init__(self, root: Path, given: ListFiles | None) -> None:
        self._root, self._given = root, given
        self._last: tuple[object, bytes | None, list[str]] = (None, None, [])

    def begin(self) -> Listing:
        """Start listing. The call that is returned gives paths of a known language, sorted.

        It is told which paths were listed before: their language is not looked up again.
        """
        given = self._given
        if given is not None:
            return lambda known: self._kept(tuple(given()), known)
        listed = git.ls_files(self._root)
        # git says nothing of a directory that a repository around it ignores: it is walked then.
        return lambda known: self._kept(listed() or tuple(_walk(self._root)), known)

    def _kept(self, listed: bytes | tuple[str, ...], known: Container[str]) -> list[str]:
        """Sorting and looking at every path costs 10 ms for 3,000: remembered while nothing new."""
        ignore = read(self._root, _AGENTIGNORE)
        if self._last[:2] != (listed, ignore):
            paths = git.split(listed) if isinstance(listed, bytes) else listed
            kept = {p for p in paths if p in known or (language_of(p) is not None and _inside(p))}
            if (spec := _ignores(self._root / _AGENTIGNORE, "")) is not None:
                kept = {p for p in kept if not spec.match_file(p)}
            self._last = (listed, ignore, sorted(kept))
        return self._last[2]


_AGENTIGNORE = ".agentignore"


def _inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/")


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
