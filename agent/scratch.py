"""Scratch copies of runs: whose they are, and how they go when their process was killed.

A run holds a lock on its directory. The kernel drops it with the process, so a directory that can
be locked belongs to nobody, and what is left in it can be deleted.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import ConfigError

__all__ = ["claimed", "sweep"]

LOCK = "lock"
COPIES = ("work", "verify", "try[0-9]*")
"""What the stages make in a run's directory; trajectory and patch stay."""


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """Hold a run's directory, without what an earlier process left in it.

    Raises ConfigError while another process works on the run.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = _lock(directory)
    if handle is None:
        raise ConfigError(
            f"another process is working on run {directory.name}", remedy="agent runs"
        )
    try:
        _clean(directory)
        yield
    finally:
        os.close(handle)


def sweep(runs_dir: Path) -> None:
    """Delete the scratch copies of runs whose process is gone."""
    for directory in sorted(runs_dir.iterdir()):
        if not any(_copies(directory)):
            continue
        handle = _lock(directory)
        if handle is None:
            continue
        try:
            _clean(directory)
        finally:
            os.close(handle)


def _lock(directory: Path) -> int | None:
    handle = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _copies(directory: Path) -> Iterator[Path]:
    for name in COPIES:
        yield from directory.glob(name)


def _clean(directory: Path) -> None:
    from tools.workspace import discard

    for copy in _copies(directory):
        discard(copy)
