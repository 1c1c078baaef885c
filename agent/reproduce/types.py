"""A drafted test and what is said about it."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Accepted", "Draft", "Reason", "Rejected"]

Origin = Literal["test", "doctest", "phrase", "code", "traceback", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why the test must fail as long as the problem is there.

    `raises`: `exception` is raised and should not be. `value`: an assertion of the draft fails.
    `silent`: `exception` should be raised and is not. `any`: an assertion of the draft fails, or
    code of the repository raises (for tests written by a model or a user).
    """

    kind: Literal["raises", "value", "silent", "any"]
    exception: str = ""
    """Bare name of the exception type; empty where any will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One self-contained pytest file that should be red. Expected values are the issue's own."""

    source: str
    tests: tuple[str, ...]
    """Names of its test functions."""
    reason: Reason
    confidence: float
    """0..1, how surely the issue says this; drafts are tried in this order."""
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The run shows the problem (or, afterwards, that it is gone). `tests` are ids of the run."""

    tests: tuple[str, ...]
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The run does not show it; `reason` is written for people and models alike."""

    reason: str
