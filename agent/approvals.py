"""Who may let a conversation act: modes, the approver, and what was allowed for good.

A command is an argument vector, never shell text. "Always" remembers how such a vector begins, for
this repository; a program that runs other programs named in its arguments (`sh -c`, `env`, `xargs`,
`find`) is remembered as the whole vector or not at all. Decisions lie in the user's directories,
one small file each: a repository cannot bring its own, and two processes cannot lose each other's.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tools.types import FileChange

__all__ = [
    "HEADLESS",
    "MODES",
    "Approval",
    "Approver",
    "Decision",
    "Kind",
    "Memory",
    "Mode",
    "Nobody",
    "Remembered",
    "harmless",
    "memorable",
]

Mode = Literal["ask", "accept-edits", "plan", "auto"]
"""ask: edits and commands are asked for. accept-edits: only commands are. plan: nothing is changed
and nothing run. auto: everything happens in the scratch copy unasked; what changed is offered."""
MODES: tuple[Mode, ...] = ("ask", "accept-edits", "plan", "auto")
Kind = Literal["edit", "run"]
Answer = Literal["yes", "always", "no"]

HEADLESS = "nobody is there to ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A way for commands to begin. `exact`: the whole command, nothing may follow."""

    words: tuple[str, ...]
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What is asked. `remember`: what "always" would allow from now on; None for edits."""

    call_id: str
    kind: Kind
    summary: str
    argv: tuple[str, ...] = ()
    remember: Remembered | None = None
    diff: str = ""
    changes: tuple[FileChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer. `reason` is told to the model. `accepted`: the part of an edit that was taken,
    file by file; None means all of it."""

    answer: Answer
    reason: str = ""
    accepted: tuple[FileChange, ...] | None = None


class Approver(Protocol):
    """Asks the user. Called in the thread that runs the turn, and may block it: return when the
    user answered, or `no` when the turn is cancelled."""

    def approve(self, request: Approval) -> Decision: ...


@dataclass(frozen=True, slots=True)
class Nobody:
    """The approver of scripts: denies, and says how to allow it."""

    def approve(self, request: Approval) -> Decision:
        how = "--mode accept-edits or --mode auto" if request.kind == "edit" else "--mode auto"
        return Decision(answer="no", reason=f"{HEADLESS}; it takes {how}")


# --------------------------------------------------------------------------- what begins how

_WHOLE = frozenset(
    "ruff mypy black flake8 pylint isort pyright pytest ls cat head tail wc stat file du tree pwd"
    " echo true false diff cmp jq grep tsc eslint prettier jest vitest rustc gofmt clang-format"
    " ctest phpunit rspec shellcheck".split()
)
"""Programs whose arguments name no other program to run: their name alone may be remembered."""
_SUBCOMMANDS = {
    "git": frozenset("status diff log show blame ls-files rev-parse branch shortlog".split()),
    "cargo": frozenset("build check test clippy fmt doc".split()),
    "go": frozenset("build test vet fmt list".split()),
    "npm": frozenset("test".split()),
    "yarn": frozenset("test".split()),
    "pnpm": frozenset("test".split()),
    "dotnet": frozenset("build test".split()),
    "mvn": frozenset("test compile verify".split()),
    "pip": frozenset("list show freeze check".split()),
}
_MODULES = frozenset("pytest unittest mypy ruff black flake8 isort compileall json.tool".split())
_PYTHONS = re.compile(r"python(3(\.\d+)?)?")
_READERS = frozenset("ls cat head tail wc stat file du tree pwd echo true grep diff cmp".split())


def memorable(argv: Sequence[str]) -> Remembered:
    """What "always" would remember of a command. Unknown programs are remembered whole."""
    words = tuple(argv)
    whole = Remembered(words=words, exact=True)
    if not words or "/" in words[0]:  # a path: what is there may change
        return whole
    name = words[0]
    if name in _WHOLE:
        return Remembered(words=words[:1], exact=False)
    known = _SUBCOMMANDS.get(name, frozenset())
    if len(words) > 1 and words[1] in known:
        return Remembered(words=words[:2], exact=False)
    module = len(words) > 2 and words[1] == "-m" and words[2] in _MODULES
    if module and _PYTHONS.fullmatch(name):
        return Remembered(words=words[:3], exact=False)
    return whole


def harmless(argv: Sequence[str]) -> bool:
    """Whether a command only reads, so that in the sandbox nobody need be asked."""
    return bool(argv) and argv[0] in _READERS


@dataclass(frozen=True, slots=True)
class Memory:
    """What the user allowed for good in one repository; `directory` is the repository's own."""

    directory: Path

    def allows(self, argv: Sequence[str]) -> bool:
        """Whether such a command was allowed. A vector is compared word by word, never as text."""
        begins, whole = memorable(argv), Remembered(words=tuple(argv), exact=True)
        return self._file(begins).is_file() or self._file(whole).is_file()

    def remember(self, what: Remembered) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self._file(what)
        file.write_text(_json(what) + "\n", encoding="utf-8")
        file.chmod(0o600)

    def list(self) -> tuple[Remembered, ...]:
        """Everything remembered, sorted by its words."""
        found = []
        for file in self.directory.glob("*.json"):
            try:
                raw = json.loads(file.read_text(encoding="utf-8"))
                one = Remembered(words=tuple(map(str, raw["words"])), exact=bool(raw["exact"]))
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if file.name == self._file(one).name:
                found.append(one)
        return tuple(sorted(found, key=lambda r: r.words))

    def forget(self, what: Remembered | None = None) -> int:
        """Take one decision back, or all of them; how many there were."""
        chosen = self.list() if what is None else (what,)
        there = [self._file(r) for r in chosen if self._file(r).is_file()]
        for file in there:
            file.unlink(missing_ok=True)
        return len(there)

    def _file(self, what: Remembered) -> Path:
        name = hashlib.sha256(_json(what).encode("utf-8", "surrogateescape")).hexdigest()
        return self.directory / f"{name}.json"


def _json(what: Remembered) -> str:
    return json.dumps({"words": what.words, "exact": what.exact}, ensure_ascii=True)
