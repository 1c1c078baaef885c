"""Recipes as TOML, in the form `reading.py` reads."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evals.datasets.recipe import Package, Recipe

__all__ = ["as_toml", "package_head", "write_recipes"]


def write_recipes(path: Path, recipes: Iterable[Recipe], head: dict[str, Any]) -> None:
    """Replace the file. `head`: the table `[package]` or `[repository]`."""
    staged = path.with_name(f".{path.name}.new")
    staged.write_text(as_toml(recipes, head), encoding="utf-8")
    staged.replace(path)


def as_toml(recipes: Iterable[Recipe], head: dict[str, Any]) -> str:
    """All recipes of one package or repository."""
    import tomlkit

    name = "repository" if "url" in head or "clone" in head else "package"
    document = tomlkit.document()
    document[name] = {key: value for key, value in head.items() if value}
    bugs, fixes = tomlkit.aot(), tomlkit.aot()
    for recipe in recipes:
        (bugs if recipe.edits else fixes).append(_row(recipe))
    for key, rows in (("bug", bugs), ("fix", fixes)):
        if rows:
            document[key] = rows
    return tomlkit.dumps(document)


def package_head(package: Package) -> dict[str, Any]:
    """The table `[package]` of injected bugs."""
    return {
        "name": package.name,
        "version": package.version,
        "sha256": package.sha256,
        "licence": package.licence,
        "test_cmd": package.test_cmd,
        "requires": list(package.requires),
    }


def _row(recipe: Recipe) -> Any:
    import tomlkit

    row = tomlkit.table()
    row["id"] = recipe.id
    if recipe.edits:
        row["stratum"] = recipe.stratum
    row["tests_visible"] = recipe.tests_visible
    row["origin"] = recipe.origin
    row["problem_statement"] = _text(f"{recipe.problem_statement}\n")
    if recipe.commit is not None:
        row["base"], row["commit"] = recipe.commit.base, recipe.commit.fix
    if recipe.before is not None:
        row["version"], row["sha256"] = recipe.package.version, recipe.package.sha256
        before = tomlkit.inline_table()
        before.update({"version": recipe.before.version, "sha256": recipe.before.sha256})
        row["before"] = before
    edits, undo = tomlkit.aot(), tomlkit.aot()
    for edit in recipe.edits:
        table = tomlkit.table()
        table["path"], table["old"], table["new"] = edit.path, _text(edit.old), _text(edit.new)
        edits.append(table)
    for change in recipe.undo:
        table = tomlkit.table()
        table["path"], table["places"] = change.path, list(change.places)
        undo.append(table)
    for name, rows in (("edit", edits), ("undo", undo)):
        if rows:
            row[name] = rows
    return row


def _text(text: str) -> Any:
    """Over several lines where it has some, literally where that can be."""
    import tomlkit

    if "\n" not in text or "\r" in text:
        return tomlkit.string(text)
    literal = "'''" not in text and not text.endswith("'")
    return tomlkit.string(text, multiline=True, literal=literal)
