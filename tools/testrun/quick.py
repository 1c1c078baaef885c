"""Batches of candidates with the same imports and environment as the plain runner gives them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.quicktry import BatchResult, ForkServer
from tools.sandbox import interpreter_paths
from tools.testrun.imports import source_directories
from tools.testrun.interpreter import target_environment
from tools.testrun.lend import Overlay, pytest_overlay
from tools.types import Sandbox, TestCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickTests:
    """A Quicktry (see tools.validate) for one test command of one repository."""

    sandbox: Sandbox
    command: TestCommand
    interpreter: Path
    environ: Mapping[str, str]

    def run(
        self,
        root: Path,
        jobs: Sequence[tuple[str, bytes]],
        ids: Sequence[str],
        *,
        timeout_s: float,
        wall_s: float,
    ) -> BatchResult:
        lent = pytest_overlay(self.interpreter) if self.command.kind == "pytest" else Overlay()
        paths = [*source_directories(root), *([lent.directory] if lent.directory else [])]
        server = ForkServer(
            sandbox=self.sandbox,
            interpreter=self.interpreter,
            command=self.command,
            env={
                **target_environment(self.environ),
                "PYTHONPATH": ":".join(str(p) for p in paths),
                "PYTHONHASHSEED": "0",
            },
            readable=(
                *interpreter_paths(self.interpreter),
                *lent.readable,
                *([lent.directory] if lent.directory else []),
            ),
        )
        return server.run(root, jobs, ids, timeout_s=timeout_s, wall_s=wall_s)
