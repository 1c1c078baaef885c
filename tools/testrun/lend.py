"""Lends the target's interpreter our pytest when it has none of its own.

Only packages the target lacks are lent, through a directory of links that is put last on its path.
They are pure Python; which ones pytest needs is read from its metadata.
"""

import atexit
import functools
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from tools.errors import TestCommandError
from tools.testrun.interpreter import python_version, site_directories

SCRIPTS = Path(__file__).parent / "overlay"
ALWAYS = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
BEFORE_3_11 = ("exceptiongroup", "tomli", "typing-extensions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """`directory` goes on the path; `readable` is what its links lead to. Both may be empty."""

    directory: Path | None = None
    readable: tuple[Path, ...] = ()


def has_package(python: Path, name: str) -> bool:
    """Whether `python` could import a top-level package, by its files."""
    for site in site_directories(python):
        if (site / name).is_dir() or (site / f"{name}.py").is_file():
            return True
    return False


@functools.cache
def pytest_overlay(python: Path) -> Overlay:
    """What `python` needs to run pytest. Raises TestCommandError if ours is too new for it."""
    if has_package(python, "pytest"):
        return Overlay()
    version = python_version(python)
    lowest = _lowest_python(distribution("pytest"))
    names = (*ALWAYS, *BEFORE_3_11) if version and version < (3, 11) else ALWAYS
    missing = [name for name in names if not _installed(name)]
    if (version and version < lowest) or missing:
        raise TestCommandError(
            f"{python} has no pytest, and ours does not run on its Python",
            remedy=f"{python} -m pip install pytest",
        )
    directory = Path(tempfile.mkdtemp(prefix="pointsman-overlay-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    sources = [source for name in names for source in _sources(distribution(name))]
    readable = []
    for source in sources:
        if not has_package(python, source.name.removesuffix(".py")):
            (directory / source.name).symlink_to(source)
            readable.append(source)
    return Overlay(directory=directory, readable=tuple(readable))


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _lowest_python(found: Distribution) -> tuple[int, int]:
    required = found.metadata["Requires-Python"] or ">=3.10"
    digits = required.partition(">=")[2].split(",")[0].split(".")
    return int(digits[0]), int(digits[1])


def _sources(found: Distribution) -> list[Path]:
    """Top-level packages, modules and metadata of a distribution."""
    tops = {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", ".")}
    located = [Path(str(found.locate_file(top))) for top in sorted(tops)]
    return [path for path in located if path.name != "__pycache__" and path.exists()]
