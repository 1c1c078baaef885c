"""Issue texts as people write them, and the tests that come of them."""

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.reproduce import Draft, extract

MODULES = {
    "mean": "stats",
    "stats": "stats",
    "slugify": "textkit",
    "textkit": "textkit",
    "join": "textkit",
    "clamp": "num.clamp",
    "is_leap": "dates",
    "parse_size": "units",
    "find": "seq",
    "flatten": "seq",
    "chunks": "seq",
    "Cart": "shop",
    "shop": "shop",
}
TEXT = (Path(__file__).parent / "issues.md").read_text()


def cases() -> dict[str, tuple[str, list[str]]]:
    found = {}
    for part in TEXT.split("## ")[1:]:
        name, _, body = part.partition("\n")
        issue = body.split("\n=> ")[0]
        found[name] = (issue, [x[3:] for x in body.splitlines() if x.startswith("=> ")])
    return found


CASES = cases()


def drafts(issue: str) -> tuple[Draft, ...]:
    return extract(issue, resolve=MODULES.get)


@pytest.mark.parametrize("name", CASES)
def test_the_surest_draft_says_what_the_issue_says(name: str) -> None:
    issue, wanted = CASES[name]
    found = drafts(issue)
    if wanted == ["nothing"]:
        assert found == ()
        return
    assert found, "no draft"
    first = found[0]
    for line in wanted:
        if line.startswith("raises "):
            assert first.reason.kind == "raises"
            assert first.reason.exception == line.split()[1]
        else:
            assert line in first.source


@pytest.mark.parametrize("name", CASES)
def test_drafts_are_self_contained_files(name: str) -> None:
    for draft in drafts(CASES[name][0]):
        tree = ast.parse(draft.source)
        names = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
        assert set(draft.tests) <= set(names)
        assert 0 < draft.confidence <= 1


def test_whole_files_are_as_they_should_be() -> None:
    assert drafts(CASES["returns_but_should"][0])[0].source == (
        '"""Drafted from the issue: red as long as the problem is there."""\n\n'
        "from stats import mean\n\n\n"
        "def test_issue():\n    assert mean([1, 2, 3, 6]) == 3\n"
    )
    assert drafts(CASES["should_raise"][0])[0].source == (
        '"""Drafted from the issue: red as long as the problem is there."""\n\n'
        "import pytest\nfrom units import parse_size\n\n\n"
        "def test_issue():\n    with pytest.raises(ValueError):\n        parse_size('')\n"
    )


def test_the_present_output_is_never_the_expected_one_when_both_are_stated() -> None:
    issue = CASES["doctest_actual_then_expected"][0]
    assert "== 'a-b'" in drafts(issue)[0].source
    assert all(d.confidence < 0.5 for d in drafts(issue) if "== 'a--b'" in d.source)


@pytest.mark.parametrize(
    "issue", ["", "   \n\t\n", "\x00\x00", "```", "```python\n", "`f(`", ">>> "]
)
def test_nothing_comes_of_nothing(issue: str) -> None:
    assert drafts(issue) == ()


def test_a_huge_issue_is_bounded() -> None:
    line = "`mean([1, 2])` returns 1 but should return 2. "
    found = drafts("x(" * 200_000 + line)
    assert found == ()
    found = drafts(line + "lorem (ipsum) `dolor` [1, 2] should be expected " * 20_000)
    assert "assert mean([1, 2]) == 2" in found[0].source
    assert len(found) <= 8


def test_a_relative_or_starred_import_is_no_reason_to_give_up() -> None:
    issue = "```python\nfrom stats import *\nassert mean([1]) == 1\n```\n"
    assert "from stats import *" in drafts(issue)[0].source


def test_windows_line_ends() -> None:
    issue = CASES["doctest_traceback"][0].replace("\n", "\r\n")
    assert drafts(issue)[0].reason.exception == "IndexError"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "`mean(",
                "[1]",
                ")`",
                " should ",
                "return ",
                "expected",
                " got ",
                "```",
                "\n",
                ">>> ",
                "mean([2])",
                "TypeError",
                "raises ",
                "# ",
                "'",
                '"',
                "Traceback (most recent",
                " call last):\n",
                'File "x", line 1, in <module>\n',
                "3",
                "None",
                ".",
                ",",
                "é",
            ]
        ),
        max_size=25,
    )
)
def test_law_any_text_is_read_and_every_draft_parses(words: list[str]) -> None:
    for draft in drafts("".join(words)):
        ast.parse(draft.source)


def test_a_demanded_exception_is_a_test_as_it_stands() -> None:
    code = "import pytest\nfrom units import parse_size\nwith pytest.raises(ValueError):\n"
    found = drafts(f"Bad sizes pass\n\n```python\n{code}    parse_size('9 potatoes')\n```\n")
    assert [(d.reason.kind, d.reason.exception) for d in found] == [("silent", "ValueError")]
    assert "with pytest.raises(ValueError):" in found[0].source
    assert "import pytest" in found[0].source
