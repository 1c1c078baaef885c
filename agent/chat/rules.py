"""Rules files of a repository: AGENTS.md and CLAUDE.md, from the root down; the nearest come last.

They come with the repository, so they are data until the user trusts exactly these bytes (see
agent.trust). They can ask for style; they cannot permit anything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.chat.fence import bounded, fenced, visible
from agent.context import strictest
from agent.types import Privacy
from tools.types import FileReader

__all__ = ["NAMES", "Rule", "Rules", "find"]

NAMES = ("AGENTS.md", "CLAUDE.md")
"""In one directory the first that exists is taken: many repositories keep both, word for word."""
ONE = 12_000
ALL = 24_000
"""Characters: about 4,000 and 8,000 tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One file. `text` is what the model is shown, between marks while it is not trusted."""

    path: str
    text: str
    trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What was found, and what people are told about it."""

    rules: tuple[Rule, ...] = ()
    privacy: Privacy = "open"
    notices: tuple[str, ...] = ()


def find(
    files: Sequence[str],
    read: FileReader,
    *,
    near: Sequence[str],
    trusted: Callable[[bytes], bool],
    label: Callable[[Sequence[str]], Privacy],
    allowed: Callable[[str], bool],
    key: str,
) -> Rules:
    """The rules that hold at the root and above each path of `near` (where the user works)."""
    there = set(files)
    found: list[Rule] = []
    notices: list[str] = []
    left = ALL
    for path in _paths(there, near):
        data = read(path)
        if data is None or not allowed(path) or not data.strip():
            continue
        text, hidden = visible(data.decode("utf-8", "replace"))
        shown = bounded(text, min(ONE, left))
        if left <= 0:
            notices.append(f"{path} is left out: the rules files are too long together")
            continue
        left -= len(shown)
        sure = trusted(data)
        body = shown if sure else fenced(shown, key=key, name=path, about=f"rules={path}")
        found.append(Rule(path=path, text=body, trusted=sure))
        notices += _said(path, sure, hidden, len(shown) < len(text))
    return Rules(
        rules=tuple(found),
        privacy=strictest("open", *(label((r.path,)) for r in found)),
        notices=tuple(notices),
    )


def _paths(files: set[str], near: Sequence[str]) -> list[str]:
    """Root first, then downwards; each directory once."""
    directories = {""}
    for path in near:
        parts = path.split("/")[:-1]
        directories.update("/".join(parts[: i + 1]) + "/" for i in range(len(parts)))
    found = []
    for directory in sorted(directories, key=lambda d: (d.count("/"), d)):
        name = next((n for n in NAMES if directory + n in files), None)
        if name is not None:
            found.append(directory + name)
    return found


def _said(path: str, trusted: bool, hidden: str, cut: bool) -> list[str]:
    notices = []
    if not trusted:
        notices.append(f"{path} is read as advice only: agent config trust {path} makes it binding")
    if hidden:
        notices.append(f"{path} holds invisible characters; the model sees them written out")
    if cut:
        notices.append(f"{path} is longer than is sent; its middle is left out")
    return notices
