"""The scratch copy of a conversation: in step with the user's tree, plus changes not yet in it.

Made when the first command or pending edit needs it and kept while the conversation is open.
Commands run here; what they rewrite is noticed and put back, so that the copy always is what the
conversation says it is. Files that may not be sent where the conversation is held are not in it:
no output can carry what is not there.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from agent.changes import inverse
from agent.scratch import claimed
from tools.types import FileChange, Patch

if TYPE_CHECKING:
    from tools.workspace import Workspace

__all__ = ["Scratch"]

Stamp = tuple[int, int, int, int]


class Scratch:
    """`directory` is claimed while this is open; what an earlier process left there is deleted."""

    def __init__(
        self,
        *,
        directory: Path,
        root: Path,
        make: "Callable[[Path, Sequence[str]], Workspace]",
    ) -> None:
        self._directory = directory
        self._root = root
        self._make = make
        self._stack = ExitStack()
        self._workspace: Workspace | None = None
        self._tree: dict[str, Stamp] = {}
        self._copies: dict[str, Stamp] = {}

    def close(self) -> None:
        """Delete the copy."""
        if self._workspace is not None:
            self._workspace.remove()
            self._workspace = None
        self._stack.close()

    def synced(self, files: Sequence[str], pending: Callable[[], Patch]) -> "Workspace":
        """The copy with these files as they are in the user's tree now, and the pending changes."""
        stamps = {name: s for name in files if (s := _stamp(self._root / name))}
        if self._workspace is None:
            self._stack.enter_context(claimed(self._directory))
            workspace = self._workspace = self._make(self._directory / "work", tuple(stamps))
        else:
            workspace = self._workspace
            changed = {n for n in stamps.keys() | self._tree.keys()
                       if stamps.get(n) != self._tree.get(n)}  # fmt: skip
            if not changed:
                return workspace
            changed.update(workspace.changes().paths)
            workspace.renew(self._root, sorted(changed))
        self._tree = stamps
        self.write(pending())
        return workspace

    def write(self, patch: Patch) -> None:
        """Add a change that is not in the user's tree."""
        assert self._workspace is not None
        if patch.changes:
            self._workspace.write(patch)
        self._note()

    def rewritten(self) -> Patch:
        """What a command did to files of the repository; it has been put back."""
        workspace = self._workspace
        assert workspace is not None
        pending = {c.path: c.after for c in self._pending.changes}
        found = []
        for name, stamp in self._copies.items():
            if _stamp(workspace.root / name) == stamp:
                continue
            expected = pending[name] if name in pending else workspace.base(name)
            now = workspace.read(name)
            if now != expected:
                found.append(FileChange(path=name, before=expected, after=now))
        patch = Patch(changes=tuple(found))
        if patch.changes:
            workspace.write(inverse(patch))
        self._note()
        return patch

    def _note(self) -> None:
        """Remember how every file looks now, untouched by any command."""
        workspace = self._workspace
        assert workspace is not None
        self._pending = workspace.changes()
        stamps = ((name, _stamp(workspace.root / name)) for name in workspace.files)
        self._copies = {name: stamp for name, stamp in stamps if stamp}


def _stamp(path: Path) -> Stamp | None:
    """Any write changes it. None for what is not there."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns, found.st_size, found.st_mode
