"""The two trees of a recipe: one with the bug, one without. Nothing is run here."""

import shutil
from pathlib import Path, PurePosixPath

from evals.datasets.history import without_fix
from evals.datasets.recipe import Package, Recipe, inject
from evals.datasets.sources import sdist, unpack
from evals.datasets.undo import undo
from evals.grade import is_test_file

__all__ = ["both_trees"]

PROSE = frozenset(".md .rst .txt .html".split())
TOLD = ("change", "history", "news", "release", "whatsnew", "pkg-info", "readme")


def both_trees(recipe: Recipe, place: Path) -> tuple[Path, Path, tuple[str, ...]]:
    """Below `place`: the tree without the bug, the one with it, and the files they differ in.

    Raises ConfigError where the recipe does not fit, SourceUnavailable where nothing can be had.
    """
    if recipe.commit is not None:
        return without_fix(recipe.commit, place)
    clean, tree = place / "clean", place / "tree"
    unpack(sdist(recipe.package), clean)
    if recipe.before is None:
        shutil.copytree(clean, tree, symlinks=True)
        inject(recipe, tree)
        return clean, tree, tuple(sorted({e.path for e in recipe.edits}))
    earlier = place / "earlier"
    before = Package(
        name=recipe.package.name,
        version=recipe.before.version,
        sha256=recipe.before.sha256,
        test_cmd=recipe.package.test_cmd,
    )
    unpack(sdist(before), earlier)
    _earlier_prose(clean, earlier)
    shutil.copytree(clean, tree, symlinks=True)
    undo(recipe.undo, tree, earlier, where=recipe.instance_id)
    shutil.rmtree(earlier)
    return clean, tree, tuple(sorted({u.path for u in recipe.undo}))


def _earlier_prose(root: Path, earlier: Path) -> None:
    """Change logs and documents as they were before the fix: they would tell what was fixed."""
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if path.is_symlink() or not path.is_file() or not _is_prose(inside.as_posix()):
            continue
        old = earlier / inside
        if old.is_file():
            shutil.copyfile(old, path)
        else:
            path.unlink()


def _is_prose(path: str) -> bool:
    pure = PurePosixPath(path)
    if is_test_file(path) and not any(part.endswith(".egg-info") for part in pure.parts):
        return False
    name = pure.name.lower()
    return pure.suffix in PROSE or (pure.suffix != ".py" and name.startswith(TOLD))
