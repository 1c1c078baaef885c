"""Nothing a command leaves in `.git` may run on the host later.

Git runs programs named in `.git/config` and `.git/hooks`. Where `.git` exists, the tiers make the
whole of it unwritable (protecting only hooks and config is undone by a rename). Where a writable
directory has none, a command could plant one: an empty directory holds the place while commands
run, unwritable too, and is removed afterwards together with anything that got into it.
"""

import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_lock = threading.Lock()
_held: Counter[Path] = Counter()


@contextmanager
def guarded(writable: Iterable[Path], protect: Iterable[Path]) -> Iterator[tuple[Path, ...]]:
    """Yields the paths that must not be written, all of them existing. Resolved.

    `protect` names further paths; one that does not exist is held by an empty directory as well
    if its parent exists.
    """
    wanted = [path.resolve() / ".git" for path in writable if path.is_dir()]
    wanted += [path.resolve() for path in protect]
    kept: list[Path] = []
    holders: list[Path] = []
    try:
        for path in dict.fromkeys(wanted):
            if _hold(path):
                holders.append(path)
            if path.is_symlink() or path.exists():
                kept.append(path)
        yield tuple(kept)
    finally:
        for path in holders:
            _release(path)


def _hold(path: Path) -> bool:
    """True if the place is held by a directory of ours, made now or by a run under way."""
    with _lock:
        if path in _held:
            _held[path] += 1
            return True
        if not path.is_symlink() and not path.exists() and path.parent.is_dir():
            with suppress(FileExistsError):
                path.mkdir(mode=0o755)
        if not _is_empty_directory(path):
            return False
        # ours; or of another process of ours, or left by one that was killed: nothing is in it
        _held[path] = 1
        return True


def _is_empty_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def _release(path: Path) -> None:
    with _lock:
        _held[path] -= 1
        if _held[path] > 0:
            return
        del _held[path]
        if path.is_symlink() or path.is_file():
            path.unlink()
        else:
            shutil.rmtree(path, ignore_errors=True)
