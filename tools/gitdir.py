"""A git directory of our own that shows somebody else's repository.

It holds our config and copies of HEAD, refs and index. Objects are read through `alternates`.
"""

import os
import re
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tools.errors import RepoError

if TYPE_CHECKING:
    from git.cmd import Git
    from git.exc import GitCommandError

__all__ = ["Mirror", "find", "run_git"]

_TIMEOUT_S = 120.0

_KEPT = {
    "core.autocrlf": r"true|false|input",
    "core.eol": r"lf|crlf|native",
    "core.filemode": r"true|false",
    "core.symlinks": r"true|false",
    "core.ignorecase": r"true|false",
    "core.precomposeunicode": r"true|false",
    "extensions.objectformat": r"sha1|sha256",
}
"""Settings that change what git sees, with the values they may have. Nothing else is carried over:
above all no name of a program, no path and no include."""
_OURS = """\
[core]
\tbare = false
\thooksPath = /dev/null
\tfsmonitor = false
\tuntrackedCache = false
\tsplitIndex = false
\tsparseCheckout = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
"""
_MAX_SMALL = 64 << 20
_SILENT = "GIT_TRACE GIT_TRACE2 GIT_TRACE2_EVENT GIT_TRACE2_PERF GIT_TRACE_SETUP".split()


def find(start: Path) -> tuple[Path, Path, Path]:
    """Root, git directory and common directory of the repository around `start`.

    The root is where `.git` lies, whatever `core.worktree` says: a config from elsewhere does not
    decide which directory we work in. Raises RepoError.
    """
    for place in (start, *start.parents):
        dot_git = place / ".git"
        if dot_git.exists():
            git_dir = _follow(dot_git)
            if git_dir is not None and _is_git_dir(git_dir):
                common = _common(git_dir)
                _refuse_bare(place, dot_git, common)
                return place, git_dir, common
        if _is_git_dir(place):
            raise RepoError(
                f"{place} is a bare repository or the inside of a .git directory: it has no files"
                " to work on",
                remedy="clone it and run in the clone: git clone " + str(place),
            )
    raise RepoError(
        f"{start} is not in a git repository",
        remedy="make it one: git init && git add -A && git commit -m 'Start'",
    )


class Mirror:
    """The directory, deleted by `remove` or with the object. `refresh` follows the user's work."""

    def __init__(self, root: Path, git_dir: Path, common_dir: Path, program: str) -> None:
        self.program = program
        self._root = root
        self._git_dir = git_dir
        self._common = common_dir
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self._place = Path(tempfile.mkdtemp(prefix="pointsman-git-"))
        self._finalizer = weakref.finalize(
            self, shutil.rmtree, str(self._place), ignore_errors=True
        )
        self._build()

    def remove(self) -> None:
        self._finalizer()

    def environment(self) -> dict[str, str]:
        """For git, over the process's own: no setting of the caller's leads back to the repository,
        asks for a password, runs a program or reaches the network."""
        place = str(self._place)
        return {
            "GIT_DIR": place,
            "GIT_COMMON_DIR": place,
            "GIT_WORK_TREE": str(self._root),
            "GIT_INDEX_FILE": str(self._place / "index"),
            "GIT_OBJECT_DIRECTORY": str(self._place / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "0",
            "GIT_CONFIG_PARAMETERS": "",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS": "",
            "GIT_EXTERNAL_DIFF": "",
            "GIT_PAGER": "cat",
            "GIT_NAMESPACE": "",
            "GIT_FLUSH": "0",
            **dict.fromkeys(_SILENT, "0"),
        }

    def refresh(self) -> None:
        """Copy what changed since the last call: HEAD, refs, index, excludes."""
        if not self._place.exists():
            raise RepoError("the repository was closed")
        self._copy(self._git_dir / "HEAD", "HEAD")
        for source in (self._git_dir / "index", *self._git_dir.glob("sharedindex.*")):
            self._copy(source, source.name)
        for name in ("packed-refs", "shallow", "info/exclude", "info/attributes"):
            self._copy(self._common / name, name)
        wanted = {"refs"}
        for source in _regular_files(self._common / "refs"):
            name = source.relative_to(self._common).as_posix()
            wanted.add(name)
            self._copy(source, name)
        for copied in _regular_files(self._place / "refs"):
            if copied.relative_to(self._place).as_posix() not in wanted:
                copied.unlink()  # a branch deleted, or packed away

    def _build(self) -> None:
        for name in ("objects/info", "refs/heads", "info"):
            (self._place / name).mkdir(parents=True)
        objects = os.fsencode(self._common / "objects")
        (self._place / "objects" / "info" / "alternates").write_bytes(_c_quoted(objects) + b"\n")
        kept = self._settings()
        version = 1 if "extensions.objectformat" in kept else 0
        lines = [_OURS, f"[core]\n\trepositoryformatversion = {version}\n"]
        for key, value in kept.items():
            section, _, name = key.partition(".")
            lines.append(f"[{section}]\n\t{name} = {value}\n")
        excludes = self._user_excludes()
        if excludes is not None:
            lines.append(f"[core]\n\texcludesFile = {_config_quoted(excludes)}\n")
        (self._place / "config").write_text("".join(lines), "utf-8", "surrogateescape")
        self.refresh()

    def _settings(self) -> dict[str, str]:
        """The few harmless settings of the repository, read as data: no include, nothing run."""
        config = self._common / "config"
        if _stamp(config) is None:
            return {}
        listed = self._ask("config", "--file", str(config), "--no-includes", "-z", "--list")
        found = {}
        for entry in listed.split("\0"):
            key, _, value = entry.partition("\n")
            pattern = _KEPT.get(key)
            if pattern and re.fullmatch(pattern, value.lower()):
                found[key] = value.lower()
        return found

    def _user_excludes(self) -> str | None:
        """The user's own global ignore file: their setting, not the repository's."""
        try:
            found = self._ask("config", "--global", "--get", "--path", "core.excludesFile")
        except RepoError:
            return None
        return found.rstrip("\n") or None

    def _ask(self, *argv: str) -> str:
        # GIT_DIR that is not there: git must not look for a repository around us.
        env = {"GIT_DIR": str(self._place / "none"), "GIT_CONFIG_NOSYSTEM": "1"}
        if "--global" not in argv:
            env["GIT_CONFIG_GLOBAL"] = os.devnull
        try:
            return os.fsdecode(run_git([self.program, *argv], self._place, env))
        except RepoError as error:
            raise RepoError(f"git cannot read {argv[2]}: {error}") from None

    def _copy(self, source: Path, name: str) -> None:
        """Only regular files of a sane size: opening a pipe would wait for ever."""
        stamp = _stamp(source)
        target = self._place / name
        if stamp is None:
            target.unlink(missing_ok=True)
            self._seen.pop(source, None)
        elif self._seen.get(source) != stamp:
            target.parent.mkdir(parents=True, exist_ok=True)
            spare = target.with_name(target.name + ".new")
            try:
                shutil.copyfile(source, spare)
            except FileNotFoundError:
                return  # git renamed it under us; the next call sees the new one
            shutil.copystat(source, spare)
            spare.replace(target)
            self._seen[source] = stamp


def run_git(argv: list[str], cwd: Path, env: dict[str, str]) -> bytes:
    """The output of one git command, run by GitPython. Raises RepoError with what git said."""
    command, failed = _gitpython(argv[0])
    git = command(cwd)
    git.update_environment(**env)
    try:
        out = git.execute(
            argv,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
            kill_after_timeout=_TIMEOUT_S,
        )
    except failed as error:
        text = str(getattr(error, "stderr", "") or error).strip()
        raise RepoError(text.removeprefix("stderr: ").strip("'\n ")[:500]) from None
    return out if isinstance(out, bytes) else b""


def _gitpython(program: str) -> "tuple[type[Git], type[GitCommandError]]":
    """GitPython runs `git version` when it is imported, found through PATH: it is told which git,
    for PATH may name the directory we are in."""
    name = "GIT_PYTHON_GIT_EXECUTABLE"
    before = os.environ.get(name)
    os.environ[name] = program
    try:
        from git.cmd import Git
        from git.exc import GitCommandError
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
    return Git, GitCommandError


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_size > (_MAX_SMALL << 4):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _regular_files(directory: Path) -> Iterator[Path]:
    for above, _, names in os.walk(directory):
        yield from (Path(above) / name for name in names)


def _follow(dot_git: Path) -> Path | None:
    """A `.git` directory, or the one a `.git` file of a linked work tree or submodule names."""
    if dot_git.is_dir():
        return dot_git
    text = _small(dot_git)
    if not text.startswith("gitdir:"):
        return None
    return (dot_git.parent / text.removeprefix("gitdir:").strip()).resolve()


def _common(git_dir: Path) -> Path:
    name = _small(git_dir / "commondir").strip()
    return (git_dir / name).resolve() if name else git_dir


def _is_git_dir(path: Path) -> bool:
    common = _common(path)
    head = path / "HEAD"
    return (
        (head.is_file() or head.is_symlink())
        and (common / "objects").is_dir()
        and (common / "refs").is_dir()
    )


def _refuse_bare(place: Path, dot_git: Path, common: Path) -> None:
    """A linked work tree of a bare repository is fine; a `.git` that says it is bare is not."""
    bare = re.search(r"(?im)^\s*bare\s*=\s*(true|yes|on|1)\s*$", _small(common / "config"))
    if bare and dot_git.is_dir():
        raise RepoError(
            f"{place} is a bare repository (core.bare is true): it has no files to work on",
            remedy="clone it, or, if it has a work tree: git config core.bare false",
        )


def _small(path: Path) -> str:
    stamp = _stamp(path)
    if stamp is None or stamp[1] > 1 << 20:
        return ""
    return path.read_text("utf-8", "surrogateescape")


def _c_quoted(name: bytes) -> bytes:
    return (
        b'"'
        + b"".join(b"\\%03o" % b if b < 0x21 or b in b'"\\' else b"%c" % b for b in name)
        + b'"'
    )


def _config_quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
