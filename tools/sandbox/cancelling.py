"""A sandbox whose commands all end when one token is set: for callers that pass none themselves."""

from collections.abc import Mapping
from pathlib import Path

from tools.types import Cancel, CommandResult, Limits, Sandbox


class Cancelling:
    """See `tools.types.Sandbox`."""

    def __init__(self, inner: Sandbox, cancel: Cancel) -> None:
        self._inner = inner
        self._cancel = cancel

    @property
    def name(self) -> str:
        return self._inner.name

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
        """Raises SandboxError as the sandbox itself does."""
        return self._inner.run(
            argv,
            cwd=cwd,
            env=env,
            limits=limits,
            writable=writable,
            readable=readable,
            network=network,
            cancel=cancel or self._cancel,
        )
