"""What becomes of pending changes: shown as one patch, written to the user's tree, or dropped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.chat import records as rec
from agent.chat.conversation import Conversation
from agent.chat.pending import fold
from agent.context import strictest
from agent.errors import ConfigError
from tools import patch as patches
from tools.types import FileReader, Patch

if TYPE_CHECKING:
    from tools.journal import Entry, Journal
    from tools.secrets import Redactor

__all__ = ["apply", "discard", "pending", "reader", "restorer"]


def reader(root: Path) -> FileReader:
    """Reads the user's files, never through a link out of the tree."""
    from tools.errors import OutOfScope
    from tools.files import Tree

    def read(path: str) -> bytes | None:
        try:
            with Tree(root) as tree:
                return tree.read(path)
        except OutOfScope:
            return None

    return read


def restorer(root: Path, redactor: "Redactor") -> Callable[[str, tuple[str, ...]], str]:
    """A stored diff with its secrets: those in the files are known once they were looked at."""
    read = reader(root)

    def restore(diff: str, about: tuple[str, ...]) -> str:
        for path in about:
            redactor.redact((read(path) or b"").decode("utf-8", "surrogateescape"))
        return redactor.restore(diff)

    return restore


def pending(talk: Conversation, root: Path, redactor: "Redactor") -> Patch:
    """All pending changes as one patch on the user's tree as it is now."""
    return fold(talk, reader(root), restorer(root, redactor))


def apply(
    talk: Conversation,
    journal: "Journal",
    root: Path,
    found: Patch,
    taken: Patch,
    hide: Callable[[str], str],
) -> "Entry":
    """Write `taken`, a part of `found` or all of it. Nothing is pending afterwards."""
    privacy = strictest(*(e.privacy for e in talk.edits("pending")))
    taken = Patch(changes=tuple(c for c in taken.changes if c.before != c.after))
    if not taken.changes:
        raise ConfigError("there is nothing to apply", remedy="/diff")
    entry = journal.apply(root, taken, talk.id)
    whole = taken == found
    for edit in talk.edits("pending"):
        state: rec.EditState = "applied" if whole else "discarded"
        talk.append(replace(edit, state=state, entry_id=entry.id if whole else ""))
    names = ", ".join(taken.paths)
    if whole:
        talk.note(f"The user took all pending changes; they are in the user's tree ({names}).")
        return entry
    diff = hide(patches.diff(taken))
    talk.append(
        rec.Edited(
            call_id=f"apply-{entry.id}",
            state="applied",
            paths=taken.paths,
            diff=diff,
            entry_id=entry.id,
            privacy=privacy,
        )
    )
    talk.note(
        f"The user took only a part of the pending changes, in {names}, and dropped the rest."
        " What is in the user's tree now:",
        data=diff,
        privacy=privacy,
    )
    return entry


def discard(talk: Conversation) -> None:
    """Drop all pending changes."""
    edits = talk.edits("pending")
    for edit in edits:
        talk.append(replace(edit, state="discarded"))
    if edits:
        names = ", ".join(dict.fromkeys(p for e in edits for p in e.paths))
        talk.note(f"The user dropped all pending changes ({names}); the files are as before.")
