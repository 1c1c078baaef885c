"""What the index hands out, beside `Symbol` and `Hit` of `tools.types`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "CountTokens",
    "IndexStats",
    "Pack",
    "PackItem",
    "PackRole",
    "PastCommit",
    "RepoMap",
    "estimate_tokens",
]

CountTokens = Callable[[str], int]
PackRole = Literal["target", "window", "class", "imports", "callee", "test"]


def estimate_tokens(text: str) -> int:
    """Tokens of a text when no tokenizer is at hand: UTF-8 bytes ÷ 3.5, rounded up.

    Code in the vocabularies of current models has 3.2 to 4.2 bytes a token; 3.5 errs on the side
    of counting too many.
    """
    return -(-len(text.encode("utf-8", "replace")) * 2 // 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStats:
    """What one update found and did."""

    files: int
    symbols: int
    seconds: float
    changed: int
    """Files added, altered or removed since the index last looked."""
    parsed: int = 0
    """Files read by the extractor; fewer than `changed` where the record was already stored."""
    skipped: int = 0
    """Files left out: binary, too large, unreadable, not a regular file, of no known language."""
    rebuilt: str = ""
    """Why the stored index was thrown away and built again; empty if it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoMap:
    """Ranked signatures within a token budget. `tokens` is the count of the whole `text`."""

    text: str
    tokens: int
    symbols: int
    near: tuple[tuple[str, str], ...] = ()
    """Words of the query that occur nowhere, each with one near to it that was looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackItem:
    """A piece of a file, whole lines. `text` ends with a newline unless the file does not."""

    path: str
    first_line: int
    last_line: int
    text: str
    role: PackRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """What an editor needs to see. The target comes first; `tokens` is the sum over the items."""

    items: tuple[PackItem, ...]
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCommit:
    """A commit before the one checked out whose title is like a question."""

    commit: str
    title: str
    paths: tuple[str, ...]
    """Changed files, tests left out; none for a commit that swept over many."""
    score: float
