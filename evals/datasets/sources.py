"""Source distributions in the user's cache: fetched once, checked by sha256, used offline after.

Other people's code is never part of this repository; recipes name it by version and hash.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import ConfigError, PointsmanError
from agent.paths import cache_dir
from evals.datasets.recipe import Package

__all__ = ["SourceUnavailable", "alone", "cache_root", "environment", "sdist", "unpack"]

FETCH_S = 180


class SourceUnavailable(PointsmanError):
    """A source or an environment could not be had: infrastructure, no result."""

    exit_code = 5


def cache_root() -> Path:
    """Below the user's cache directory: may be deleted at any time, is fetched again."""
    return cache_dir() / "evals"


def sdist(package: Package, directory: Path | None = None) -> Path:
    """The archive in the cache; downloaded when it is not there. Raises SourceUnavailable."""
    folder = (directory or cache_root() / "sdists") / package.sha256
    for path in sorted(folder.glob("*.tar.gz")) if folder.is_dir() else ():
        if _digest(path) == package.sha256:
            return path
        path.unlink()  # half a file of an interrupted copy
    with tempfile.TemporaryDirectory(prefix="pointsman-sdist-") as scratch:
        found = _download(package, Path(scratch))
        if _digest(found) != package.sha256:
            raise SourceUnavailable(
                f"{found.name} has sha256 {_digest(found)}, the recipe says {package.sha256}",
                remedy="do not use it: the index serves another file than the one recorded",
            )
        folder.mkdir(parents=True, exist_ok=True)
        staged = folder / f".{found.name}.{os.getpid()}"
        shutil.copyfile(found, staged)
        staged.replace(folder / found.name)
        return folder / found.name


def unpack(archive: Path, target: Path) -> None:
    """The archive's one top directory becomes `target`, which must not exist."""
    with tempfile.TemporaryDirectory(prefix="pointsman-unpack-", dir=target.parent) as scratch:
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        tops = list(Path(scratch).iterdir())
        if len(tops) != 1 or not tops[0].is_dir():
            raise SourceUnavailable(f"{archive.name} has not one directory at its top")
        tops[0].rename(target)


def environment(requires: tuple[str, ...]) -> Path:
    """The root of a virtual environment with these distributions and nothing else.

    Tests run by its Python cannot see what happens to be installed on the machine: neither another
    version of the package under test nor the fix in it. pytest is lent by the test runner.
    """
    key = hashlib.sha256("\n".join(requires).encode()).hexdigest()[:12]
    tag = f"{sys.version_info.major}.{sys.version_info.minor}"
    final = cache_root() / "environments" / f"{tag}-{key}"
    if (final / "ready").exists():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with alone(final.with_name(f".{final.name}.lock")):
        if not (final / "ready").exists():
            _make_environment(final, requires)
    return final


def _make_environment(final: Path, requires: tuple[str, ...]) -> None:
    shutil.rmtree(final, ignore_errors=True)
    pip = () if requires else ("--without-pip",)
    _checked([_base_python(), "-m", "venv", *pip, str(final)], "a virtual environment")
    if requires:
        python = str(final / "bin" / "python")
        _checked([python, "-m", "pip", "install", "--quiet", *requires], ", ".join(requires))
    (final / "ready").write_text("")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Of workers that begin at once one makes it, the others wait."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _base_python() -> str:
    """The Python our own environment was made from: a venv of a venv needs both to be visible."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix) / "bin" / name
    return str(base) if base.exists() else sys.executable


def _download(package: Package, directory: Path) -> Path:
    wanted = f"{package.name}=={package.version}"
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        pip = [_base_python(), "-m", "pip"]  # an environment made by uv has no pip
    # pip asks the package for its metadata, for which it must have the package's build backend
    options = ["--no-deps", "--no-binary", package.name, "--quiet"]
    _checked([*pip, "download", *options, "--dest", str(directory), wanted], wanted)
    found = sorted(directory.glob("*.tar.gz"))
    if not found:
        raise SourceUnavailable(f"{wanted} has no .tar.gz source distribution")
    return found[0]


def _checked(argv: list[str], what: str) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=FETCH_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise SourceUnavailable(f"{what}: no answer within {FETCH_S} s") from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise SourceUnavailable(
            f"{what} cannot be fetched: {last[0]}",
            remedy="the package index must be reachable once; later runs work from the cache",
        )


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
