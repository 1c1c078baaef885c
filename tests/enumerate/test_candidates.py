"""Candidates: which repairs of small bugs are reached, and how early."""

import ast

import pytest

from tests.enumerate.asked import generate
from tests.enumerate.reached import REACHED
from tools.enumerate import apply
from tools.types import Candidate


def rank_of(buggy: str, fixed: str) -> tuple[int, Candidate] | None:
    """Position of the repair among the candidates of the one line that differs."""
    one, two = buggy.splitlines(), fixed.splitlines()
    pairs = zip(one, two, strict=False)
    line = next((i for i, (a, b) in enumerate(pairs, 1) if a != b), len(one))
    want = ast.dump(ast.parse(fixed))
    for rank, candidate in enumerate(generate(buggy, [line])):
        if ast.dump(ast.parse(apply(buggy.encode(), candidate))) == want:
            return rank, candidate
    return None


@pytest.mark.parametrize("name", REACHED)
def test_reaches_the_repair_of_a_small_bug(name: str) -> None:
    buggy, fixed = REACHED[name]
    assert rank_of(buggy, fixed) is not None


def test_common_repairs_come_early() -> None:
    for name in ("boundary", "plus", "not", "index", "builtin", "truth", "floor", "and"):
        found = rank_of(*REACHED[name])
        assert found is not None
        assert found[0] < 12, name
        assert found[1].tier == 0, name


def test_beyond_one_edit_is_not_reached() -> None:
    buggy = "def f(a, b):\n    return a - b * 3\n"
    assert rank_of(buggy, "def f(a, b):\n    return a + b * 7\n") is None
