"""The order candidates are tried in: pure, shipped, and bounded. A golden file holds one order."""

import math
from pathlib import Path

import numpy as np
import pytest

from agent import pool
from agent.ranker import HANG_COST, Context, cost, load, order, words, worth_it
from agent.ranker.features import NAMES, OPERATORS, features
from agent.ranker.model import WEIGHTS
from agent.ranker.tokens import Local, grams, tokens
from tools.enumerate import OPERATORS as ENUMERATED
from tools.types import Candidate, Suspect

GOLDEN = Path(__file__).parent / "golden" / "ranker.txt"
SOURCE = '''\
def between(values, low, high):
    """Values from `low` to `high`, both included."""
    found = []
    for value in values:
        if value >= low and value < high:
            found.append(value)
    return found


def outside(values, low, high):
    inside = between(values, low, high)
    return [value for value in values if value not in inside]


def width(low, high):
    return low - low
'''
SUSPECTS = tuple(
    Suspect(path="ranges.py", line=n, symbol="between", score=s)
    for n, s in ((5, 1.2), (6, 1.0), (4, 0.9), (3, 0.9), (7, 0.9))
)


def context(*, suspects: tuple[Suspect, ...] = SUSPECTS, told: str = "between") -> Context:
    return Context(
        sources={"ranges.py": SOURCE.encode()},
        suspects=suspects,
        told=words(told),
        general=load().general,
    )


def candidates(suspects: tuple[Suspect, ...] = SUSPECTS, limit: int = 300) -> list[Candidate]:
    return list(pool.stream({"ranges.py": SOURCE.encode()}.get, suspects, limit=limit))


def test_the_order_is_the_one_on_record() -> None:
    found = order(candidates(), context(), load())
    shown = [f"{c.line} {c.operator}: {c.after.strip()}" for c in found.candidates[:15]]
    assert "\n".join(shown) + "\n" == GOLDEN.read_text()


def test_every_candidate_once_with_a_probability() -> None:
    some = candidates()
    found = order(some, context(), load())
    assert sorted(map(hash, found.candidates)) == sorted(map(hash, some))
    assert math.isclose(sum(found.weights.values()), 1.0, rel_tol=1e-4)
    assert found == order(some, context(), load())


def test_a_line_whose_operands_are_equal_is_put_right_first() -> None:
    suspects = (Suspect(path="ranges.py", line=16, symbol="width", score=1.0),)
    found = order(candidates(suspects), context(suspects=suspects, told="width"), load())
    assert "high" in found.candidates[0].after


def test_what_may_hang_costs_more_than_a_try() -> None:
    looped = "def f(n):\n    while n > 0:\n        n = n - 1\n    return n - 1\n"
    suspects = tuple(Suspect(path="loop.py", line=n, symbol="f", score=1.0) for n in range(2, 5))
    source = {"loop.py": looped.encode()}
    some = list(pool.stream(source.get, suspects, limit=200))
    shared = Context(sources=source, suspects=suspects, told=words("f"), general=load().general)
    costs = cost(np.array([features(shared, c) for c in some], np.float32))
    assert {HANG_COST} == {float(x) for x, c in zip(costs, some, strict=True) if c.line in (2, 3)}
    assert {1.0} == {float(x) for x, c in zip(costs, some, strict=True) if c.line == 4}


def test_neither_order_can_ruin_the_other() -> None:
    some = candidates()
    made = order(some, context(), load())
    found = made.candidates
    by_weight = sorted(some, key=lambda c: -made.weights[c])
    for place, candidate in enumerate(some[:60], 1):
        assert found.index(candidate) < 3 * place
    for place, candidate in enumerate(by_weight[:60], 1):
        assert found.index(candidate) < 2 * place + 2


def test_features_are_finite_for_every_operator() -> None:
    shared = context()
    rows = np.array([features(shared, c) for c in candidates(limit=1000)])
    assert rows.shape[1] == len(NAMES)
    assert np.isfinite(rows).all()
    assert {op.name for op in ENUMERATED} | {"mini"} == set(OPERATORS)


def test_the_stream_is_lazy_and_bounded() -> None:
    read: list[str] = []

    def reader(path: str) -> bytes | None:
        read.append(path)
        return SOURCE.encode()

    many = tuple(
        Suspect(path=f"f{i}.py", line=5, symbol=None, score=1.0 - i / 100) for i in range(50)
    )
    stream = pool.stream(reader, many, limit=40)
    assert read == []
    assert len(list(stream)) == 40
    assert read == ["f0.py", "f1.py", "f2.py"]


def test_shipped_weights_are_small_and_for_these_features(tmp_path: Path) -> None:
    assert WEIGHTS.stat().st_size < 100_000
    other = tmp_path / "weights.npz"
    with np.load(WEIGHTS) as stored:
        np.savez(other, **{**stored, "names": np.array("one\ntwo")})
    with pytest.raises(ValueError, match=r"training\.ranker"):
        load(other)


def test_ranking_is_skipped_where_it_cannot_pay() -> None:
    assert not worth_it(10, 0.06)
    assert not worth_it(400, 0.001)
    assert worth_it(400, 0.06)
    assert worth_it(60, 1.0)


def test_a_line_does_not_vouch_for_itself() -> None:
    text = "total = first + second\n"
    local = Local([text])
    row = ["\n", "\n", *tokens(text)]
    with_own, known = local.log_probability(row, 2, len(row), grams([]))
    without, unknown = local.log_probability(row, 2, len(row), grams(row[1:]))
    assert without < with_own
    assert unknown < known
