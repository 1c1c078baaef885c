"""Several files from one state to another, all or none, with a way back from any point.

A file is replaced by exchanging two names, so what was there is in our hands before it is gone: if
it is not what we expected, the user saved it a moment ago, and it is put back.

    stage every new content beside its target      nothing of the user's has changed
    exchange, check what came out, drop it         one file at a time
"""

from contextlib import suppress
from dataclasses import dataclass

from tools.errors import ConflictError
from tools.files import Tree

__all__ = ["Move", "expect_old", "finished", "roll_back", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One file from `old` to `new` (None: no file). `temporary` is a name in its directory that
    only this move uses, known in advance so that a crash leaves nothing unexplained."""

    path: str
    old: bytes | None
    new: bytes | None
    old_mode: int | None
    new_mode: int | None
    temporary: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def temporary_path(self) -> str:
        above, slash, _ = self.path.rpartition("/")
        return above + slash + self.temporary


def expect_old(tree: Tree, moves: tuple[Move, ...]) -> None:
    """Raise ConflictError naming the first file that is not `old`. Writes nothing."""
    for move in moves:
        there = tree.attributes(move.path)
        if (there is None) != (move.old is None) or tree.read(move.path) != move.old:
            raise ConflictError(
                f"{move.path} changed since; nothing was written and your version is kept",
                remedy="put it back as it was, or make the change by hand",
            )


def run(tree: Tree, moves: tuple[Move, ...]) -> None:
    """Carry out all moves. On any error the caller calls `roll_back` with the same moves.

    Raises ConflictError for a file saved in this very moment, OSError for a full or read-only disk.
    """
    for move in moves:
        if move.new is not None:
            _stage(tree, move)
    for move in moves:
        _commit(tree, move)
    for move in moves:
        tree.unlink(move.temporary_path)
        tree.sync_parent(move.path)


def finished(tree: Tree, moves: tuple[Move, ...]) -> bool:
    """Whether `run` got through all its exchanges; then what it left aside is dropped."""
    for move in moves:
        aside = tree.read(move.temporary_path)
        there = tree.attributes(move.path)
        if tree.read(move.path) != move.new or (there is None) != (move.new is None):
            return False
        if aside not in (None, move.old) or (move.old == move.new and aside is not None):
            return False
        if move.old == move.new and there and there.mode != move.new_mode:
            return False
    for move in moves:
        tree.unlink(move.temporary_path)
    return True


def roll_back(tree: Tree, moves: tuple[Move, ...]) -> None:
    """Bring every file back to `old`, from wherever `run` stopped, even by a kill.

    A file that is neither `old` nor `new` was changed by the user since: it is left alone.
    """
    for move in reversed(moves):
        tree.unlink(move.temporary_path + ".part")
        with suppress(ConflictError):  # a link or a directory is there now: the user's doing
            _restore(tree, move)
        with suppress(FileNotFoundError):
            tree.sync_parent(move.path)


def _stage(tree: Tree, move: Move) -> None:
    assert move.new is not None
    tree.make_parents(move.path)
    there = tree.attributes(move.path)
    mode = 0o644 if move.new_mode is None else move.new_mode
    if there is not None and there.mode != move.old_mode:
        mode = there.mode  # the user changed it since
    tree.stage(move.path, move.temporary, move.new, mode, there)


def _commit(tree: Tree, move: Move) -> None:
    if move.new is None:
        tree.move_new(move.path, move.name, move.temporary)
    elif move.old is None:
        try:
            tree.move_new(move.path, move.temporary, move.name)
        except FileExistsError:
            raise ConflictError(f"{move.path} was created meanwhile; yours is kept") from None
    else:
        tree.exchange(move.path, move.temporary)
    if move.old is not None and tree.read(move.temporary_path) != move.old:
        raise ConflictError(f"{move.path} changed while it was written; your version is kept")
    tree.sync_parent(move.path)


def _restore(tree: Tree, move: Move) -> None:
    """`aside` is the staged `new`, or what an exchange took out: `old`, or the user's last save."""
    aside = tree.read(move.temporary_path)
    there = tree.attributes(move.path)
    ours = tree.read(move.path) == move.new
    if move.old == move.new:  # only the mode changes
        ours = there is not None and there.mode == move.new_mode
        if aside is None and ours and move.old_mode is not None:
            tree.set_mode(move.path, move.old_mode)
        elif aside is not None:
            _swap_back(tree, move) if ours else tree.unlink(move.temporary_path)
    elif aside is None:
        if ours:
            _rewrite(tree, move)
    elif ours and aside != move.new:
        _swap_back(tree, move)
    elif aside in (move.old, move.new):
        tree.unlink(move.temporary_path)


def _swap_back(tree: Tree, move: Move) -> None:
    if move.new is None:
        tree.move_new(move.path, move.temporary, move.name)
    else:
        tree.exchange(move.path, move.temporary)
        tree.unlink(move.temporary_path)


def _rewrite(tree: Tree, move: Move) -> None:
    """The old contents are in the journal only."""
    if move.old is None:
        tree.unlink(move.path)
        return
    there = tree.attributes(move.path)
    tree.make_parents(move.path)
    mode = 0o644 if move.old_mode is None else move.old_mode
    tree.stage(move.path, move.temporary, move.old, mode, there)
    if there is None:
        tree.move_new(move.path, move.temporary, move.name)
    else:
        tree.exchange(move.path, move.temporary)
        tree.unlink(move.temporary_path)
