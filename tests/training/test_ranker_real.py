"""Bugs in a package with tests of its own: what they show is what the ranker is trained on."""

import random
from pathlib import Path

import numpy as np
import pytest

from agent.ranker.features import NAMES
from training.ranker import REAL_TIMES, Row, in_turn, mixed, tries
from training.ranker_fit import Weights
from training.ranker_real import MOST_RED, Project, injected, made, opened, rows_of

SOURCE = '''\
def below(values, limit):
    """Values under `limit`."""
    found = []
    for value in values:
        if value < limit:
            found.append(value)
    return found


def widest(spans):
    best = 0
    for low, high in spans:
        if high - low > best:
            best = high - low
    return best


def never_called(value):
    if value > 3:
        return value + 1
    return value - 1
'''
TESTS = """\
import pytest

from ranges import below, widest


@pytest.mark.parametrize("limit, count", [(1, 0), (2, 1), (3, 2), (9, 3)])
def test_below(limit, count):
    assert len(below([1, 2, 3], limit)) == count


@pytest.mark.parametrize("high", [2, 5, 8])
def test_widest(high):
    assert widest([(1, high), (0, 1)]) == high - 1
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CACHE", "STATE", "DATA", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    root = tmp_path / "ranges-1.0"
    root.mkdir()
    (root / "ranges.py").write_text(SOURCE)
    (root / "test_ranges.py").write_text(TESTS)
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["."]\n')
    return root


def shown(project: Project, function: str, rng: random.Random) -> Row | None:
    """The first bug of a function that the enumerator can undo and, if any, tests show."""
    file, chosen = next(p for p in project.functions if p[1].name == function)
    for _ in range(12):
        bug = injected(file, chosen, rng)
        row = made(project, bug, rng) if bug is not None else None
        if row is not None:
            return row
    return None


def test_what_tests_show_becomes_a_task_and_the_package_is_left_as_it_was(
    tree: Path, tmp_path: Path
) -> None:
    project = opened(tree, tmp_path / "scratch")
    assert project.name == "ranges"
    assert len(project.healthy.passing) == 7
    row = shown(project, "below", random.Random(1))
    assert row is not None
    assert row.package == "ranges"
    assert row.x.shape[1] == len(NAMES)
    assert 0 < len(row.right) < len(row.x)
    red = len(project.work.targets)
    assert 0 < red <= MOST_RED * 7
    assert all(t.startswith("test_ranges.py::test_below") for t in project.work.targets)
    assert project.work.suspects[0].symbol == "below"
    assert (project.work.workspace.root / "ranges.py").read_text() == SOURCE
    assert shown(project, "never_called", random.Random(1)) is None
    assert list(rows_of(project, 1, 0.0, random.Random(1))) == []
    project.work.workspace.remove()


def test_packages_kept_for_evaluation_are_refused(tree: Path, tmp_path: Path) -> None:
    for name in ("tabulate-0.9", "mistune-3.0"):
        with pytest.raises(ValueError, match="kept for evaluation"):
            opened(tree.rename(tree.with_name(name)), tmp_path / "scratch")
        (tree.with_name(name)).rename(tree)


def row(package: str, right: int, rng: np.random.Generator) -> Row:
    x = rng.normal(0, 1, (12, len(NAMES))).astype(np.float16)
    x[right, 0] = 9
    return Row(x=x, right=(right,), reached=right, operator="o", held_out=False, package=package)


def test_packages_that_are_only_measured_on_are_not_trained_on() -> None:
    rng = np.random.default_rng(0)
    simulated = [row("a", 3, rng), row("a", 4, rng)]
    real = [row("b", 5, rng), row("unidiff", 6, rng)]
    assert len(mixed(simulated, real)) == 2 + REAL_TIMES
    assert len(mixed(simulated, [])) == 2


def test_tries_are_counted_as_the_product_makes_them() -> None:
    rng = np.random.default_rng(0)
    weights = Weights(
        mean=np.zeros(len(NAMES), np.float32),
        scale=np.ones(len(NAMES), np.float32),
        inner=np.zeros((len(NAMES), 1), np.float32),
        bias=np.zeros(1, np.float32),
        outer=np.zeros(1, np.float32),
        direct=np.eye(len(NAMES), dtype=np.float32)[0],
    )
    one = row("b", 7, rng)
    one.x[:, NAMES.index("in_while")] = 0
    assert tries(weights, one) == 1
    one.x[:, 0] = -np.arange(12)  # the learned order is the plain one: 7 is eighth
    assert tries(weights, one) == 8
    one.x[:, 0] = np.arange(12)  # from the end, in turns with the plain order: 11 10 0 9 8 1 7
    assert tries(weights, one) == 7


def test_held_out_packages_are_reported_beside_the_plain_order() -> None:
    rng = np.random.default_rng(0)
    real = [row(name, 3 + n, rng) for n, name in enumerate("bcdefg")]
    said = in_turn([row("a", 3, rng)], real, seed=1)
    assert "enumerator's order" in said
    assert "trained with these" in said
    assert f"{sum(range(4, 10)):>8}" in said.splitlines()[1]
