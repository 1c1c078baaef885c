"""Which files of a tree belong into a scratch copy, and copying them fast."""

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["build_products", "copy_file", "discover", "is_inside"]

SKIPPED = frozenset(
    {
        ".git", ".hg", ".svn", ".tox", ".nox", ".venv", "venv", "env", "node_modules",
        "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".cache",
        ".eggs", ".ipynb_checkpoints", "site-packages", ".import_linter_cache", ".gradle",
    }
)  # fmt: skip
"""Directories never copied: history, environments of other tools, caches."""
_PRODUCT_SUFFIXES = (".so", ".pyd", ".dylib", ".abi3.so")
_PRODUCT_NAMES = frozenset({"_version.py", "version.py", "_version_info.py"})
_PRODUCT_DIRECTORIES = (".egg-info", ".dist-info")
_MAX_PRODUCT = 64 << 20
_FICLONE = 0x40049409


def discover(root: Path) -> Iterator[str]:
    """Files of a directory that no `.gitignore` in it excludes; for trees that git does not keep.

    Links are listed, not followed; special files are not listed.
    """
    return _walk_kept(root, "", ())


def build_products(root: Path) -> Iterator[str]:
    """What tests of a built checkout import and git ignores: extension modules, generated version
    files, `*.egg-info`."""
    return _walk_products(root, "", ())


def copy_file(source: Path, target: Path) -> None:
    """Copy a regular file or a link with mode and time; shares blocks where the disk can.

    Raises FileNotFoundError if `source` is gone, OSError (ELOOP) if it became a link meanwhile.
    """
    if source.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.readlink())
        return
    reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(reader)
        if not stat.S_ISREG(found.st_mode):
            return
        writer = _new_file(target)
        try:
            _transfer(reader, writer)
            os.fchmod(writer, stat.S_IMODE(found.st_mode) & 0o777 | stat.S_IRUSR | stat.S_IWUSR)
            os.utime(writer, ns=(found.st_atime_ns, found.st_mtime_ns))
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def is_inside(root: Path, path: Path) -> bool:
    """Whether a path, links resolved, lies beneath `root`."""
    return path.resolve().is_relative_to(root.resolve())


def _new_file(target: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(target, flags, 0o600)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        return os.open(target, flags, 0o600)


def _transfer(reader: int, writer: int) -> None:
    with suppress(OSError):
        fcntl.ioctl(writer, _FICLONE, reader)  # btrfs, xfs, bcachefs: no data is copied
        return
    if hasattr(os, "copy_file_range"):
        with suppress(OSError):
            while os.copy_file_range(reader, writer, 1 << 30):
                pass
            # /proc-like files have no length; the loop below finds their end.
    while chunk := os.read(reader, 1 << 20):
        view = memoryview(chunk)
        while view:
            view = view[os.write(writer, view) :]


Spec = tuple[str, "GitIgnoreSpec"]


def _walk_kept(root: Path, above: str, specs: tuple[Spec, ...]) -> Iterator[str]:
    own = _ignore_file(root / above)
    if own is not None:
        specs = (*specs, (above, own))
    for entry in _scan(root / above):
        name = f"{above}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in SKIPPED and not _ignored(f"{name}/", specs):
                yield from _walk_kept(root, f"{name}/", specs)
        elif (entry.is_symlink() or entry.is_file()) and not _ignored(name, specs):
            yield name


def _walk_products(root: Path, above: str, within: tuple[str, ...]) -> Iterator[str]:
    """Build products; `within` names the product directory we are in, if any."""
    for entry in _scan(root / above):
        name = f"{above}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if entry.name in SKIPPED or (entry.name in ("build", "dist") and not above):
                continue
            if (Path(entry.path) / "pyvenv.cfg").exists():
                continue  # a virtual environment under another name
            product = entry.name.endswith(_PRODUCT_DIRECTORIES)
            yield from _walk_products(
                root, f"{name}/", (*within, entry.name) if product else within
            )
        elif entry.is_file(follow_symlinks=False) and (within or _is_product(entry)):
            yield name


def _is_product(entry: "os.DirEntry[str]") -> bool:
    wanted = entry.name in _PRODUCT_NAMES or entry.name.endswith(_PRODUCT_SUFFIXES)
    return wanted and entry.stat(follow_symlinks=False).st_size <= _MAX_PRODUCT


def _scan(directory: Path) -> Iterable["os.DirEntry[str]"]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda e: e.name)
    except OSError:
        return ()


def _ignore_file(directory: Path) -> "GitIgnoreSpec | None":
    from pathspec import GitIgnoreSpec

    path = directory / ".gitignore"
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        return GitIgnoreSpec.from_lines(path.read_text("utf-8", "replace").splitlines())
    except (OSError, ValueError):  # ValueError: a pattern that is not one
        return None


def _ignored(name: str, specs: tuple[Spec, ...]) -> bool:
    """The nearest file that has an opinion decides, as in git."""
    for above, spec in reversed(specs):
        verdict = spec.check_file(name.removeprefix(above)).include
        if verdict is not None:
            return verdict
    return False
