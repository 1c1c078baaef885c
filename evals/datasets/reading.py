"""The TOML of recipes, checked field by field: errors name the file, the bug and the field."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.errors import ConfigError
from evals.datasets.recipe import STRATA, Commit, Edit, Package, Recipe, Stratum
from evals.datasets.undo import Release, Undo

__all__ = ["read_recipes"]

Table = Mapping[str, Any]


def read_recipes(path: Path) -> list[Recipe]:
    """The recipes of one file: `[package]` with `[[bug]]`s and `[[fix]]`es, or `[repository]`
    with `[[fix]]`es. Raises ConfigError."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    where = str(path)
    if "repository" in tree:
        head = _table(tree, "repository", where)
        found = [_commit(row, head, path) for row in _rows(tree, "fix", where)]
    else:
        head = _table(tree, "package", where)
        found = [_bug(row, head, path) for row in _rows(tree, "bug", where)]
        found += [_release(row, head, path) for row in _rows(tree, "fix", where)]
    if not found:
        raise ConfigError(f"{path}: there is no [[bug]] and no [[fix]]")
    return found


def _bug(bug: Table, head: Table, path: Path) -> Recipe:
    """A bug put in by edits."""
    where = f"{path}: bug {bug.get('id', '?')}"
    stratum = bug.get("stratum")
    if stratum not in STRATA[:2]:
        raise ConfigError(f"{where}: stratum must be one of {', '.join(STRATA[:2])}")
    edits = bug.get("edit")
    if not isinstance(edits, list) or not edits:
        raise ConfigError(f"{where}: there is no [[bug.edit]]")
    package = _package(head, head, str(path))
    return _recipe(bug, package, stratum, where, edits=tuple(_edit(e, where) for e in edits))


def _release(fix: Table, head: Table, path: Path) -> Recipe:
    """A fix between two releases: `version` has it, `before` has it not."""
    where = f"{path}: fix {fix.get('id', '?')}"
    earlier = _table(fix, "before", where)
    before = Release(
        version=_text(earlier, "version", where), sha256=_hash(earlier, "sha256", 64, where)
    )
    undo = tuple(_undo(row, where) for row in _rows(fix, "undo", where))
    if not undo:
        raise ConfigError(f"{where}: there is no [[fix.undo]]")
    package = _package(head, fix, where)
    return _recipe(fix, package, "mined", where, before=before, undo=undo)


def _commit(fix: Table, head: Table, path: Path) -> Recipe:
    """A fixing commit of a repository."""
    where = f"{path}: fix {fix.get('id', '?')}"
    clone = head.get("clone", "")
    if not isinstance(clone, str):
        raise ConfigError(f"{where}: clone must be a path")
    commit = Commit(
        url=_text(head, "url", where) if "url" in head or not clone else "",
        base=_hash(fix, "base", 40, where),
        fix=_hash(fix, "commit", 40, where),
        clone=str(path.parent / clone) if clone else "",
    )
    package = Package(
        name=_text(head, "name", where),
        version=commit.base[:10],
        sha256="",
        test_cmd=_text(head, "test_cmd", where),
        requires=_strings(head, "requires", where),
        licence=str(head.get("licence", "")),
    )
    return _recipe(fix, package, "mined", where, commit=commit)


def _recipe(row: Table, package: Package, stratum: Stratum, where: str, **made: Any) -> Recipe:
    if not isinstance(row.get("tests_visible"), bool):
        raise ConfigError(f"{where}: tests_visible must be true or false")
    name = _text(row, "id", where)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise ConfigError(f"{where}: an id has small letters, digits and hyphens")
    return Recipe(
        id=name,
        package=package,
        stratum=stratum,
        tests_visible=row["tests_visible"],
        problem_statement=_text(row, "problem_statement", where).strip(),
        origin=_text(row, "origin", where) if "origin" in row or stratum == "mined" else "",
        **made,
    )


def _package(head: Table, versioned: Table, where: str) -> Package:
    cmd = "test_cmd" if "test_cmd" in versioned else ""
    return Package(
        name=_text(head, "name", where),
        version=_text(versioned, "version", where),
        sha256=_hash(versioned, "sha256", 64, where),
        test_cmd=_text(versioned if cmd else head, "test_cmd", where),
        requires=_strings(head, "requires", where),
        licence=str(head.get("licence", "")),
    )


def _edit(edit: Table, where: str) -> Edit:
    new = edit.get("new")
    if not isinstance(new, str):
        raise ConfigError(f"{where}: the field 'new' is missing")
    old = _text(edit, "old", where)
    if old == new:
        raise ConfigError(f"{where}: old and new are the same")
    return Edit(path=_path(edit, where), old=old, new=new)


def _undo(row: Table, where: str) -> Undo:
    places = row.get("places", [])
    if not isinstance(places, list) or not all(type(n) is int and n > 0 for n in places):
        raise ConfigError(f"{where}: places must be a list of numbers from 1")
    return Undo(path=_path(row, where), places=tuple(places))


def _path(table: Table, where: str) -> str:
    path = _text(table, "path", where)
    if path.startswith("/") or ".." in path.split("/"):
        raise ConfigError(f"{where}: {path} leads out of the package")
    return path


def _text(table: Table, name: str, where: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where}: the field {name!r} is missing")
    return value


def _hash(table: Table, name: str, digits: int, where: str) -> str:
    value = _text(table, name, where)
    if not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
        raise ConfigError(f"{where}: {name} must be {digits} hexadecimal digits")
    return value


def _strings(table: Table, name: str, where: str) -> tuple[str, ...]:
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ConfigError(f"{where}: {name} must be a list of strings")
    return tuple(value)


def _rows(tree: Table, name: str, where: str) -> list[Table]:
    value = tree.get(name, [])
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise ConfigError(f"{where}: {name} must be an array of tables")
    return value


def _table(tree: Table, name: str, where: str) -> Table:
    value = tree.get(name)
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: there is no [{name}]")
    return value
