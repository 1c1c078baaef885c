"""Drafts are run by the real runner on real code, and judged."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.reproduce import (
    Accepted,
    Draft,
    Reason,
    Rejected,
    extract,
    judge,
    judge_after,
    parse_model_test,
    render_request,
)
from tools.errors import UnparseableEdit
from tools.sandbox.direct import DirectExecution
from tools.testrun.runner import TestRunner
from tools.types import Symbol, TestCase, TestCommand, TestRun

COMMAND = TestCommand(kind="pytest", argv=(sys.executable, "-m", "pytest"), source="--test")
BUGGY = "def mean(values):\n    return sum(values) / (len(values) - 1)\n"
FIXED = "def mean(values):\n    return sum(values) / len(values)\n"


def draft(source: str, kind: str = "value", exception: str = "", origin: str = "code") -> Draft:
    return Draft(
        source=source,
        tests=("test_issue",),
        reason=Reason(kind=kind, exception=exception),  # type: ignore[arg-type]
        confidence=1.0,
        origin=origin,  # type: ignore[arg-type]
    )


IMPORT = "import pytest\nfrom stats import mean\n\ndef test_issue():\n    "
DRAFTS = {
    "right": (draft(IMPORT + "assert mean([2, 4]) == 3"), ""),
    "raises": (draft(IMPORT + "mean([1])", "raises", "ZeroDivisionError"), ""),
    "any value": (draft(IMPORT + "assert mean([2, 4]) == 3", "any"), ""),
    "any raise": (draft(IMPORT + "assert mean([1]) == 1", "any"), ""),
    "silent": (
        draft(
            IMPORT + "with pytest.raises(ValueError):\n        mean([1, 2])", "silent", "ValueError"
        ),
        "",
    ),
    "passes": (draft(IMPORT + "assert mean([2, 4]) == 6.0"), "passes already"),
    "raises where a value is due": (draft(IMPORT + "assert mean([1]) == 1"), ""),
    "another error than the sentence says": (
        draft(IMPORT + "assert mean([1]) == 1", origin="phrase"),
        "not with the value",
    ),
    "no such part": (draft(IMPORT + "assert {}[mean([2, 4])] == 3"), ""),
    "called wrongly": (draft(IMPORT + "assert mean([2], 4) == 3"), "not with the value"),
    "a file of the author's": (
        draft(IMPORT + "assert mean(open('numbers.txt')) == 3"),
        "not with the value",
    ),
    "another type": (draft(IMPORT + "mean([1])", "raises", "KeyError"), "the issue says KeyError"),
    "own name": (draft(IMPORT + "assert maen([1]) == 1"), "itself is wrong"),
    "own type": (draft(IMPORT + "assert 1 + 'a' == mean", "any"), "itself raises TypeError"),
    "import": (draft("from nowhere import x\n\ndef test_issue():\n    x()"), "cannot be collected"),
    "syntax": (draft("def test_issue(:\n"), "cannot be collected"),
    "fixture": (draft("def test_issue(nothing):\n    assert 0"), "drafted test"),
}


def run_all(root: Path, code: str) -> TestRun:
    (root / "stats.py").write_text(code)
    for index, (one, _) in enumerate(DRAFTS.values()):
        (root / f"test_d{index}.py").write_text(one.source)
    runner = TestRunner(
        sandbox=DirectExecution(),
        root=root,
        command=COMMAND,
        interpreter=Path(sys.executable),
        original_root=None,
    )
    return runner.run((), timeout_s=60)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> TestRun:
    return run_all(tmp_path_factory.mktemp("before"), BUGGY)


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> TestRun:
    return run_all(tmp_path_factory.mktemp("after"), FIXED)


@pytest.mark.parametrize("name", DRAFTS)
def test_red_only_for_the_stated_reason(before: TestRun, name: str) -> None:
    one, wrong = DRAFTS[name]
    path = f"test_d{list(DRAFTS).index(name)}.py"
    found = judge(_only(before, path), one, path=path)
    if wrong:
        assert isinstance(found, Rejected)
        assert wrong in found.reason
    else:
        assert isinstance(found, Accepted), found
        assert found.tests == (f"{path}::test_issue",)
        assert found.evidence


@pytest.mark.parametrize(("name", "good"), [("right", True), ("raises", True), ("passes", False)])
def test_green_afterwards(after: TestRun, name: str, good: bool) -> None:
    path = f"test_d{list(DRAFTS).index(name)}.py"
    found = judge_after(_only(after, path), DRAFTS[name][0], path=path)
    assert isinstance(found, Accepted if good else Rejected)


def _only(run: TestRun, path: str) -> TestRun:
    return replace(run, cases=tuple(c for c in run.cases if c.id.split("::")[0] == path))


def test_from_issue_to_red(before: TestRun) -> None:
    """The first draft of an issue is the same file as the one known to be red."""
    issue = "`mean([2, 4])` returns 6.0 but should return 3."
    first = extract(issue, resolve={"mean": "stats"}.get)[0]
    assert "assert mean([2, 4]) == 3" in first.source
    path = "test_d0.py"
    assert isinstance(judge(_only(before, path), first, path=path), Accepted)


def test_infrastructure_is_not_a_failure() -> None:
    run = TestRun(
        command=COMMAND,
        cases=(TestCase(id="t.py::test_issue", outcome="failed", message="AssertionError"),),
        status="infra",
        exit_code=1,
        output="",
        duration_s=0.0,
    )
    found = judge(run, DRAFTS["right"][0])
    assert isinstance(found, Rejected)
    assert "infrastructure" in found.reason
    empty = replace(run, cases=(), status="no_tests")
    assert isinstance(judge(empty, DRAFTS["right"][0]), Rejected)


def test_the_prompt_and_its_answer() -> None:
    symbol = Symbol(
        path="src/stats/core.py",
        name="mean",
        kind="function",
        line=1,
        end_line=2,
        signature="def mean(values)",
    )
    text = render_request("the mean is wrong", [symbol], rejected=["it passes already"])
    assert "- stats.core: def mean(values)" in text
    assert "it passes already" in text
    test = "from stats import mean\n\ndef test_mean():\n    assert mean([1]) == 1\n"
    answer = f"Sure:\n```python\n{test}```\n"
    found = parse_model_test(answer)
    assert found.tests == ("test_mean",)
    assert found.reason.kind == "any"
    assert "rejected" not in render_request("x", [])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("I cannot do that.", "one pytest file"),
        ("```python\nprint(1)\n```", "one pytest file"),
        ("```python\ndef test_a(:\n```", "not valid Python"),
        ("```python\ndef test_a():\n    assert False\n```", "does not test anything"),
        ("```python\ndef test_a():\n    pytest.fail('x')\n```", "pytest.fail"),
        ("```python\ndef test_a():\n    pytest.skip('x')\n```", "must run"),
        ("```python\n@pytest.mark.xfail\ndef test_a():\n    f()\n```", "must run"),
        ("```python\ndef test_a():\n    pass\n```", "calls nothing"),
        ("```python\n# def test_\nx = 1\n```", "no function"),
    ],
)
def test_answers_that_prove_nothing_are_refused_in_words(answer: str, says: str) -> None:
    with pytest.raises(UnparseableEdit, match=says):
        parse_model_test(answer)
