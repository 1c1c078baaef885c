"""Reads a git repository without running anything in it and without writing to it.

Git runs programs named in `.git/config`: fsmonitor, hooks, filters, textconv, aliases, askpass.
Flags and a clean environment do not stop all of them. So git is given a directory of our own, in
the temporary directory: its config is ours, the user's objects are read as alternates, and HEAD,
refs and index are copies, made anew when theirs change. Nothing of 20 hostile configs ran.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tools.errors import RepoError
from tools.gitdir import Mirror, find, run_git

__all__ = ["Commit", "Repo", "open_repo"]

_GITLINK = "160000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit of the log. `time` is the author's, in seconds since the epoch."""

    sha: str
    time: int
    author: str
    subject: str


class Repo:
    """A repository with a work tree. Made by `open_repo`. Paths are relative to `root`.

    Every method raises RepoError when git cannot read the repository.
    """

    def __init__(self, root: Path, git_dir: Path, common_dir: Path) -> None:
        self.root = root
        self.git_dir = git_dir
        self.common_dir = common_dir
        self._mirror = Mirror(root, git_dir, common_dir, _git_program())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete our copy of HEAD, refs and index; otherwise that happens when the object goes."""
        self._mirror.remove()

    def head(self) -> str | None:
        """The commit checked out; None before the first one."""
        return self._commit("HEAD")

    def branch(self) -> str | None:
        """The branch checked out, also before its first commit; None for a detached HEAD."""
        name = self._try("symbolic-ref", "--quiet", "--short", "HEAD")
        return None if name is None else os.fsdecode(name).rstrip("\n")

    def tracked(self) -> tuple[str, ...]:
        """What the index names, sorted, without submodules; some may be gone from the work tree."""
        names = set()
        for entry in _split(self._run("ls-files", "-z", "--stage")):
            details, _, name = entry.partition("\t")
            if not details.startswith(_GITLINK):
                names.add(name)
        return tuple(sorted(names))

    def files(self) -> tuple[str, ...]:
        """Regular files and symbolic links that are tracked, or untracked and not ignored; sorted.

        Neither submodules nor repositories within this one, nor what is in them.
        """
        others = _split(self._run("ls-files", "-z", "--others", "--exclude-standard"))
        names = {*self.tracked(), *(n for n in others if not n.endswith("/"))}
        return tuple(sorted(n for n in names if self._is_file(n)))

    def dirty(self) -> tuple[str, ...]:
        """Paths that differ from HEAD or are untracked and not ignored, sorted."""
        found = self._run(
            "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all",
            "--ignore-submodules=all",
        )  # fmt: skip
        return tuple(sorted(entry[3:] for entry in _split(found) if not entry.endswith("/")))

    def show(self, rev: str, path: str) -> bytes | None:
        """A file as a commit has it, byte for byte; None if the commit has no such file.

        Raises RepoError for an unknown revision.
        """
        sha = self._commit(rev)
        if sha is None:
            raise RepoError(f"there is no commit {rev!r} in {self.root}")
        return self._try("cat-file", "blob", f"{sha}:{path}")

    def log(self, count: int = 20, path: str | None = None) -> tuple[Commit, ...]:
        """The newest commits reachable from HEAD, newest first; if given, those touching `path`."""
        if self.head() is None:
            return ()
        limits = [f"--max-count={count}", "--format=%H%x1f%at%x1f%an%x1f%s"]
        paths = ["--", path] if path is not None else []
        commits = []
        for entry in _split(self._run("log", "-z", "--no-show-signature", *limits, *paths)):
            sha, time, author, subject = entry.rstrip("\n").split("\x1f", 3)
            commits.append(Commit(sha=sha, time=int(time), author=author, subject=subject))
        return tuple(commits)

    def _commit(self, rev: str) -> str | None:
        name = f"{rev}^{{commit}}"
        found = self._try("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        return found.decode("ascii").strip() if found else None

    def _is_file(self, name: str) -> bool:
        try:
            mode = os.lstat(self.root / name).st_mode
        except OSError:
            return False
        return stat.S_ISREG(mode) or stat.S_ISLNK(mode)

    def _run(self, *argv: str) -> bytes:
        self._mirror.refresh()
        command = [self._mirror.program, "--literal-pathspecs", "--no-pager", *argv]
        try:
            return run_git(command, self.root, self._mirror.environment())
        except RepoError as error:
            raise _Failed(f"git {argv[0]} failed in {self.root}: {error}") from None

    def _try(self, *argv: str) -> bytes | None:
        """The output, or None where git says that there is no such thing."""
        try:
            return self._run(*argv)
        except _Failed as error:
            if "imeout" in str(error):
                raise
            return None


class _Failed(RepoError):
    """Git ended with an error."""


def open_repo(path: Path) -> Repo:
    """The repository that `path` is in. Raises RepoError with a remedy."""
    if not path.exists():
        raise RepoError(f"{path} does not exist", remedy="check the path")
    if not path.is_dir():
        raise RepoError(f"{path} is not a directory", remedy="name the directory of the repository")
    return Repo(*find(path.resolve()))


def _git_program() -> str:
    """Git's absolute path: a relative entry of PATH must not find one in the repository."""
    for directory in os.get_exec_path():
        if Path(directory).is_absolute():
            found = shutil.which("git", path=directory)
            if found:
                return found
    raise RepoError("git is not installed", remedy="install git and make sure it is on PATH")


def _split(output: bytes) -> Iterator[str]:
    return (os.fsdecode(entry) for entry in output.split(b"\0") if entry)
