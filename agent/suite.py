"""The repository's suite and the reproduction we built, as one runner.

The reproduction lives in a directory that pytest does not collect by itself, is run by pytest
whatever the repository uses, and its results are merged: the rest of the agent sees one suite.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agent.work import Runner
from tools.types import Coverage, TestCase, TestCommand, TestRun

BUILT_DIR = ".pointsman"
"""Hidden directories are in pytest's default `norecursedirs`."""

_WORST = ("infra", "collection_error", "timeout", "failed", "passed", "no_tests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A Runner over the repository's own tests, the built reproduction, or both."""

    own: Runner | None
    built: Runner | None = None
    built_path: str | None = None

    @property
    def command(self) -> TestCommand:
        runner = self.own or self.built
        assert runner is not None
        return runner.command

    def run(
        self,
        ids: tuple[str, ...] = (),
        *,
        timeout_s: float = 120.0,
        per_test_timeout_s: float = 30.0,
        fail_fast: bool = False,
    ) -> TestRun:
        """No ids: everything, the reproduction first (it is the quickest to say no)."""
        runs: list[TestRun] = []
        for runner, chosen in self._parts(ids):
            runs.append(
                runner.run(
                    chosen,
                    timeout_s=timeout_s,
                    per_test_timeout_s=per_test_timeout_s,
                    fail_fast=fail_fast,
                )
            )
            if fail_fast and runs[-1].status != "passed":
                break
        return merge(runs)

    def coverage(
        self,
        ids: tuple[str, ...],
        *,
        timeout_s: float = 240.0,
        per_test_timeout_s: float = 60.0,
    ) -> tuple[TestRun, Coverage]:
        runs: list[TestRun] = []
        lines: dict[str, Mapping[str, frozenset[int]]] = {}
        for runner, chosen in self._parts(ids):
            run, coverage = runner.coverage(
                chosen, timeout_s=timeout_s, per_test_timeout_s=per_test_timeout_s
            )
            runs.append(run)
            lines.update(coverage.lines)
        return merge(runs), Coverage(lines=lines)

    def _parts(self, ids: tuple[str, ...]) -> list[tuple[Runner, tuple[str, ...]]]:
        parts: list[tuple[Runner, tuple[str, ...]]] = []
        mine = tuple(i for i in ids if self._is_built(i))
        if self.built is not None and self.built_path and (mine or not ids):
            parts.append((self.built, mine or (self.built_path,)))
        rest = tuple(i for i in ids if not self._is_built(i))
        if self.own is not None and (rest or not ids):
            parts.append((self.own, rest))
        return parts

    def _is_built(self, test_id: str) -> bool:
        return self.built_path is not None and test_id.split("::", 1)[0] == self.built_path


def merge(runs: Sequence[TestRun]) -> TestRun:
    """Several runs as one: all cases, the worst status, output in order."""
    if len(runs) == 1:
        return runs[0]
    cases: dict[str, TestCase] = {}
    for run in runs:
        cases.update((c.id, c) for c in run.cases)
    worst = min(runs, key=lambda r: _WORST.index(r.status))
    return replace(
        worst,
        command=runs[-1].command,
        cases=tuple(cases.values()),
        exit_code=next((r.exit_code for r in runs if r.exit_code), 0),
        output="\n".join(r.output for r in runs),
        duration_s=sum(r.duration_s for r in runs),
    )
