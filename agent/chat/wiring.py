"""Conversations of one repository, for the surfaces: opened, listed, carried on, settled.

with app.talks.conversation() as talk:
    for event in app.talks.chat(talk, "why does clamp(12, 1, 9) give 1?"): ...
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent import paths
from agent.approvals import Approver, Memory, Mode, Nobody
from agent.chat.conversation import Conversation, Summary, open_conversation, summaries
from agent.chat.deps import ChatDeps, ChatLimits
from agent.config import Settings
from agent.errors import ConfigError
from agent.events import Event
from agent.types import CancelToken, Location, Privacy, Route
from agent.work import Ask, ModelFacts, Runner

if TYPE_CHECKING:
    from agent.gateway import Gateway
    from agent.ledger import Ledger
    from agent.router import Place
    from tools.index import Index
    from tools.journal import Entry, Journal
    from tools.repo import Repo
    from tools.secrets import Redactor
    from tools.types import FileChange, Patch, Sandbox
    from tools.workspace import Workspace

__all__ = ["Talks"]

Label = Callable[[Sequence[str]], Privacy]


class Portfolio(Protocol):
    """Of agent.places.Places."""

    def check(self) -> None: ...
    def places(self) -> "tuple[Place, ...]": ...
    def facts(self, location: Location) -> ModelFacts: ...
    def router(
        self, ledger: "Ledger", run_id: str
    ) -> Callable[[Ask, frozenset[Location], Location | None], Route]: ...


class Wired(Protocol):
    """What of agent.app.App is needed here."""

    settings: Settings
    cancel: CancelToken

    @property
    def repo(self) -> "Repo": ...
    @property
    def repo_key(self) -> str: ...
    @property
    def ledger(self) -> "Ledger": ...
    @property
    def journal(self) -> "Journal": ...
    @property
    def sandbox(self) -> "Sandbox": ...
    @property
    def places(self) -> Portfolio: ...
    @property
    def runs_dir(self) -> Path: ...
    def index(self) -> "Index": ...


class Talks:
    """See the module."""

    def __init__(
        self,
        app: Wired,
        *,
        gateway: "Callable[[str], Gateway]",
        label: Callable[[], Label],
        redactor: "Callable[[str, Path], Redactor]",
        find_runner: "Callable[[Workspace, Sandbox], Runner]",
    ) -> None:
        self._app = app
        self._gateway = gateway
        self._label = label
        self._redactor = redactor
        self._find_runner = find_runner

    @property
    def approvals(self) -> Memory:
        """Commands the user allowed for good in this repository."""
        return Memory(paths.approvals_dir(self._app.repo_key))

    def conversation(self, conversation_id: str | None = None) -> Conversation:
        """A new conversation, or one of `conversations()`. Close it when done.

        Raises ConfigError if there is no such conversation, or another process has it open.
        """
        directory = paths.chats_dir(self._app.repo_key)
        return open_conversation(directory, self._app.repo.root, conversation_id)

    def conversations(self) -> tuple[Summary, ...]:
        """Those in which something was said, the last used first."""
        return summaries(paths.chats_dir(self._app.repo_key))

    def can_chat(self) -> str:
        """Empty if a place can hold a conversation; else one line that says what to add."""
        from agent.chat.guidance import missing

        if any("chat" in place.capable for place in self._app.places.places()):
            return ""
        s = self._app.settings
        return missing(paths.cache_dir(), context=s.local_context, local_only=s.local_only)

    def chat(
        self,
        talk: Conversation,
        text: str | None,
        *,
        approver: Approver | None = None,
        mode: Mode | None = None,
        cancel: CancelToken | None = None,
        inbox: Callable[[], str | None] = lambda: None,
    ) -> Iterator[Event]:
        """One turn. `text` None takes up one that was interrupted, or that no place answered.

        `inbox` gives what was typed since.

        Raises ConfigError when nothing could hold a conversation, or there is nothing to do. What
        goes wrong later is in TurnFinished, always the last event.
        """
        from agent.chat.turn import run

        self._app.places.check()
        if text is None and not (talk.interrupted or talk.unserved):
            raise ConfigError("the last turn had ended", remedy="say something")
        if text is not None and not text.strip():
            raise ConfigError("there is nothing in it", remedy="say something")
        if why := self.can_chat():
            raise ConfigError(why, remedy="agent models fit")
        if mode is not None:
            talk.set_mode(mode)
        return run(talk, text, self._deps(talk, approver, cancel or self._app.cancel, inbox))

    def compact(self, talk: Conversation, *, cancel: CancelToken | None = None) -> Iterator[Event]:
        """Make everything but the last exchange short. The events say what it cost and saved.

        Raises ConfigError when there is nothing to make short, Cancelled.
        """
        from agent.chat.compacting import compact

        if talk.interrupted:
            raise ConfigError("the last turn is not over", remedy="let it go on first")
        deps = self._deps(talk, None, cancel or self._app.cancel, lambda: None)
        done = yield from compact(talk, deps, f"t{talk.turn}", keep=0, reason="asked for")
        if not done:
            raise ConfigError("there is nothing yet to make short", remedy="go on talking")

    # ------------------------------------------------------------------ pending changes

    def pending(self, talk: Conversation) -> "Patch":
        """Changes that are only in the scratch copy, as one patch on the user's tree as it is."""
        from agent.chat.settling import pending

        return pending(talk, self._app.repo.root, self._redactor(talk.id, self._app.repo.root))

    def apply(self, talk: Conversation, changes: "Sequence[FileChange] | None" = None) -> "Entry":
        """Write pending changes, or the part of them that was taken, to the user's tree.

        The model is told what was taken and what was not. Raises ConflictError, EditError.
        """
        from agent.chat.settling import apply
        from tools.types import Patch

        found = self.pending(talk)
        taken = found if changes is None else Patch(changes=tuple(changes))
        redactor = self._redactor(talk.id, self._app.repo.root)
        return apply(talk, self._app.journal, self._app.repo.root, found, taken, redactor.redact)

    def discard(self, talk: Conversation) -> None:
        """Drop every pending change; the model is told."""
        from agent.chat.settling import discard

        discard(talk)

    # ------------------------------------------------------------------ pieces

    def _deps(
        self,
        talk: Conversation,
        approver: Approver | None,
        cancel: CancelToken,
        inbox: Callable[[], str | None],
    ) -> ChatDeps:
        from agent import scratch
        from agent.trust import TrustStore
        from tools.sandbox import Cancelling
        from tools.workspace import Workspace

        app = self._app
        root, settings = app.repo.root, app.settings
        app.ledger.close_orphans()
        app.runs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch.sweep(app.runs_dir)
        app.journal.recover(root)
        trust = TrustStore(paths.state_dir() / "trust")
        trust_key = paths.repo_key(root / ".git")  # as the command line writes it
        sandbox = Cancelling(app.sandbox, cancel)
        return ChatDeps(
            root=root,
            directory=app.runs_dir / talk.id,
            mode=talk.mode,
            approver=approver or Nobody(),
            approvals=self.approvals,
            cancel=cancel,
            inbox=inbox,
            gateway=self._gateway(talk.id),
            route=app.places.router(app.ledger, talk.id),
            facts=app.places.facts,
            label=self._label(),
            redactor=self._redactor(talk.id, root),
            totals=lambda: app.ledger.totals(talk.id),
            budget_usd_micro=settings.max_cost_usd_micro,
            limits=ChatLimits(
                wall_s=settings.max_wall_s,
                tokens=settings.max_tokens,
                test_timeout_s=settings.test_timeout_s,
                per_test_timeout_s=settings.per_test_timeout_s,
            ),
            journal=app.journal,
            sandbox=sandbox,
            files=app.repo.files,
            make_workspace=lambda where, files: Workspace.create(root, files, where),
            index=app.index,
            index_of=self._index_of,
            find_runner=lambda workspace: self._find_runner(workspace, sandbox),
            environment=self._environment,
            trusted=lambda content: trust.is_trusted(trust_key, content),
        )

    def _index_of(self, root: Path, files: Callable[[], Sequence[str]]) -> "Index":
        from tools.index import open_index

        return open_index(root, paths.index_dir(self._app.repo_key), files=files)

    def _environment(self) -> tuple[dict[str, str], tuple[Path, ...]]:
        """Variables of commands, and the directories of the target's Python."""
        from tools.sandbox import interpreter_paths
        from tools.testrun.interpreter import target_environment, target_interpreter

        python = target_interpreter(self._app.repo.root, os.environ)
        env = target_environment(os.environ)
        env["PATH"] = f"{python.parent}:{env['PATH']}"
        return env, interpreter_paths(python)
