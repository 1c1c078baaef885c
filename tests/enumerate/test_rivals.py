"""When may a search for rivals end? Pure, over candidates with given probabilities."""

from dataclasses import replace

from tools.rivals import LEAST, UNTRIED, missing, untried
from tools.types import Candidate

FIRST = Candidate(
    path="a.py",
    line=1,
    end_line=1,
    before="x\n",
    after="y\n",
    operator="comparison",
    tier=1,
)
ORDER = tuple(replace(FIRST, line=1 + n // 4, after=f"{n}\n", tier=n % 3) for n in range(1000))


def test_without_probabilities_everything_near_is_tried() -> None:
    found = ORDER[1]
    left = missing(ORDER, {found}, [found], {}, 10)
    assert left == {
        c for c in ORDER if c != found and (c.tier <= found.tier or c.line == found.line)
    }
    assert not missing(ORDER, {found, *left}, [found], {}, 10)


def test_what_is_nearly_as_likely_is_tried_wherever_it_is() -> None:
    weights = dict.fromkeys(ORDER, 0.0001) | {ORDER[0]: 0.6, ORDER[500]: 0.3}
    found = ORDER[0]
    left = missing(ORDER, {found}, [found], weights, 420)
    assert ORDER[500] in left
    tried = {found, *left}
    assert untried(ORDER, tried, [found], weights) < 0.15
    assert not missing(ORDER, tried, [found], weights, 420)


def test_an_unlikely_one_needs_all_that_is_near_however_short_the_search() -> None:
    weights = dict.fromkeys(ORDER, 0.001) | {ORDER[1]: 1e-6}
    found = ORDER[1]
    for most in (20, 100, LEAST):
        left = missing(ORDER, {found}, [found], weights, most)
        assert len(left) > LEAST // 2


def test_dearer_edits_elsewhere_may_be_left_out() -> None:
    weights = {c: 0.9 if c is ORDER[0] else 1e-6 for c in ORDER}
    left = missing(ORDER, {ORDER[0]}, [ORDER[0]], weights, 420)
    assert all(c.line == 1 and c.tier == 0 for c in left)
    assert untried(ORDER, {ORDER[0], *left}, [ORDER[0]], weights) <= UNTRIED
