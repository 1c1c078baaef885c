"""Grading and figures: pure."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from evals.compare import compare
from evals.datasets.hide import without
from evals.grade import grade, is_test_file, prediction_row, statuses
from evals.html import as_html
from evals.render import as_json, as_markdown
from evals.report import report
from evals.result import Result, Tokens
from evals.stats import detectable, mcnemar, percentile, wilson
from tools.types import TestCase


@pytest.mark.parametrize(
    ("status", "fixes", "keeps"),
    [
        ("passed", True, True),
        ("xfailed", True, True),
        ("skipped", False, True),
        ("failed", False, False),
        ("error", False, False),
        ("timeout", False, False),
    ],
)
def test_official_semantics(status, fixes, keeps):
    found = statuses([TestCase(id="t::a", outcome=status)])
    assert grade(["t::a"], [], found).resolved is fixes
    assert grade([], ["t::a"], found).resolved is keeps


def test_a_missing_test_is_a_failure_of_both():
    assert not grade(["t::a"], [], {}).resolved
    assert not grade([], ["t::a"], {}).resolved


def test_ids_cut_at_the_first_blank_count_at_their_worst():
    found = {"t::a[x y]": "PASSED", "t::a[x z]": "FAILED", "t::b[1 2]": "PASSED"}
    assert grade(["t::a[x y]"], [], found).resolved
    assert not grade(["t::a[x"], [], found).resolved
    assert grade(["t::b[1"], [], found).resolved


@pytest.mark.parametrize(
    ("path", "left_out"),
    [
        ("pkg/core.py", False),
        ("pkg/contest.py", False),
        ("pkg/latest/x.py", False),
        ("tests/helpers/data.json", True),
        ("pkg/test_core.py", True),
        ("pkg/core_test.py", True),
        ("conftest.py", True),
        ("pkg/conftest.py", True),
        ("setup.cfg", True),
        ("sitecustomize.py", True),
        ("evil.pth", True),
    ],
)
def test_what_is_left_out_of_a_patch(path, left_out):
    assert is_test_file(path) is left_out
    assert is_test_file(path, [path])


def test_predictions_have_the_official_fields():
    row = json.loads(prediction_row("a__b-1", "pointsman-local", "diff"))
    assert row == {
        "instance_id": "a__b-1",
        "model_name_or_path": "pointsman-local",
        "model_patch": "diff",
    }


SOURCE = '''\
import os


@deco
def test_a():
    assert 1


class TestB:
    """Doc."""

    def test_c(self):
        pass

    def test_d(self):
        pass


x = 1
'''


def test_a_hidden_test_goes_with_its_decorators_and_the_rest_stays():
    left = without(SOURCE, [("test_a",), ("TestB", "test_c")])
    assert left == SOURCE.replace("@deco\ndef test_a():\n    assert 1\n", "").replace(
        "    def test_c(self):\n        pass\n", ""
    )


def test_a_class_without_tests_goes_too_and_so_does_a_file_with_nothing_left():
    assert "class" not in (without(SOURCE, [("TestB", "test_c"), ("TestB", "test_d")]) or "class")
    assert without("def test_a(): pass\n", [("test_a",)]) is None
    assert without(SOURCE, [("TestB", "inherited")]) is None


# Reference values: Wilson 1927 by hand for 7 of 20; McNemar 2·(1+10)/2^10.
def test_reference_values():
    assert wilson(7, 20) == pytest.approx((0.1812, 0.5671), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    assert mcnemar(1, 9) == pytest.approx(2 * 11 / 1024)
    assert mcnemar(0, 0) == 1.0
    assert percentile([3, 1, 2, 4], 0.5) == 2
    assert percentile([], 0.9) == 0
    assert detectable(65) == pytest.approx(9 / 65)
    assert detectable(10) is None


@given(st.integers(0, 200), st.integers(1, 200))
def test_an_interval_holds_its_rate(k, n):
    k = min(k, n)
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1


def result(name: str, arm: str, status: str, **more: object) -> Result:
    row = {"seed": 0, "stratum": "reach", "tests_visible": True, **more}
    return Result.from_row({"instance_id": name, "arm": arm, "status": status, **row}, where="test")


TOKENS = Tokens(
    location="local", step_kind="edit", requests=1, tokens_in=10, cached=0, tokens_out=5,
    drafted=4, accepted=3, seconds=1.0,
)  # fmt: skip
RUNS = (
    result("a", "zero", "resolved", verdict="verified", wall_s=4.0, test_s=3.0),
    result("b", "zero", "unresolved", verdict="verified", tests_visible=False),
    result("c", "zero", "infra", reason="no | sandbox"),
    result("a", "local", "resolved", verdict="unverified", tokens=[asdict(TOKENS)]),
    result("b", "local", "resolved", verdict="verified"),
)


def test_a_report_keeps_infrastructure_out_and_names_false_verified():
    found = report(RUNS, command="agent eval run", date="2026-01-02")
    zero = next(a for a in found.arms if a.arm == "zero")
    assert (zero.resolved.k, zero.resolved.n) == (1, 2)
    assert zero.false_verified == ("b",)
    assert zero.infra == (("c", "no | sandbox"),)
    assert zero.overhead_share == pytest.approx(0.25)
    local = next(a for a in found.arms if a.arm == "local")
    assert (local.resolved.k, local.verified.k) == (2, 1)
    assert (local.flows[0].tokens_in, local.flows[0].accepted) == (10, 3)
    text = as_markdown(found)
    assert "agent eval run" in text
    assert "1/2 = 50 %" in text
    assert "no \\| sandbox" in text
    assert "n = 2" in text
    assert json.loads(as_json(found))["arms"][0]["resolved"]["n"] == 2
    assert "<script" not in as_html(
        report((result("<script>", "zero", "resolved"),), command="<script>", date="")
    )


def test_comparing_pairs_only_what_both_ran():
    zero = [r for r in RUNS if r.arm == "zero"]
    local = [r for r in RUNS if r.arm == "local"]
    found = compare(local, zero)
    assert (found.both, found.only_first, found.only_second, found.neither) == (1, ("b",), (), 0)
    assert found.left_out == 1
    assert found.p == 1.0
    with pytest.raises(ConfigError, match="one arm"):
        compare(RUNS, zero)
    with pytest.raises(ConfigError, match="in common"):
        compare(local, [result("z", "zero", "resolved")])
