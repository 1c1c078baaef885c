"""Rivals are run on generated inputs: real repository, real processes, no sandbox tier."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import Any, cast

import pytest

from tools.behaviour import Comparison, ForkProbe, Probed, compare, variant_of
from tools.controls import controls, decisive
from tools.enumerate import apply
from tools.probe_values import inputs, told, varied
from tools.quicktry import ForkServer
from tools.sandbox.direct import DirectExecution
from tools.types import Candidate, TestCommand

COMMAND = TestCommand(kind="pytest", argv=(sys.executable, "-m", "pytest"), source="--test")
SOURCE = '''\
LIMIT = 9


class Shelf:
    def __init__(self, size, names=()):
        self.size = size
        self.names = list(names)

    def fits(self, count):
        """Whether `count` more names fit."""
        return len(self.names) + count < self.size


RARE = {"rice", "fish"}


def plural(word):
    if not word and word in RARE:
        return word
    return word + "s"


def label(count, word="book"):
    if count != 1:
        word = word + "s"
    return f"{count} {word}"


def clamp(value):
    return max(value, LIMIT)
'''
TESTS = """\
from shelf import Shelf, clamp, label, plural


def test_fits():
    assert Shelf(3, ["a"]).fits(2)


def test_does_not_fit():
    assert not Shelf(3, ["a"]).fits(3)


def test_label():
    assert label(2) == "2 books"
    assert label(1) == "1 book"


def test_clamp():
    assert clamp(12) == 9


def test_plural_of_nothing():
    assert plural("") == ""


def test_plural():
    assert [plural(w) for w in ("cat", "dog")] == ["cats", "dogs"]
"""
MakeLab = Callable[[dict[str, str]], Any]


def change(line: int, old: str, new: str) -> Candidate:
    before = SOURCE.splitlines(keepends=True)[line - 1]
    assert old in before
    return Candidate(
        path="shelf.py",
        line=line,
        end_line=line,
        before=before,
        after=before.replace(old, new, 1),
        operator="comparison",
        tier=0,
    )


def judged(lab: Any, *changes: Candidate, failing: str = "test_fits") -> Comparison:
    source = SOURCE.encode()
    variants = [variant_of(source, c, apply(source, c)) for c in changes]
    assert all(variants)
    server = ForkServer(
        sandbox=DirectExecution(), interpreter=Path(sys.executable), command=COMMAND
    )
    probed = ForkProbe(server=server).run(
        lab.space(0).root,
        [v for v in variants if v is not None],
        failing=[f"test_shelf.py::{failing}"],
        passing=[
            f"test_shelf.py::{name}" for name in ("test_does_not_fit", "test_label", "test_plural")
        ],
    )
    return compare(probed, len(changes))


@pytest.fixture
def shelf(lab: MakeLab) -> Any:
    return lab({"shelf.py": SOURCE, "test_shelf.py": TESTS})


def test_two_spellings_of_one_repair_are_one(shelf: Any) -> None:
    found = judged(
        shelf,
        change(11, "< self.size", "<= self.size"),
        change(
            11, "len(self.names) + count < self.size", "not self.size < len(self.names) + count"
        ),
        change(11, "< self.size", "!= self.size"),
    )
    assert not found.why
    assert found.groups[0][:2] == (0, 1)
    assert found.inputs >= 12


def test_what_differs_on_any_generated_input_is_a_rival(shelf: Any) -> None:
    found = judged(
        shelf, change(11, "< self.size", "<= self.size"), change(11, "< self.size", "!= 9")
    )
    assert found.groups == ((0,), (1,))
    careful, bold = found.behaviours
    assert careful is not None
    assert bold is not None
    assert careful.visible
    assert bold.visible
    assert careful.changed < bold.changed


def test_constants_that_the_code_names_are_among_the_inputs(shelf: Any) -> None:
    found = judged(
        shelf,
        change(18, "word in RARE", "word not in RARE"),
        change(18, " and ", " or "),
        failing="test_plural_of_nothing",
    )
    assert found.groups == ((0,), (1,))
    assert all(b is not None and b.visible for b in found.behaviours)


def test_a_condition_is_fixed_part_by_part() -> None:
    source = SOURCE.encode()
    one = change(18, " and ", " or ")
    variant = variant_of(source, one, apply(source, one))
    assert variant is not None
    made = controls(variant, 18, 18)
    assert made is not None
    lines = [m.content.decode().splitlines()[17].strip() for m in made]
    assert sorted(lines) == sorted(
        [
            "if not (True) or word in RARE:",
            "if not (False) or word in RARE:",
            "if not word or (True):",
            "if not word or (False):",
        ]
    )
    assert controls(variant, 19, 19) == ()
    assert controls(replace(variant, content=b"x = '\xe9'\n"), 1, 1) is None


def test_inputs_that_never_take_a_part_the_other_way_decide_nothing() -> None:
    original, own, same, other = (0,) * 4, (1, 0, 0, 0), (1, 0, 0, 0), (1, 1, 0, 0)
    probed = Probed(inputs=("failing",) * 4, outcomes=(original, own, same, other))
    assert decisive(probed, 0, [2])
    assert not decisive(probed, 0, [1, 2])
    unstable = replace(probed, outcomes=((0, None, 0, 0), own, same, other))
    assert not decisive(unstable, 0, [2])


def test_equal_outcomes_prove_nothing_where_the_bug_is_not_seen(shelf: Any) -> None:
    # Neither changes what `fits` does for the inputs of the failing test.
    found = judged(
        shelf,
        change(24, "count != 1", "not count == 1"),
        change(24, "count != 1", "1 != count"),
    )
    assert found.groups == ((0,), (1,))


def test_changes_outside_one_function_body_are_not_probed() -> None:
    source = SOURCE.encode()
    for one in (
        change(1, "9", "8"),
        change(23, '"book"', '"tome"'),
        change(5, "size, names=()", "names, size=()"),
    ):
        assert variant_of(source, one, apply(source, one)) is None


def test_a_probe_that_says_nothing_merges_nothing() -> None:
    for probed in (
        Probed(why="no call of the changed functions could be recorded"),
        Probed(inputs=("failing",), outcomes=((0,),)),
        Probed(inputs=("failing",) * 4, outcomes=((0,) * 4, (1,) * 4, (1,) * 4)),
        Probed(inputs=("failing",) * 20, outcomes=((0,) * 20, (), (1,) * 20)),
    ):
        assert compare(probed, 2).groups == ((0,), (1,))


def test_one_that_passes_by_chance_is_compared_only_where_outcomes_are_stable() -> None:
    unstable = (None,) * 10 + (0,) * 20
    one, two = (1,) * 30, (2,) * 10 + (1,) * 20
    found = compare(Probed(inputs=("failing",) * 30, outcomes=(unstable, one, two)), 2)
    assert found.groups == ((0, 1),)


def test_values_are_told_apart_by_content() -> None:
    class Box:
        def __init__(self, held: object) -> None:
            self.held = held

    assert told(Box([1])) == told(Box([1])) != told(Box([2]))
    assert told({3, 1, 2}) == told({2, 3, 1})
    assert told(1) != told(True) != told("1")
    assert "0x" not in told(Box(object()))
    loop: list[object] = []
    loop.append(loop)
    assert told(loop)


@pytest.mark.parametrize("value", [True, 3, 2.5, "a1", b"x", [1, "b"], (1,), {"k": 1}, None])
def test_every_plain_type_is_varied(value: object) -> None:
    found = [told(v) for v in varied(value)]
    assert len({*found, told(value)}) > len({told(value)}) + 1 or value is True


def test_an_iterator_is_told_and_varied_by_what_it_has_yet_to_give() -> None:
    one = iter([5, 1, 0])
    next(one)
    assert told(one) == told(iter([1, 0])) != told(iter([1, 2]))
    assert [list(v) for v in varied(one)][:2] == [[], [1]]
    assert list(one) == [1, 0], "looked at, not used up"


def test_a_condition_dropped_alters_less_than_the_same_one_negated() -> None:
    probed = Probed(inputs=("failing",) * 4, outcomes=((1, 2, 3, 4), (9, 2, 3, 4), (9, 9, 9, 4)))
    dropped, negated = compare(probed, 2).behaviours
    assert dropped is not None
    assert negated is not None
    assert (dropped.changed, negated.changed) == (0, 0)
    assert (dropped.altered, negated.altered) == (1, 3)


def test_inputs_begin_with_those_seen_and_are_bounded() -> None:
    import random

    calls: list[tuple[dict[str, object], bool]] = [
        ({"a": 1, "b": "x"}, True),
        ({"a": 5, "b": "y"}, False),
    ]
    found = inputs(calls, 20, random.Random(0))
    assert [given for given, _, _ in found[:2]] == [given for given, _ in calls]
    assert len(found) == 20
    assert {red for _, red, _ in found} == {True, False}
    assert found == inputs(calls, 20, random.Random(0))


def test_the_words_of_a_type_error_are_no_outcome() -> None:
    """They name the operator: every other spelling of a comparison would differ on None."""
    from tools.probe import called

    def at_least(n: Any) -> Any:
        return n >= 3

    def more(n: Any) -> Any:
        return n > 2

    one, two = cast("FunctionType", at_least), cast("FunctionType", more)
    assert called(one, {"n": None}) == called(two, {"n": None})
    assert called(one, {"n": 2.5}) != called(two, {"n": 2.5})
