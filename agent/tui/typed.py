"""What was typed in earlier sessions about this repository, for Up and Down."""

import json
import os
from pathlib import Path

__all__ = ["Typed"]

KEPT = 1_000
LONG = 20_000
"""Characters of one text that are kept: a paste of a log need not live on."""


class Typed:
    """One text per line of a file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[str, ...]:
        """Oldest first. A file that is damaged gives what can be read of it."""
        try:
            lines = self._path.read_text("utf-8", "replace").splitlines()
        except OSError:
            return ()
        found: list[str] = []
        for line in lines[-KEPT:]:
            try:
                text = json.loads(line)
            except ValueError:
                continue
            if isinstance(text, str) and text:
                found.append(text)
        if len(lines) > 2 * KEPT:
            self._write("".join(f"{json.dumps(text)}\n" for text in found), os.O_TRUNC)
        return tuple(found)

    def add(self, text: str) -> None:
        """A history that cannot be written is no reason to stop working."""
        if len(text) <= LONG:
            self._write(f"{json.dumps(text)}\n", os.O_APPEND)

    def _write(self, data: str, how: int) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | how, 0o600)
            try:
                os.write(handle, data.encode())
            finally:
                os.close(handle)
        except OSError:
            return
