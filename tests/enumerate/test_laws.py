"""Candidates: what is never produced, and in which order they come."""

import ast
import textwrap
import warnings
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.enumerate.asked import generate, suspects
from tests.enumerate.reached import REACHED
from tools.enumerate import OPERATORS, apply, candidates, normal_form
from tools.types import Candidate

MODULE = textwrap.dedent(
    '''\
    """Shelf of boxes — with an é and an 漢 before the code."""
    LIMIT = 10


    class Shelf:
        """Boxes by name."""

        def __init__(self, boxes=None, limit: int = LIMIT):
            self.boxes = dict(boxes or {})
            self.limit = limit

        def add(self, name: str, size):
            label = "é漢" + name.strip(); total = self.total() + size
            if total > self.limit and not self.boxes:
                raise ValueError(f"no room for {label}")
            self.boxes[label] = size
            return label

        def total(self):
            count = 0
            for size in self.boxes.values():
                if size is None:
                    continue
                count += size
            return count

        async def load(self, reader):
            while True:
                line = await reader.readline()
                if not line:
                    break
                self.add(*line.split("=", 1))
    '''
)


@cache
def everything() -> tuple[Candidate, ...]:
    return tuple(generate(MODULE, [2, 9, 13, 15, 24, 29, 31], limit=1500))


def test_every_candidate_compiles_and_changes_only_its_lines() -> None:
    data = MODULE.encode()
    found = everything()
    lines = MODULE.splitlines(keepends=True)
    for candidate in found:
        patched = apply(data, candidate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(patched, "m.py", "exec", dont_inherit=True)
        head = "".join(lines[: candidate.line - 1]).encode()
        tail = "".join(lines[candidate.end_line :]).encode()
        assert patched.startswith(head)
        assert patched.endswith(tail)
        assert candidate.before == "".join(lines[candidate.line - 1 : candidate.end_line])
    assert len(found) > 500


def test_no_two_candidates_are_the_same_program() -> None:
    data = MODULE.encode()
    dumps = [ast.dump(ast.parse(apply(data, c))) for c in everything()]
    assert len(set(dumps)) == len(dumps)
    assert ast.dump(ast.parse(data)) not in dumps


def test_the_same_call_gives_the_same_list() -> None:
    assert generate(MODULE, [15, 24, 25]) == generate(MODULE, [15, 24, 25])


def test_order_is_by_tier_within_a_line_and_fair_between_lines() -> None:
    found = generate(MODULE, [15, 24, 25])
    tiers = [c.tier for c in found if c.line == 24]
    assert tiers == sorted(tiers)
    first = found[:12]
    assert {c.line for c in first} >= {15, 24}


def test_many_lines_do_not_keep_rare_edits_of_the_first_from_coming() -> None:
    source = "def f(a, b):\n" + "".join(f"    x{i} = a + b\n" for i in range(60)) + "    return b\n"
    found = generate(source, list(range(2, 62)))
    first_rare = next(i for i, c in enumerate(found) if c.line == 2 and c.tier == 1)
    last_cheap = max(i for i, c in enumerate(found) if c.line == 61 and c.tier == 0)
    assert first_rare < last_cheap


@pytest.mark.parametrize("eol", ["\r\n", "\r"])
def test_line_ends_are_kept(eol: str) -> None:
    data = MODULE.replace("\n", eol).encode()
    found = list(candidates(data, "m.py", suspects([15, 24, 25]), limit=250))
    assert len(found) == 250
    for candidate in found:
        patched = apply(data, candidate)
        rest = patched.replace(eol.encode(), b"")
        assert b"\n" not in rest
        assert b"\r" not in rest


def test_bom_and_declared_encoding_are_kept() -> None:
    bom = "\ufeffdef f(a):\n    return a < 1  # é\n".encode()
    one = next(iter(candidates(bom, "m.py", suspects([2]), limit=1)))
    assert apply(bom, one).startswith(b"\xef\xbb\xbfdef f")
    latin = "# -*- coding: latin-1 -*-\ndef f(a):\n    return 'é' + a\n".encode("latin-1")
    found = list(candidates(latin, "m.py", suspects([3]), limit=50))
    swap = next(c for c in found if "'é' - a" in c.after)
    assert "'é' - a".encode("latin-1") in apply(latin, swap)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        (b"def f(:\n", "m.py"),
        (b"\xff\xfe\x00", "m.py"),
        (b"", "m.py"),
        (b"fn main() {}", "m.rs"),
        (b"x = 1\x00\n", "m.py"),
        (b"# coding: nonsense\nx = 1\n", "m.py"),
    ],
)
def test_what_is_not_python_gives_nothing(source: bytes, path: str) -> None:
    assert list(candidates(source, path, suspects([1], path), limit=10)) == []


def test_limit_other_files_and_no_suspects() -> None:
    data = MODULE.encode()
    assert len(list(candidates(data, "m.py", suspects([24]), limit=7))) == 7
    assert list(candidates(data, "m.py", suspects([24]), limit=0)) == []
    assert list(candidates(data, "m.py", suspects([24], "other.py"), limit=7)) == []
    assert list(candidates(data, "m.py", (), limit=7)) == []
    assert list(candidates(data, "m.py", suspects([999]), limit=7)) == []


def test_a_module_constant_used_on_a_suspect_line_is_tried_too() -> None:
    source = "SIZE = 9\n\ndef f(a):\n    return a % SIZE\n"
    assert any(c.line == 1 and c.after == "SIZE = 10\n" for c in generate(source, [4]))


def test_a_changed_file_is_refused() -> None:
    one = generate(MODULE, [24])[0]
    with pytest.raises(ValueError, match="changed since"):
        apply(b"x = 1\n" * 40, one)


def test_operators_have_unique_names_and_a_line_of_documentation() -> None:
    names = [op.name for op in OPERATORS]
    assert len(set(names)) == len(names)
    assert len(names) >= 45
    assert all(len(op.about) > 15 and op.about.endswith(".") for op in OPERATORS)


def test_every_operator_yields_something_somewhere() -> None:
    used: set[str] = set()
    for buggy, _ in REACHED.values():
        used |= {c.operator for c in generate(buggy, list(range(1, 12)))}
    used |= {c.operator for c in everything()}
    assert {op.name for op in OPERATORS} - used == set()


def test_normal_form_joins_synonyms_only() -> None:
    assert normal_form(b"not a == b") == normal_form(b"a != b")
    assert normal_form(b"a > b") == normal_form(b"b < a")
    assert normal_form(b"a > b") != normal_form(b"a >= b")


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "0", "1", "'é'", "a.x", "f(a)", "a[1]", "None"]),
    lambda e: st.one_of(
        st.builds("({} {} {})".format, e, st.sampled_from(["+", "-", "<", "in", "and", "or"]), e),
        st.builds("not {}".format, e).map("({})".format),
        st.builds("f({}, {})".format, e, e),
        st.builds("{} if {} else {}".format, e, e, e).map("({})".format),
    ),
    max_leaves=6,
)


@settings(max_examples=10, deadline=None)
@given(EXPRESSIONS)
def test_law_whatever_the_expression_candidates_compile(expression: str) -> None:
    source = f"def f(a, b):\n    return {expression}\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for candidate in generate(source, [2], limit=300):
            compile(apply(source.encode(), candidate), "m.py", "exec", dont_inherit=True)
