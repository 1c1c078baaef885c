"""Everything a turn needs, wired by app.py, and its bounds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.approvals import Approver, Memory, Mode
from agent.types import CancelToken, Location, Privacy, Route, Totals
from agent.work import Ask, ModelFacts, Runner

if TYPE_CHECKING:
    from agent.gateway import Gateway
    from tools.index import Index
    from tools.journal import Journal
    from tools.secrets import Redactor
    from tools.types import Sandbox
    from tools.workspace import Workspace

__all__ = ["ChatDeps", "ChatLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLimits:
    """Bounds of one turn; the money is bounded by the gateway, per conversation."""

    requests: int = 40
    """Answers asked of a model, tool calls included in them."""
    calls: int = 120
    wall_s: float = 1800.0
    tokens: int = 400_000
    test_timeout_s: float = 300.0
    per_test_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatDeps:
    """Callables build what is only needed when a tool asks for it."""

    root: Path
    directory: Path
    """For the scratch copy."""
    mode: Mode
    approver: Approver
    approvals: Memory
    cancel: CancelToken
    inbox: Callable[[], str | None]
    gateway: "Gateway"
    route: Callable[[Ask, frozenset[Location], Location | None], Route]
    facts: Callable[[Location], ModelFacts]
    label: Callable[[Sequence[str]], Privacy]
    redactor: "Redactor"
    totals: Callable[[], Totals]
    budget_usd_micro: int | None
    limits: ChatLimits
    journal: "Journal"
    sandbox: "Sandbox"
    files: Callable[[], Sequence[str]]
    make_workspace: "Callable[[Path, Sequence[str]], Workspace]"
    index: "Callable[[], Index]"
    """Of the user's tree."""
    index_of: "Callable[[Path, Callable[[], Sequence[str]]], Index]"
    """Of a scratch copy."""
    find_runner: "Callable[[Workspace], Runner]"
    environment: Callable[[], tuple[dict[str, str], tuple[Path, ...]]]
    """Of commands: their variables, and the directories of the target's Python."""
    trusted: Callable[[bytes], bool]
    """Whether the user trusts these bytes of a rules file."""
    clock: Callable[[], float] = time.monotonic
