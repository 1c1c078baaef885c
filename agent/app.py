"""The composition root: settings in, wired objects out. The only factory.

    app = open_app(loaded, root, cancel=token)
    for event in app.run(task): ...

Parts are made when first used: `agent ledger` needs neither git, nor an index, nor a model.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from agent import paths, scratch
from agent.config import Loaded, Settings, price_overrides
from agent.context import strictest
from agent.errors import ConfigError, PolicyError
from agent.events import Event
from agent.places import Places
from agent.types import CancelToken, Completion, Privacy, Task
from agent.work import Deps, Lessons, RunLimits, Runner

if TYPE_CHECKING:
    from agent.chat.wiring import Talks
    from agent.gateway import Gateway, RetryPolicy
    from agent.ledger import Ledger
    from agent.prices import Prices
    from agent.trajectory import RunSummary
    from tools.index import Index
    from tools.journal import Journal
    from tools.quicktry import ForkServer
    from tools.repo import Repo
    from tools.secrets import Redactor
    from tools.types import Sandbox
    from tools.workspace import Workspace


BUILT_COMMAND = "python -m pytest -o addopts="
"""Runs a reproduction: the suite's own options (coverage, workers) are no use to one test, and
those of a plugin that is not installed would stop it.
"""
RESUMABLE = (3, 5, 130)
"""Exit codes of runs that stopped for a reason outside the task: budget, infrastructure, Ctrl-C."""


@dataclass(frozen=True, slots=True)
class NeverCancelled:
    """The cancel token of callers that cannot be interrupted."""

    def is_set(self) -> bool:
        return False


def open_app(
    loaded: Loaded,
    root: Path,
    *,
    cancel: CancelToken | None = None,
    sandbox: "Sandbox | None" = None,
) -> "App":
    """Wire everything for the repository around `root`. `sandbox` replaces the settings' choice."""
    return App(loaded, root, cancel or NeverCancelled(), sandbox)


class App:
    """What the commands, the TUI, the server and the evals hold."""

    def __init__(
        self, loaded: Loaded, root: Path, cancel: CancelToken, sandbox: "Sandbox | None" = None
    ) -> None:
        self.loaded = loaded
        self._given_sandbox = sandbox
        self.settings: Settings = loaded.settings
        self.start = root
        self.cancel = cancel

    # ------------------------------------------------------------------ parts

    @cached_property
    def repo(self) -> "Repo":
        """Raises RepoError where there is no usable repository."""
        from tools.repo import open_repo

        return open_repo(self.start)

    @cached_property
    def repo_key(self) -> str:
        return paths.repo_key(self.repo.common_dir)

    @cached_property
    def ledger(self) -> "Ledger":
        from agent.ledger import Ledger

        return Ledger(paths.ledger_path())

    @cached_property
    def prices(self) -> "Prices":
        from agent.prices import Prices

        return Prices(price_overrides(self.settings.prices))

    @cached_property
    def journal(self) -> "Journal":
        from tools.journal import Journal

        return Journal(paths.journal_dir(self.repo_key))

    @cached_property
    def sandbox(self) -> "Sandbox":
        from tools import sandbox

        if self._given_sandbox is not None:
            return sandbox.Cancelling(self._given_sandbox, self.cancel)
        mode = "direct" if self.settings.unsandboxed else self.settings.sandbox
        found = sandbox.pick(mode)
        if found.name == "sandlock" and os.geteuid() == 0 and not self.settings.as_root:
            raise PolicyError(
                "the only sandbox here (sandlock) cannot change the user, and you are root",
                remedy="work as another user, install bubblewrap, or accept it with --as-root",
            )
        return sandbox.Cancelling(found, self.cancel)

    @cached_property
    def talks(self) -> "Talks":
        """Conversations about the repository."""
        from agent.chat.wiring import Talks

        return Talks(
            self,
            gateway=lambda run_id: self.gateway(run_id, {}, self.places),
            label=self._privacy,
            redactor=self._redactor,
            find_runner=lambda workspace, box: self._runner(workspace, None, (), box),
        )

    @cached_property
    def places(self) -> Places:
        return Places(self.settings)

    def index(self) -> "Index":
        """The repository's index; call `.update()` before asking it."""
        from tools.index import open_index

        return open_index(self.repo.root, paths.index_dir(self.repo_key))

    @property
    def runs_dir(self) -> Path:
        return paths.runs_dir(self.repo_key)

    def runs(self) -> tuple["RunSummary", ...]:
        from agent.trajectory import summaries

        return summaries(self.runs_dir)

    # ------------------------------------------------------------------ runs

    def run(self, task: Task, *, replay: Path | None = None) -> Iterator[Event]:
        """Work on a task. `replay`: a trajectory whose answers are used instead of any model."""
        from agent.trajectory import new_run_id, recorded, started

        if replay is None:
            self.places.check()
            return self._record(new_run_id(), task, {}, self.places)
        places = Places.replayed(self.settings, started(replay).places)
        return self._record(new_run_id(), task, recorded(replay), places)

    def resume(self, run_id: str) -> Iterator[Event]:
        """Take an interrupted run up again: what was answered and paid for is not asked again.

        Raises ConfigError when there is no such run, or when it had finished.
        """
        from agent.trajectory import recorded

        found = next((r for r in self.runs() if r.run_id == run_id), None)
        if found is None:
            raise ConfigError(f"there is no run {run_id}", remedy="agent runs")
        if found.finished is not None and found.finished.outcome.exit_code not in RESUMABLE:
            raise ConfigError(f"run {run_id} has finished", remedy=f"agent diff {run_id}")
        self.journal.recover(self.repo.root)
        entries = self.journal.entries(self.repo.root)
        if any(e.run_id == run_id and e.state == "applied" for e in entries):
            return self._applied(found)
        self.places.check()
        return self._record(run_id, found.task, recorded(found.path), self.places)

    def _applied(self, found: "RunSummary") -> Iterator[Event]:
        """The end of a run that was killed between writing its verified patch and saying so."""
        from agent.trajectory import Recorder, applied

        directory = found.path.parent
        with scratch.claimed(directory), closing(Recorder(directory)) as recorder:
            end = applied(found.run_id, directory, self.ledger.totals(found.run_id))
            recorder.write(end, 0.0)
            yield end

    def _record(
        self, run_id: str, task: Task, answers: Mapping[str, Completion], places: Places
    ) -> Iterator[Event]:
        from agent.loop import run
        from agent.trajectory import Recorder

        directory = self.runs_dir / run_id
        began = time.monotonic()
        self.ledger.close_orphans()
        with scratch.claimed(directory):
            deps = self.deps(run_id, directory, task, answers, places)
            with closing(Recorder(directory)) as recorder:
                for event in _with_notices(run(task, deps), places):
                    recorder.write(event, time.monotonic() - began)
                    yield event

    def deps(
        self,
        run_id: str,
        directory: Path,
        task: Task,
        answers: Mapping[str, Completion],
        places: Places,
    ) -> Deps:
        """Everything a run needs."""
        scratch.sweep(self.runs_dir)
        self.journal.recover(self.repo.root)
        return Deps(
            run_id=run_id,
            run_dir=directory,
            root=self.repo.root,
            base_commit=self.repo.head(),
            limits=self._limits(),
            sandbox=self.sandbox,
            index=self.index(),
            journal=self.journal,
            gateway=self.gateway(run_id, answers, places),
            cancel=self.cancel,
            places=places.places(),
            files=self.repo.files,
            make_workspace=self._workspace,
            find_runner=lambda ws, extra: self._runner(ws, task.test_command, extra),
            built_runner=lambda ws: self._runner(ws, BUILT_COMMAND, ()),
            quick=lambda ids, extra: self._quick(ids, task.test_command, extra),
            route=places.router(self.ledger, run_id),
            facts=places.facts,
            privacy=self._privacy(),
            lessons=self._lessons(run_id, places),
            totals=lambda: self.ledger.totals(run_id),
            budget_usd_micro=self.settings.max_cost_usd_micro,
        )

    def gateway(self, run_id: str, answers: Mapping[str, Completion], places: Places) -> "Gateway":
        """The only spender of a run."""
        return self._spender(run_id, self.repo_key, self.repo.root, places, answers=answers)

    def client_gateway(self, run_id: str) -> "Gateway":
        """The only spender for clients of the server; there need not be a repository.

        One attempt at each place: clients try again by themselves.
        """
        from agent.gateway import RetryPolicy

        return self._spender(
            run_id, "serve", self.start, self.places, answers={}, retry=RetryPolicy(max_attempts=1)
        )

    def _spender(
        self,
        run_id: str,
        repo_key: str,
        root: Path,
        places: Places,
        *,
        answers: Mapping[str, Completion],
        retry: "RetryPolicy | None" = None,
    ) -> "Gateway":
        from agent.gateway import Gateway
        from agent.ledger import Budgets

        s = self.settings
        return Gateway(
            ledger=self.ledger,
            providers=places.providers(),
            prices=self.prices,
            budgets=Budgets(
                run_usd_micro=s.max_cost_usd_micro,
                day_usd_micro=s.max_cost_day_usd_micro,
                month_usd_micro=s.max_cost_month_usd_micro,
            ),
            run_id=run_id,
            repo_key=repo_key,
            redact=self._redactor(run_id, root),
            retry=retry,
            recorded=answers.get,
            notices=places.notices,
        )

    # ------------------------------------------------------------------ pieces

    def _lessons(self, run_id: str, places: Places) -> Lessons:
        from agent.lessons import Forgotten, InLedger

        if places is not self.places:
            return Forgotten()
        return InLedger(
            ledger=self.ledger,
            prices=self.prices,
            run_id=run_id,
            frontier_model=self.settings.frontier_model,
        )

    def _limits(self) -> RunLimits:
        s = self.settings
        return RunLimits(
            max_attempts=s.max_attempts,
            max_steps=s.max_steps,
            max_wall_s=s.max_wall_s,
            max_tokens=s.max_tokens,
            test_timeout_s=s.test_timeout_s,
            per_test_timeout_s=s.per_test_timeout_s,
            zero_token=s.zero_token,
            zero_token_s=s.zero_token_s,
            zero_token_candidates=s.zero_token_candidates,
            zero_token_ranker=s.zero_token_ranker,
            workers=s.workers or min(4, os.cpu_count() or 1),
            seed=s.seed,
            temperature=s.temperature,
        )

    def _workspace(self, directory: Path) -> "Workspace":
        from tools.workspace import Workspace

        return Workspace.create(self.repo.root, self.repo.files(), directory)

    def _runner(
        self,
        workspace: "Workspace",
        override: str | None,
        extra: tuple[str, ...],
        sandbox: "Sandbox | None" = None,
    ) -> Runner:
        from tools.testrun import TestRunner, detect, target_interpreter

        command = detect(workspace.root, override or self.settings.test_command)
        command = replace(command, argv=(*command.argv, *extra))
        return TestRunner(
            sandbox=sandbox or self.sandbox,
            root=workspace.root,
            command=command,
            interpreter=target_interpreter(self.repo.root, os.environ),
            original_root=self.repo.root,
            environ=os.environ,
        )

    def _quick(
        self, ids: Sequence[str], override: str | None, extra: tuple[str, ...]
    ) -> "ForkServer | None":
        """Batches run one framework at a time: the reproduction's, or the suite's."""
        from agent.suite import BUILT_DIR
        from tools.quicktry import ForkServer
        from tools.testrun import detect, target_interpreter

        built = [i.startswith(f"{BUILT_DIR}/") for i in ids]
        if any(built) != all(built):
            return None
        command = BUILT_COMMAND if any(built) else override or self.settings.test_command
        found = detect(self.repo.root, command)
        if found.kind == "command":
            return None
        if not any(built):
            found = replace(found, argv=(*found.argv, *extra))
        return ForkServer(
            sandbox=self.sandbox,
            command=found,
            interpreter=target_interpreter(self.repo.root, os.environ),
            environ=os.environ,
        )

    def _redactor(self, run_id: str, root: Path) -> "Redactor":
        """Secrets of known shapes, the values of `.env` files, and our own keys."""
        from tools.secrets import Redactor, env_values

        s = self.settings
        own = [k for k in (s.anthropic_api_key, s.onprem_api_key) if k]
        found = [v for f in sorted(root.glob(".env*")) for v in env_values(f)]
        return Redactor(key=run_id.encode(), values=(*own, *found))

    def _privacy(self) -> Callable[[Sequence[str]], Privacy]:
        """Label of some paths by the settings' globs: the strictest of their labels."""
        from pathspec import GitIgnoreSpec

        local_only = GitIgnoreSpec.from_lines(self.settings.privacy_local_only)
        onprem_ok = GitIgnoreSpec.from_lines(self.settings.privacy_onprem_ok)

        def label(path: str) -> Privacy:
            if local_only.match_file(path):
                return "local_only"
            return "onprem_ok" if onprem_ok.match_file(path) else "open"

        return lambda found: strictest(*(label(p) for p in found))


def _with_notices(events: Iterator[Event], places: Places) -> Iterator[Event]:
    """What befell the engine is said before the event that it came with."""
    from agent.events import Notice

    for event in events:
        for text in places.notices():
            yield Notice(message=text, level="warning")
        yield event
