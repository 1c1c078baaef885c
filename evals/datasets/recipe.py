"""Recipes: bugs put into real packages by hand-written edits, stored without the packages' code.

A recipe names a source distribution by version and sha256, and a few lines to replace. It shares
nothing with the enumerator of single edits nor with the mutations the model was trained on.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agent.errors import ConfigError

__all__ = ["DEV", "Edit", "Package", "Recipe", "Stratum", "inject", "load_recipes"]

DEV = Path(__file__).parent / "dev"
Stratum = Literal["reach", "beyond"]
STRATA: tuple[Stratum, ...] = ("reach", "beyond")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A source distribution. `requires`: what its tests need besides pytest."""

    name: str
    version: str
    sha256: str
    test_cmd: str
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """`old` is what the package has, once; `new` is the bug."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One bug."""

    id: str
    package: Package
    edits: tuple[Edit, ...]
    stratum: Stratum
    """`reach`: one edit of a kind that an enumerator may try; `beyond`: anything else."""
    tests_visible: bool
    problem_statement: str

    @property
    def instance_id(self) -> str:
        return f"{self.package.name}__{self.package.version}-{self.id}"


def load_recipes(directory: Path = DEV) -> tuple[Recipe, ...]:
    """Every recipe of `*.toml` in a directory, one file per package, by instance id.

    Raises ConfigError naming the file, the bug and the field.
    """
    files = sorted(directory.glob("*.toml"))
    if not files:
        raise ConfigError(f"{directory}: there are no recipes")
    found: dict[str, Recipe] = {}
    for path in files:
        for recipe in _read(path):
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


def _read(path: Path) -> list[Recipe]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    head = _table(tree, "package", str(path))
    package = Package(
        name=_text(head, "name", str(path)),
        version=_text(head, "version", str(path)),
        sha256=_text(head, "sha256", str(path)),
        test_cmd=_text(head, "test_cmd", str(path)),
        requires=tuple(head.get("requires", ())),
    )
    if not re.fullmatch(r"[0-9a-f]{64}", package.sha256):
        raise ConfigError(f"{path}: sha256 must be 64 hexadecimal digits")
    bugs = tree.get("bug")
    if not isinstance(bugs, list) or not bugs:
        raise ConfigError(f"{path}: there is no [[bug]]")
    return [_bug(bug, package, path) for bug in bugs]


def _bug(bug: Mapping[str, Any], package: Package, path: Path) -> Recipe:
    where = f"{path}: bug {bug.get('id', '?')}"
    if bug.get("stratum") not in STRATA:
        raise ConfigError(f"{where}: stratum must be one of {', '.join(STRATA)}")
    if not isinstance(bug.get("tests_visible"), bool):
        raise ConfigError(f"{where}: tests_visible must be true or false")
    edits = bug.get("edit")
    if not isinstance(edits, list) or not edits:
        raise ConfigError(f"{where}: there is no [[bug.edit]]")
    name = _text(bug, "id", where)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise ConfigError(f"{where}: an id has small letters, digits and hyphens")
    return Recipe(
        id=name,
        package=package,
        edits=tuple(_edit(edit, where) for edit in edits),
        stratum=bug["stratum"],
        tests_visible=bug["tests_visible"],
        problem_statement=_text(bug, "problem_statement", where).strip(),
    )


def _edit(edit: Mapping[str, Any], where: str) -> Edit:
    path = _text(edit, "path", where)
    if path.startswith("/") or ".." in path.split("/"):
        raise ConfigError(f"{where}: {path} leads out of the package")
    new = edit.get("new")
    if not isinstance(new, str):
        raise ConfigError(f"{where}: the field 'new' is missing")
    old = _text(edit, "old", where)
    if old == new:
        raise ConfigError(f"{where}: old and new are the same")
    return Edit(path=path, old=old, new=new)


def _text(table: Mapping[str, Any], name: str, where: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where}: the field {name!r} is missing")
    return value


def _table(tree: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    value = tree.get(name)
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: there is no [{name}]")
    return value
