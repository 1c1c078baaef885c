"""Evidence is real: it comes from running original and mutant, or there is none."""

import ast
import random
import sys

import pytest

from training.evidence import evidence, runs_alone

CLAMP = "def clamp(x, low):\n    if x < low:\n        return low\n    return x"


def function(source: str) -> ast.FunctionDef:
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


def test_the_lines_are_what_the_mutant_really_returned() -> None:
    mutant = CLAMP.replace("return x", "return low + x")
    shown = evidence(CLAMP, mutant, random.Random(1))
    assert len(shown) == 2
    got, wanted = shown[0].removeprefix("assert ").split(" == ")
    call = shown[1].split(" = ", 1)[1]
    for source, value in ((CLAMP, wanted), (mutant, got)):
        space: dict[str, object] = {}
        exec(source, space)
        assert repr(eval(call, space)) == value
    assert got != wanted


def test_an_exception_reads_as_pytest_shows_it() -> None:
    source = "def size(x):\n    return len(x) + 1"
    shown = evidence(source, source.replace("len(x)", "len(x)[0]"), random.Random(0))
    assert shown == ("TypeError: 'int' object is not subscriptable",)


def test_no_difference_is_no_evidence() -> None:
    assert evidence(CLAMP, CLAMP.replace("x < low", "not x >= low"), random.Random(0)) == ()


def test_an_endless_mutant_is_cut_off() -> None:
    source = "def count(n):\n    while n > 0:\n        n -= 1\n    return n"
    before = sys.gettrace()
    assert evidence(source, source.replace("n -= 1", "n += 1"), random.Random(0)) == ()
    assert sys.gettrace() is before


@pytest.mark.parametrize(
    "body",
    [
        "return open(a)",
        "import os",
        "return a.__class__",
        "return __import__(a)",
        "a.path = 1",
        "return os.remove(a)",
        "return eval(a)",
        "return [0] * 1000000000",
        "return a ** 99",
        "return '{0.real}'.format(a)",
    ],
)
def test_what_could_reach_outside_is_not_run(body: str) -> None:
    assert runs_alone(function("def f(a):\n    return a + 1"))
    assert not runs_alone(function(f"def f(a):\n    {body}"))
