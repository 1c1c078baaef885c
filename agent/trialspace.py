"""A copy of the workspace that may be spoilt, with the runner that belongs to it."""

from pathlib import Path

from agent.diagnose import suite_of
from agent.work import Runner, Work
from tools.types import Patch

__all__ = ["TrialSpace"]


class TrialSpace:
    """A copy for one worker: the workspace as it stands, with the reproduction beside it."""

    def __init__(self, work: Work, directory: Path) -> None:
        self._work = work
        self._start = work.workspace.changes()
        self.workspace = work.workspace.clone(directory)
        self.runner = self._runner()

    @property
    def root(self) -> Path:
        return self.workspace.root

    def read(self, path: str) -> bytes | None:
        return self.workspace.read(path)

    def write(self, patch: Patch) -> None:
        self.workspace.write(patch)

    def reset(self) -> None:
        """Back to how it began: the base, earlier steps' changes, the reproduction."""
        self.workspace.reset()
        self.workspace.write(self._start)
        self.runner = self._runner()

    def _runner(self) -> Runner:
        runner = suite_of(self._work, self.workspace)
        assert runner is not None, "candidates need tests"
        return runner
