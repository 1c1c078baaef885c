"""A scratch copy of a repository in which the agent works; the user's tree is not written to.

`base/` holds the files as they were copied, `tree/` the files as the agent and the tests have them.
Only what goes through `write` is part of the patch: what tests leave behind is not. Tests run code
that we do not trust inside `tree/`, so every access from outside goes through `tools.files`.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Self

from tools.copying import build_products, copy_file, discover, is_inside
from tools.errors import ConflictError, OutOfScope
from tools.files import Tree, check_path
from tools.types import FileChange, Patch

__all__ = ["Workspace", "discard", "discover"]

Stamp = tuple[int, int, int, int]


class Workspace:
    """See the module. Made by `create` or `clone`, not by the constructor."""

    def __init__(self, *, directory: Path, base: Path, manifest: frozenset[str]) -> None:
        self._directory = directory
        self._base = base
        self._manifest = manifest
        self._written: dict[str, int | None] = {}
        self._stamps: dict[str, Stamp] = {}
        self._removed = False

    @classmethod
    def create(cls, repo_root: Path, files: Iterable[str], directory: Path) -> Self:
        """Copy `files` and the build products tests need into `directory`, which must be new.

        Regular files and symbolic links are copied with mode and time; links keep pointing where
        they point but are never written through; pipes, sockets and devices are left out.
        """
        directory.mkdir(mode=0o700, parents=True)
        base = directory / "base"
        base.mkdir()
        names = list(dict.fromkeys([*files, *build_products(repo_root)]))
        within = cache(partial(is_inside, repo_root))
        manifest = frozenset(n for n in names if _copy(repo_root, base, n, within))
        workspace = cls(directory=directory, base=base, manifest=manifest)
        workspace._fill()
        return workspace

    @property
    def root(self) -> Path:
        """Where commands run."""
        return self._directory / "tree"

    @property
    def files(self) -> tuple[str, ...]:
        """What was copied, and what was written since, sorted."""
        made = {p for p in self._written if self.read(p) is not None}
        gone = {p for p in self._written if p not in made}
        return tuple(sorted((self._manifest | made) - gone))

    def read(self, path: str) -> bytes | None:
        """A regular file as it is now; None if there is none or the path is not allowed."""
        return _read(self.root, path)

    def base(self, path: str) -> bytes | None:
        """The file as it was copied from the user's tree."""
        return _read(self._base, path)

    def write(self, patch: Patch) -> None:
        """Apply a patch to the scratch copy; all files are checked before the first is written.

        Raises ConflictError if a file is not its `before`, OutOfScope for a path not allowed.
        """
        with Tree(self.root) as tree:
            for change in patch.changes:
                if tree.read(change.path) != change.before:
                    raise ConflictError(
                        f"{change.path} in the scratch copy is not what the patch starts from"
                    )
                if change.before is None and _exists(self.root, change.path):
                    raise ConflictError(f"{change.path} is a link or not a regular file")
            for change in patch.changes:
                _put(tree, change)
                self._written[change.path] = self._mode_written(change)
                self._forget_bytecode(change.path)

    def changes(self) -> Patch:
        """What `write` did since the base, from one end to the other; sorted by path."""
        changes = []
        for path, mode in sorted(self._written.items()):
            before, after = self.base(path), self.read(path)
            if before != after:
                kept = mode if before is None else None
                changes.append(FileChange(path=path, before=before, after=after, mode=kept))
        return Patch(changes=tuple(changes))

    def reset(self) -> None:
        """Back to the base: what was written, changed, added or removed by anyone is undone."""
        if self._removed:
            raise ValueError("the workspace was removed")
        try:
            kept = self._untouched()
        except PermissionError:  # a test took permissions away: start over
            _empty(self.root)
            kept = frozenset()
        self._written.clear()
        self._fill(kept)

    def renew(self, repo_root: Path, names: Iterable[str]) -> None:
        """Take some files from the user's tree again: they changed there, came, or went.

        What was written to them here is forgotten.
        """
        within = cache(partial(is_inside, repo_root))
        manifest = set(self._manifest)
        with Tree(self.root) as tree, Tree(self._base) as base:
            for name in names:
                with suppress(FileNotFoundError, NotADirectoryError):
                    base.unlink(name)
                self._written.pop(name, None)
                self._stamps.pop(name, None)
                manifest.discard(name)
                with suppress(FileNotFoundError, NotADirectoryError):
                    tree.unlink(name)
                self._forget_bytecode(name)
                if _copy(repo_root, self._base, name, within):
                    manifest.add(name)
        self._manifest = frozenset(manifest)
        missing = [n for n in manifest if not os.path.lexists(self.root / n)]
        inside = cache(partial(is_inside, self.root))
        for name in missing:  # never through a link that a test put there
            if inside((self.root / name).parent):
                copy_file(self._base / name, self.root / name)
                self._stamps[name] = _stamp(self.root / name)

    def clone(self, directory: Path) -> "Workspace":
        """A second scratch copy with the agent's changes, but not what tests left behind.

        It shares the base of this one: remove it first.
        """
        directory.mkdir(mode=0o700, parents=True)
        twin = Workspace(directory=directory, base=self._base, manifest=self._manifest)
        twin._fill()
        twin.write(self.changes())
        return twin

    def remove(self) -> None:
        """Delete the scratch copy. Twice does no harm."""
        self._removed = True
        discard(self._directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _fill(self, kept: frozenset[str] = frozenset()) -> None:
        """Copy what is missing from the base, and note how it looks untouched."""
        self.root.mkdir(exist_ok=True)
        for name in self._manifest - kept:
            copy_file(self._base / name, self.root / name)
            self._stamps[name] = _stamp(self.root / name)

    def _untouched(self) -> frozenset[str]:
        """Delete everything that is not as it was filled in; the names of what is."""
        kept: set[str] = set()
        for above, directories, names in os.walk(self.root, topdown=False, onerror=_raise):
            place = Path(above)
            prefix = "" if place == self.root else f"{place.relative_to(self.root).as_posix()}/"
            for name in names:
                if self._stamps.get(prefix + name) == _stamp(place / name):
                    kept.add(prefix + name)
                else:
                    (place / name).unlink()
            for name in directories:
                _tidy(place / name)
        return frozenset(kept)

    def _mode_written(self, change: FileChange) -> int | None:
        return self._written.get(change.path) if change.mode is None else change.mode

    def _forget_bytecode(self, path: str) -> None:
        """Python takes a `.pyc` for fresh when second and size agree: two candidates of one length
        within a second would run as the first."""
        if not path.endswith(".py"):
            return
        file = self.root / path
        compiled = file.parent / "__pycache__"
        if compiled.is_symlink() or not is_inside(self.root, compiled):
            return
        for stale in compiled.glob(f"{_glob_escaped(file.stem)}.*.pyc"):
            with suppress(FileNotFoundError):
                stale.unlink()


def discard(directory: Path) -> None:
    """Delete a scratch copy whose process is gone. Does nothing where there is none."""
    if directory.exists():
        _empty(directory)
        directory.rmdir()


def _copy(root: Path, base: Path, name: str, within: Callable[[Path], bool]) -> bool:
    """Copy one file into the base; False if it is gone, special, or not ours to copy."""
    try:
        parts = check_path(name)
    except OutOfScope:
        return False
    above = root.joinpath(*parts[:-1])
    if not within(above):
        return False  # behind a link that leaves the repository
    source = root / name
    try:
        mode = source.lstat().st_mode
    except OSError:
        return False
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        return False
    try:
        copy_file(source, base / name)
    except FileNotFoundError:
        return False  # deleted while we looked
    return True


def _stamp(path: Path) -> Stamp:
    """Any write changes it: the kernel sets the change time, and no program can set it back."""
    found = path.lstat()
    return found.st_ino, found.st_ctime_ns, found.st_size, found.st_mode


def _raise(error: OSError) -> None:
    raise error


def _tidy(directory: Path) -> None:
    """Remove a directory that is empty now; a link to one always."""
    if directory.is_symlink():
        directory.unlink()
        return
    with suppress(OSError):
        directory.rmdir()


def _read(root: Path, path: str) -> bytes | None:
    try:
        with Tree(root) as tree:
            return tree.read(path)
    except OutOfScope:
        return None


def _exists(root: Path, path: str) -> bool:
    return os.path.lexists(root / path)


def _put(tree: Tree, change: FileChange) -> None:
    if change.after is None:
        tree.unlink(change.path)
        return
    there = tree.attributes(change.path)
    tree.make_parents(change.path)
    mode = there.mode if there else 0o644
    if change.mode is not None:
        mode = change.mode & 0o777
    tree.overwrite(change.path, change.after, mode)


def _empty(directory: Path) -> None:
    """Delete what is inside, also where a test took the permissions away."""
    try:
        _delete_children(directory)
    except PermissionError:
        for above, names, _ in os.walk(directory):
            for name in names:
                if not (Path(above) / name).is_symlink():
                    (Path(above) / name).chmod(0o700)
        _delete_children(directory)


def _delete_children(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _glob_escaped(stem: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in stem)
