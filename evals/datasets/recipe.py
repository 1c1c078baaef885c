"""Recipes: bugs in real packages, stored without the packages' code.

A recipe names a source distribution by version and sha256 (or a repository by commit) and says how
the tree with the bug is made from it: a few lines replaced (`edits`), the places of a real fix put
back to the release before (`undo`), or the files of a fixing commit put back to its parent
(`commit`). It shares nothing with the enumerator of single edits nor with the mutations the model
was trained on. The format is described in README.md beside this file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.errors import ConfigError
from evals.datasets.undo import Release, Undo

__all__ = [
    "DEV",
    "STRATA",
    "Commit",
    "Edit",
    "Package",
    "Recipe",
    "Stratum",
    "inject",
    "load_recipes",
]

DEV = Path(__file__).parent / "dev"
Stratum = Literal["reach", "beyond", "mined"]
STRATA: tuple[Stratum, ...] = ("reach", "beyond", "mined")
"""In the order in which reports show them. Claims come from the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A source distribution. `requires`: what its tests need besides pytest."""

    name: str
    version: str
    sha256: str
    test_cmd: str
    requires: tuple[str, ...] = ()
    licence: str = ""
    """As an SPDX expression; said, not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """`old` is what the package has, once; `new` is the bug."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A fix in a repository's history. Full hashes; `clone` is tried before `url`."""

    url: str
    base: str
    fix: str
    clone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One bug: exactly one of `edits`, `undo` (with `before`) and `commit` makes it."""

    id: str
    package: Package
    edits: tuple[Edit, ...] = ()
    before: Release | None = None
    undo: tuple[Undo, ...] = ()
    commit: Commit | None = None
    stratum: Stratum
    """`reach`: one edit of a kind that an enumerator may try; `beyond`: anything else that was put
    in; `mined`: a real bug that its authors fixed."""
    tests_visible: bool
    problem_statement: str
    origin: str = ""
    """Where a mined fix was found, in one line."""

    @property
    def instance_id(self) -> str:
        return f"{self.package.name}__{self.package.version}-{self.id}"


def load_recipes(directory: Path = DEV) -> tuple[Recipe, ...]:
    """Every recipe of a `.toml` file, or of all those in a directory, by instance id.

    Raises ConfigError naming the file, the bug and the field.
    """
    from evals.datasets.reading import read_recipes

    files = [directory] if directory.is_file() else sorted(directory.glob("*.toml"))
    if not files:
        raise ConfigError(f"{directory}: there are no recipes")
    found: dict[str, Recipe] = {}
    for path in files:
        for recipe in read_recipes(path):
            if recipe.instance_id in found:
                raise ConfigError(f"{path}: the bug {recipe.id} occurs twice")
            found[recipe.instance_id] = recipe
    return tuple(found[key] for key in sorted(found))


def inject(recipe: Recipe, root: Path) -> None:
    """Put the bug into a tree. Raises ConfigError if the old lines are not there exactly once."""
    for edit in recipe.edits:
        path = root / edit.path
        if not path.is_file():
            raise ConfigError(f"{recipe.instance_id}: there is no {edit.path}")
        text = path.read_bytes().decode("utf-8")
        count = text.count(edit.old)
        if count != 1:
            raise ConfigError(f"{recipe.instance_id}: {edit.path} has the old lines {count} times")
        path.write_bytes(text.replace(edit.old, edit.new).encode("utf-8"))
