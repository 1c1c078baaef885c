"""Edit examples: what is shown, what is answered, and that every bug is undone by its fix."""

import ast
import inspect
import random
import shlex
import textwrap
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.edits.line import LineFormat
from tools.errors import EditError
from training.mutate import mutate
from training.operators_expr import EXPRESSION_OPERATORS
from training.operators_stmt import STATEMENT_OPERATORS
from training.render import Edit, answer, apply, chat, edit_prompt, parse
from training.sources import Function, SourceFile, functions, shape

lines = st.lists(st.text(alphabet="ab =():1", max_size=12), min_size=1, max_size=5)


def stdlib_functions() -> list[Function]:
    modules = (textwrap, shlex, ast, random, inspect)
    found = []
    for module in modules:
        text = inspect.getsource(module)
        file = SourceFile(package="python", path=f"{module.__name__}.py", text=text)
        found.extend(functions(file))
    return found


@given(st.integers(1, 30), st.integers(0, 5), lines)
def test_an_answer_is_read_back(first: int, more: int, text: list[str]) -> None:
    edit = Edit(first=first, last=first + more, lines=tuple(text))
    assert parse(answer(edit)) == edit


@given(st.data(), st.lists(st.text(alphabet="ab =():1", max_size=12), min_size=2, max_size=9))
def test_the_products_parser_applies_it_the_same_way(data: st.DataObject, span: list[str]) -> None:
    first = data.draw(st.integers(1, len(span)))
    last = data.draw(st.integers(first, len(span)))
    edit = Edit(first=first, last=last, lines=(*data.draw(lines), "end"))
    wanted = "\n".join(["# above", *apply(edit, span), "# below", ""]).encode()
    before = "\n".join(["# above", *span, "# below", ""]).encode()
    fmt = LineFormat("a.py", 2, len(span) + 1)
    try:
        patch = fmt.parse(answer(edit), {"a.py": before}.get)
    except EditError:
        assert wanted == before
    else:
        assert patch.changes[0].after == wanted


def test_nothing_wrong_is_ok() -> None:
    assert answer(None) == "OK"
    assert parse("OK") is None


@pytest.mark.parametrize("text", ["", "L3", "L0\nx", "L5-4\nx", "line 3\nx", "OK\nx", "L3 \nx"])
def test_other_answers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an edit|no such span"):
        parse(text)


def test_an_edit_past_the_span_is_refused() -> None:
    with pytest.raises(ValueError, match="past the span"):
        apply(Edit(first=2, last=3, lines=("x",)), ["a", "b"])


def test_a_prompt_is_the_products_own() -> None:
    text = edit_prompt("a/b.py", ["def f(x):", "", "    return x"], {3}, ["f(1) -> 1, wanted 2"])
    assert text.split("\n") == [
        "Fix the bug in a/b.py.",
        "! f(1) -> 1, wanted 2",
        "L1 def f(x):",
        "L2 ",
        ">3     return x",
        "",
    ]
    assert chat(text).startswith("<|im_start|>user\nFix")
    assert chat(text).endswith("<|im_end|>\n<|im_start|>assistant\n")


def test_every_mutant_parses_differs_and_is_undone_by_its_fix() -> None:
    rng = random.Random(5)
    seen: Counter[str] = Counter()
    made = 0
    for function in stdlib_functions():
        for _ in range(2):
            mutant = mutate(function.source, rng)
            if mutant is None:
                continue
            made += 1
            seen.update(mutant.operators)
            assert "\n".join(apply(mutant.fix, mutant.lines)) == function.source
            before = ast.parse(textwrap.dedent(function.source))
            after = ast.parse(textwrap.dedent("\n".join(mutant.lines)))
            assert ast.dump(before) != ast.dump(after)
    assert made > 300
    known = set(EXPRESSION_OPERATORS) | set(STATEMENT_OPERATORS)
    assert set(seen) <= known
    assert len(seen) > 0.7 * len(known), f"never drawn: {sorted(known - set(seen))}"


def test_the_same_seed_gives_the_same_bug() -> None:
    source = inspect.getsource(textwrap.indent)
    assert mutate(source, random.Random(3)) == mutate(source, random.Random(3))


def test_copies_have_the_same_shape_whatever_name_and_docstring() -> None:
    first = ast.parse('def f(x):\n    "doc"\n    return x + 1').body[0]
    second = ast.parse("def g(x):\n\n    return (x + 1)  # note").body[0]
    third = ast.parse("def g(x):\n    return x + 2").body[0]
    assert shape(first) == shape(second) != shape(third)
