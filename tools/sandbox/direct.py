"""No sandbox at all. Only ever chosen by a flag typed for this run; never a fallback.

Deadline, memory, output and process limits still hold; files and network are wide open. A process
that leaves its session and its parent can outlive the command.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tools.errors import SandboxError
from tools.sandbox.layout import clean_environment, require_program
from tools.sandbox.spawn import popen
from tools.sandbox.watch import Watcher
from tools.types import Cancel, CommandResult, Limits


class DirectExecution:
    """Runs the command as the user, with a clean environment and limits."""

    name = "direct"

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
    ) -> CommandResult:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="pointsman-") as scratch:
            home = Path(scratch) / "home"
            home.mkdir()
            inner = clean_environment(env, home=home, tmp=Path(scratch))
            require_program(argv, inner, cwd)
            try:
                child = popen(argv, env=inner, cwd=cwd)
            except (OSError, ValueError) as error:
                raise SandboxError(f"cannot start {argv[0]}: {error}") from error
            return Watcher(child, limits, cancel).follow(argv, started)
