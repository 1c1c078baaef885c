"""Changes of a conversation that are not in the user's tree: found again from the records alone."""

from collections.abc import Callable

from agent.chat import records as rec
from agent.chat.conversation import Conversation
from agent.errors import PointsmanError
from tools.errors import ConflictError, EditError
from tools.types import FileChange, FileReader, Patch

__all__ = ["Fold", "diff_of", "fold"]


class Fold:
    """Reads files as they are once some patches are applied to them."""

    def __init__(self, read: FileReader) -> None:
        self._read = read
        self._before: dict[str, bytes | None] = {}
        self._after: dict[str, bytes | None] = {}

    def read(self, path: str) -> bytes | None:
        return self._after[path] if path in self._after else self._read(path)

    def add(self, patch: Patch) -> None:
        """Raises ConflictError where the patch starts from something else."""
        for change in patch.changes:
            if self.read(change.path) != change.before:
                raise ConflictError(f"{change.path} is not what the change starts from")
        for change in patch.changes:
            self._before.setdefault(change.path, change.before)
            self._after[change.path] = change.after

    def patch(self) -> Patch:
        changes = (
            FileChange(path=p, before=self._before[p], after=after)
            for p, after in sorted(self._after.items())
        )
        return Patch(changes=tuple(c for c in changes if c.before != c.after))


def fold(
    talk: Conversation, read: FileReader, restore: Callable[[str, tuple[str, ...]], str]
) -> Patch:
    """All pending changes as one patch on the user's tree.

    `restore` turns a stored diff back into the real one, given the files it is about. A change
    that no longer fits, because the user changed the file, is dropped and the model is told.
    """
    from tools.patch import from_diff

    folded = Fold(read)
    for edit in talk.edits("pending"):
        try:
            folded.add(from_diff(restore(edit.diff, edit.paths), folded.read))
        except (EditError, ConflictError) as error:
            _drop(talk, edit, error)
    return folded.patch()


def _drop(talk: Conversation, edit: rec.Edited, error: PointsmanError) -> None:
    talk.append(
        rec.Edited(
            call_id=edit.call_id,
            state="discarded",
            paths=edit.paths,
            diff=edit.diff,
            privacy=edit.privacy,
        )
    )
    names = ", ".join(edit.paths)
    talk.append(
        rec.Noted(
            text=f"The pending change of {names} was dropped, since the user changed the file"
            f" meanwhile ({error}). Read it again before you edit it.",
            privacy=edit.privacy,
        )
    )


def diff_of(talk: Conversation) -> str:
    """The pending changes as they were proposed, one after the other."""
    return "".join(edit.diff for edit in talk.edits("pending"))
