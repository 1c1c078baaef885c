"""Trees out of a repository's history: a fixing commit, and the same without the fix.

Only files come out, never objects: what an agent gets knows nothing of later commits.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from agent.errors import ConfigError
from evals.datasets.recipe import Commit
from evals.datasets.sources import SourceUnavailable, cache_root
from evals.grade import is_test_file

__all__ = ["Change", "changes", "clone_of", "export", "git", "without_fix"]

FETCH_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A file of a commit: `A` added, `M` modified, `D` deleted, `T` turned into something else."""

    status: str
    path: str

    @property
    def is_test(self) -> bool:
        return is_test_file(self.path)


def git(repository: Path, *args: str, index: Path | None = None) -> str:
    """What git prints, decoded with replacement. No hook, pager, replacement or filter runs.

    Raises ConfigError with git's last words.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env = {
        **clean,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        **({"GIT_INDEX_FILE": str(index)} if index else {}),
    }
    argv = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "--no-pager"]
    argv += ["-c", "safe.directory=*", "-C", str(repository), *args]
    done = subprocess.run(argv, env=env, capture_output=True, check=False, timeout=FETCH_S)
    if done.returncode:
        why = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise ConfigError(f"git {args[0]} failed in {repository}: {why}")
    return done.stdout.decode("utf-8", "replace")


def changes(repository: Path, base: str, fix: str) -> tuple[Change, ...]:
    """The files that differ between two commits; a rename is a deletion and an addition."""
    told = git(repository, "diff-tree", "-r", "-z", "--no-renames", "--name-status", base, fix)
    words = told.split("\0")[:-1]
    return tuple(
        Change(status=status, path=path)
        for status, path in zip(words[::2], words[1::2], strict=True)
    )


def export(repository: Path, commit: str, target: Path) -> None:
    """The files of a commit below `target`, which must not exist. Links stay links.

    By way of an index of its own: `git archive` would leave out what `.gitattributes` calls
    `export-ignore`, which is the tests in many repositories.
    """
    target.mkdir(parents=True)
    index = target.parent / f".index-{target.name}"
    git(repository, "read-tree", commit, index=index)
    work = ("--work-tree", str(target.resolve()))
    git(repository, *work, "checkout-index", "--all", "--quiet", index=index)
    index.unlink()


def without_fix(commit: Commit, place: Path) -> tuple[Path, Path, tuple[str, ...]]:
    """Below `place`: the tree of the fix, the same with the sources of its parent, and which.

    Tests are those of the fix in both. Raises ConfigError and SourceUnavailable.
    """
    repository = clone_of(commit)
    clean, tree, base = place / "clean", place / "tree", place / "base"
    export(repository, commit.fix, clean)
    export(repository, commit.base, base)
    shutil.copytree(clean, tree, symlinks=True)
    paths = tuple(c.path for c in changes(repository, commit.base, commit.fix) if not c.is_test)
    for path in paths:
        old, new = base / path, tree / path
        new.unlink(missing_ok=True)
        if old.exists() or old.is_symlink():
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(old, new, follow_symlinks=False)
    shutil.rmtree(base)
    return clean, tree, paths


def clone_of(commit: Commit) -> Path:
    """The clone named by the recipe, or one in the cache. Raises SourceUnavailable."""
    if commit.clone and Path(commit.clone).is_dir():
        return Path(commit.clone)
    if not commit.url:
        raise SourceUnavailable(
            f"there is no clone {commit.clone}", remedy="set clone or url in [repository]"
        )
    name = "".join(c if c.isalnum() else "-" for c in commit.url)[-80:]
    final = cache_root() / "clones" / name
    if not final.is_dir():
        final.parent.mkdir(parents=True, exist_ok=True)
        staged = final.with_name(f".{name}.{os.getpid()}")
        shutil.rmtree(staged, ignore_errors=True)
        try:
            git(final.parent, "clone", "--quiet", "--bare", commit.url, str(staged))
        except (ConfigError, subprocess.TimeoutExpired) as error:
            raise SourceUnavailable(f"{commit.url} cannot be cloned: {error}") from error
        staged.replace(final)
    return final
