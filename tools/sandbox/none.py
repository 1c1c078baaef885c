"""The tier that runs nothing: reading, planning and editing remain."""

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from tools.errors import SandboxError
from tools.types import Cancel, Limits

INSTALL = (
    "install bubblewrap (apt/dnf/pacman install bubblewrap), or run Linux 6.12 or newer, where "
    "the bundled sandlock works; `agent doctor` shows what is missing"
)


class NoExecution:
    """Refuses every command."""

    name = "none"

    def __init__(self, why: str, remedy: str = INSTALL) -> None:
        self._why = why
        self._remedy = remedy

    def run(
        self,
        argv: tuple[str, ...],
        *,
        cwd: Path,
        env: Mapping[str, str],
        limits: Limits,
        writable: tuple[Path, ...] = (),
        readable: tuple[Path, ...] = (),
        network: bool = False,
        cancel: Cancel | None = None,
    ) -> NoReturn:
        raise SandboxError(f"{argv[0]} was not run: {self._why}", remedy=self._remedy)
