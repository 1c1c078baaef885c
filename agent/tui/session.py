"""The conversation without a screen: each thing the user asks for is a generator of items.

    session = Session(setup, root)
    for item in session.answer(parse("/fix clamp(12, 1, 9) gives 1")): ...

Generators run in a worker thread; `stop` ends a run at once. Runs are dry: the verified patch comes
back as an Offer, and `apply` writes what the user accepted through the journal.
"""

import shlex
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ConfigError
from agent.events import Event, RunFinished
from agent.sanitize import one_line
from agent.tui import answers, testing
from agent.tui.commands import Ask
from agent.tui.finder import mentioned
from agent.tui.items import Item, Offer, Say
from agent.tui.talking import NOTED, Talking
from agent.tui.words import Setup
from agent.types import Goal

if TYPE_CHECKING:
    from agent.app import App
    from agent.config import Settings
    from tools.types import FileChange

__all__ = ["Session"]


class Session:
    """One repository, its settings as changed so far, and the last patch offered."""

    def __init__(self, setup: Setup, root: Path) -> None:
        self.setup = setup
        self.loaded = setup.loaded
        self.start = root
        self.stop = threading.Event()
        self.offer: Offer | None = None
        self._flags: dict[str, object] = {}
        self.talking = Talking(lambda: self.app, self.stop)
        self._jobs: Mapping[str, Callable[[str], Iterator[Item]]] = {
            "fix": lambda text: self._work("fix", text),
            "test": lambda text: self._work("test", text),
            "refactor": lambda text: self._work("refactor", text),
            "plan": lambda text: self.talking.say(_something(text, "plan"), "plan"),
            "edit": lambda text: self.talking.say(_something(text, "edit"), "accept-edits"),
            "mode": self.talking.mode,
            "compact": lambda _: self.talking.compact(),
            "new": lambda _: self.talking.new(),
            "sessions": lambda i: self.talking.switch(i) if i else self.talking.sheet(),
            "resume": self._resume,
            "tests": lambda ids: testing.run(self.app, tuple(shlex.split(ids)), self.stop),
            "history": lambda _: answers.changes(self.app),
            "allowed": lambda word: answers.allowed(self.app, word),
            "diff": self._review,
            "undo": lambda entry: answers.undo(self.app, entry),
            "redo": lambda entry: answers.redo(self.app, entry),
            "map": lambda words: answers.repo_map(self.app, words),
            "search": lambda words: answers.search(self.app, words),
            "cost": lambda _: answers.ledger(self.app, setup.words),
            "runs": lambda _: answers.runs(self.app, setup.words),
            "model": self._model,
            "budget": self._budget,
            "local-only": self._local_only,
        }

    @cached_property
    def app(self) -> "App":
        """Made when first needed: the first paint does not wait for it."""
        from agent.app import open_app

        return open_app(self.loaded, self.start, cancel=self.stop)

    @property
    def settings(self) -> "Settings":
        return self.loaded.settings

    @property
    def root(self) -> Path:
        return self.app.repo.root

    def answer(self, ask: Ask) -> Iterator[Item]:
        """Carry out what was typed. Raises a PointsmanError when it cannot be done."""
        if ask.kind == "shell":
            yield from self._shell(ask.rest)
        elif ask.kind == "talk":
            yield from self.talking.say(ask.rest)
        else:
            yield from self._jobs[ask.name](ask.rest)

    def close(self) -> None:
        """Frees the conversation for other processes; nothing is lost without it."""
        self.talking.close()

    def typed_path(self) -> Path:
        """Where what the user types about this repository is remembered."""
        from agent.paths import state_dir

        return state_dir() / "typed" / f"{self.app.repo_key}.jsonl"

    def waiting(self) -> str:
        """What an earlier session left unfinished; empty when nothing."""
        if self.talking.interrupted():
            return "the last conversation was interrupted in the middle of a turn"
        newest = self.app.runs()[:1]
        if newest and newest[0].finished is None:
            return f"run {newest[0].run_id} was interrupted: {one_line(newest[0].task.text, 60)}"
        return ""

    def _shell(self, command: str) -> Iterator[Item]:
        output = answers.shell(self.app, command)
        yield output
        self.talking.note(f"the user ran: {command}\n{output.title}\n{output.text}")

    # ------------------------------------------------------------------ runs

    def _work(self, goal: Goal, text: str) -> Iterator[Item]:
        from agent.types import Task

        if not text:
            raise ConfigError("say what about", remedy=f"/{goal} what is wrong")
        task = Task(
            goal=goal,
            text=text,
            root=self.start,
            files=mentioned(text, self.app.repo.files()) if "@" in text else (),
            test_command=self.settings.test_command,
            dry_run=True,
        )
        yield from self._follow(self.app.run(task))

    def _resume(self, name: str) -> Iterator[Item]:
        """A run, or the turn of a conversation: the one named, else what was interrupted last."""
        talk = self.talking.interrupted()
        if talk and (name in ("", talk) or talk.endswith(name)):
            if self.talking.current is None:
                yield from self.talking.switch(talk)
            yield from self.talking.go_on()
            return
        yield from self._follow(self.app.resume(answers.resumable(self.app, name)))

    def _follow(self, events: Iterator[Event]) -> Iterator[Item]:
        """A run's events, then its patch as an offer."""
        for event in events:
            yield event
            if isinstance(event, RunFinished):
                outcome = event.outcome
                if outcome.diff and not outcome.applied:
                    verified = outcome.verdict == "verified"
                    yield self._offered(event.run_id, outcome.diff, verified, outcome.reason)
                self.talking.note(
                    f"a run of the user's ended: {outcome.verdict}: {outcome.reason}\n"
                    f"its patch, not applied:\n{outcome.diff[:NOTED]}"
                )

    # ------------------------------------------------------------------ patches

    def _review(self, run_id: str) -> Iterator[Item]:
        if self.offer is not None and run_id in ("", self.offer.run_id):
            yield self.offer
            return
        summary = answers.chosen(self.app, run_id)
        end = summary.finished
        diff = end.outcome.diff if end else ""
        if not diff or end is None:
            raise ConfigError(f"run {summary.run_id} made no patch", remedy="/runs")
        if end.outcome.applied:
            raise ConfigError(
                f"the patch of run {summary.run_id} was applied when it ended", remedy="/undo"
            )
        verified = end.outcome.verdict == "verified"
        yield self._offered(summary.run_id, diff, verified, end.outcome.reason)

    def _offered(self, run_id: str, diff: str, verified: bool, reason: str) -> Offer:
        from tools.files import Tree
        from tools.patch import from_diff

        with Tree(self.root) as tree:
            patch = from_diff(diff, tree.read)
        self.offer = Offer(run_id=run_id, patch=patch, verified=verified, reason=reason)
        return self.offer

    def apply(
        self, offer: Offer, accepted: "tuple[FileChange, ...]", counts: tuple[int, int, int]
    ) -> Iterator[Item]:
        """Write the accepted part of a patch. `counts`: hunks accepted, of how many, edited."""
        from tools.types import Patch

        if offer.origin == "chat":
            entry = self.talking.apply(accepted)
        else:
            entry = self.app.journal.apply(self.root, Patch(changes=accepted), offer.run_id)
        self.offer = None
        yield from answers.applied(entry, offer, counts)

    # ------------------------------------------------------------------ settings

    def _model(self, name: str) -> Iterator[Item]:
        if name:
            before = self._flags
            self._set(local_model=name)
            try:
                model = self.app.places.local_model
            except ConfigError:  # not installed: the session stays usable
                self._adopt(before)
                raise
            text = f"{model.name}, {model.window:,} tokens" if model else "none"
            yield Say(label="model", text=f"local: {text}")
            return
        yield from answers.places(self.app)

    def _budget(self, amount: str) -> Iterator[Item]:
        if amount:
            self._set(max_cost_usd_micro=amount.lstrip("$"))
        yield from answers.budgets(self.app, self.setup.words)

    def _local_only(self, word: str) -> Iterator[Item]:
        self._set(local_only=word or ("off" if self.settings.local_only else "on"))
        on = self.settings.local_only
        text = "on: nothing leaves this machine" if on else "off: configured places may be used"
        yield Say(label="local-only", text=text)

    def _set(self, **flags: object) -> None:
        """Change settings for this session. Nothing changes when the value is refused."""
        self._adopt({**self._flags, **flags})

    def _adopt(self, flags: dict[str, object]) -> None:
        self.loaded = self.setup.reload(flags)
        self._flags = flags
        self.__dict__.pop("app", None)


def _something(text: str, command: str) -> str:
    if not text:
        raise ConfigError("say what about", remedy=f"/{command} what to do")
    return text
