"""Figures and pages: pure, but for what is written to disk."""

import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from math import inf, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import config
from agent.cli.main import main
from evals.arms import arm, flags_of, missing
from evals.compare import compare, sentence
from evals.html import as_html
from evals.minisweagent import as_trajectory
from evals.render import as_json, as_markdown, dollars
from evals.report import report
from evals.result import Result, Spent, Tokens
from evals.showing import summarised, write_report
from evals.stats import bootstrap, cluster_difference, pass_at_k


def result(name: str, arm: str, status: str, **more: object) -> Result:
    row = {"seed": 0, "stratum": "reach", "tests_visible": True, **more}
    return Result.from_row({"instance_id": name, "arm": arm, "status": status, **row}, where="test")


def runs(arm: str, resolved: int, n: int, **more: object) -> list[Result]:
    return [result(f"i{k}", arm, "resolved" if k < resolved else "unresolved", **more) for k in range(n)]  # fmt: skip  # noqa: E501


# --------------------------------------------------------------------------- statistics


def test_pass_at_k_is_the_share_of_draws_that_hold_a_solved_run():
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3)
    # by hand: 1 - C(7,5)/C(10,5) = 1 - 21/252
    assert pass_at_k(10, 3, 5) == pytest.approx(1 - 21 / 252)
    assert pass_at_k(5, 0, 5) == 0
    with pytest.raises(ValueError, match="from 1 to 2"):
        pass_at_k(2, 1, 3)


@given(st.integers(1, 12), st.data())
def test_pass_at_k_never_falls_with_k(n, data):
    solved = data.draw(st.integers(0, n))
    shares = [pass_at_k(n, solved, k) for k in range(1, n + 1)]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(solved / n)


def test_a_bootstrap_of_a_mean_is_about_as_wide_as_theory_says():
    values = [0.0] * 50 + [1.0] * 50
    low, high = bootstrap(values, lambda drawn: sum(drawn) / len(drawn))
    assert (low, high) == bootstrap(values, lambda drawn: sum(drawn) / len(drawn))
    assert high - low == pytest.approx(2 * 1.96 * sqrt(0.25 / 100), rel=0.12)


def test_seeds_of_one_instance_are_no_further_evidence():
    """Ten seeds that always agree make the interval no narrower than one."""
    pairs = [([k < 12], [k < 6]) for k in range(20)]
    many = [(a * 10, b * 10) for a, b in pairs]
    assert cluster_difference(many) == cluster_difference(pairs)
    assert cluster_difference(pairs)[0] == pytest.approx(0.3)
    assert cluster_difference([]) == (0.0, -1.0, 1.0)


# --------------------------------------------------------------------------- comparing


def test_one_seed_is_tested_exactly_and_several_by_instance():
    first, second = runs("a", 15, 20), runs("b", 5, 20)
    one = compare(first, second)
    assert (one.difference, one.p) == (0.5, pytest.approx(2 / 2**10))
    assert "a resolves more here, beyond chance" in sentence(one)
    again = [replace(r, seed=1) for r in first + second]
    two = compare(first + again[:20], second + again[20:])
    assert two.p is None
    assert (two.instances, two.seeds, two.n) == (20, 2, 40)
    assert (two.low, two.high) == (one.low, one.high)
    assert two.low > 0
    same = compare(first, [replace(r, arm="c") for r in first])
    assert "not told from chance" in sentence(same)


def test_groups_are_compared_apart():
    sides = [
        [replace(r, stratum="mined" if n % 2 else "reach") for n, r in enumerate(runs(name, k, 8))]
        for name, k in (("a", 8), ("b", 0))
    ]
    found = compare(*sides)
    assert [label for label, _ in found.groups] == ["mined, tests visible", "reach, tests visible"]
    assert all(group.n == 4 for _, group in found.groups)
    assert any("mined, tests visible: difference +100.0%" in line for line in found.lines())


def test_compare_fails_below_the_wanted_difference(tmp_path, capsys):
    rows = runs("a", 3, 8) + runs("b", 5, 8)
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(asdict(r)) + "\n" for r in rows))
    words = ["eval", "compare", f"{path}:a", f"{path}:b"]
    assert main([*words, "--fail-below", "-0.3"]) == 0
    assert main([*words, "--fail-below", "-0.2"]) == 1
    out = capsys.readouterr().out
    assert "difference -25.0%" in out
    assert "n = 8 instances" in out


# --------------------------------------------------------------------------- the report

TOKENS = (
    Tokens(location="frontier", step_kind="plan", requests=1, tokens_in=80, cached=10,
           tokens_out=10, drafted=0, accepted=0, seconds=2.0),
    Tokens(location="local", step_kind="edit", requests=2, tokens_in=200, cached=50,
           tokens_out=50, drafted=40, accepted=30, seconds=1.0),
)  # fmt: skip
ROWS = (
    Spent(step_kind="plan", location="frontier", model="opus", state="settled", tokens_in=80,
          cached=10, tokens_out=10, usd_micro=1500, seconds=2.0),
)  # fmt: skip
EVIL = "<script>alert(1)</script>"
PAID = [
    replace(r, usd_micro=2_000_000, tokens=TOKENS, rows=ROWS, plan=("fix <it>", "edit a.py: b"))
    for r in runs("plan-frontier", 5, 10, patch="--- a\n+++ b\n+x < 1\n", wall_s=10.0)
]
MIXED = [
    *PAID,
    *runs("zero", 3, 10, wall_s=5.0, memory_mb=120),
    result("i10", "zero", "infra", reason=EVIL),
    result("i11", "zero", "unresolved", stratum="mined", tests_visible=False, exit_reason=EVIL),
    result("i12", "zero", "unresolved", verdict="verified", stratum=""),
]


def test_runs_that_ended_at_a_limit_are_said_to_have():
    ended = replace(MIXED[0], instance_id="i99", exit_code=3)
    said = " ".join(report([*MIXED, ended], command="c", date="d").statement)
    assert "ended at a limit of time or money: 1 of plan-frontier." in said
    assert "limit of time" not in " ".join(report(MIXED, command="c", date="d").statement)


def test_cost_share_and_order():
    found = report(MIXED, command="c", date="d", order=("zero", "plan-frontier"))
    zero, paid = found.arms
    assert (zero.arm, paid.arm) == ("zero", "plan-frontier")
    assert paid.per_resolved is not None
    assert paid.per_resolved.usd_micro == pytest.approx(4_000_000)
    assert 2_000_000 < paid.per_resolved.low < 4_000_000 < paid.per_resolved.high
    assert paid.local_share == pytest.approx(0.75)
    assert zero.local_share is None
    assert [g.label for g in zero.groups] == [
        "reach, tests visible",
        "mined, tests hidden",
        "no stratum, tests visible",
    ]
    assert [(f.step_kind, f.tokens) for f in paid.flows] == [("plan", 1000), ("edit", 3000)]
    assert any("claims about real bugs rest on these alone" in s for s in found.statement)
    unknown = report([replace(PAID[0], usd_micro=None)], command="c", date="d").arms[0]
    assert unknown.per_resolved is None
    assert unknown.usd_micro is None


def test_nothing_resolved_costs_no_finite_sum():
    found = report(runs("mini", 0, 4, usd_micro=10), command="c", date="d")
    assert found.arms[0].per_resolved is not None
    assert found.arms[0].per_resolved.usd_micro == inf
    assert json.loads(as_json(found))["arms"][0]["per_resolved"]["usd_micro"] is None
    assert "none resolved" in as_markdown(found)
    assert (dollars(None), dollars(inf), dollars(0), dollars(1234)) == (
        "unknown",
        "∞",
        "$0.00",
        "$0.0012",
    )


def test_several_seeds_give_pass_at_k_and_an_interval_over_instances():
    rows = [replace(r, seed=s) for r in runs("mini", 6, 12) for s in range(3)]
    (found,) = report(rows, command="c", date="d").arms
    assert found.pass_at == ((1, 0.5), (2, 0.5), (3, 0.5))
    (once,) = report(rows[::3], command="c", date="d").arms
    assert found.resolved.high - found.resolved.low > 0.8 * (once.resolved.high - once.resolved.low)
    assert "unbiased pass@k" in as_markdown(report(rows, command="c", date="d"))


class Page(HTMLParser):
    """Addresses, elements that are left open, and the text."""

    VOID = ("meta", "line", "circle", "rect", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("href", "src", "action", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in self.VOID or self.open.pop() == tag


def test_pages_are_whole_self_contained_and_escaped(tmp_path):
    found = report(MIXED, command=EVIL, date="d", rejected=[("x", EVIL)])
    write_report(found, tmp_path, run=tmp_path)
    files = sorted(tmp_path.rglob("*.html"))
    assert len(files) == 1 + len({r.instance_id for r in MIXED})
    for file in files:
        text = file.read_text()
        page = Page(text)
        assert page.open == []
        assert not page.tags & {"script", "link", "img", "iframe", "object"}
        assert "url(" not in text
        assert "@import" not in text
        for address in page.addresses:
            assert not re.match(r"\w+:|//", address), address
            assert (file.parent / address).is_file(), address
    one = (tmp_path / "instances" / "i0.html").read_text()
    for told in ("fix &lt;it&gt;", "+x &lt; 1", "opus", "$0.0015", "plan-frontier", "zero"):
        assert told in one
    main_page = (tmp_path / "report.html").read_text()
    assert main_page.count("<svg") == 3
    assert "prefers-color-scheme:dark" in main_page
    assert "5/10" in main_page
    assert 'href="instances/i0.html"' in main_page


def test_names_of_arms_that_are_alike_do_not_lie_on_each_other():
    from evals.plots import LABEL, _apart

    places = [(100.0, 250.0), (104.0, 250.0), (99.0, 244.0), (400.0, 250.0)]
    heights = _apart(places)
    assert heights[0] == 250.0
    assert heights[3] == 250.0  # far enough aside
    assert heights[1] <= heights[0] - LABEL[1]
    assert len({round(h / LABEL[1]) for h in heights[:3]}) == 3
    shown = [(x, h) for (x, _), h in zip(places, heights, strict=True)]
    for n, (x, y) in enumerate(shown):
        assert not [1 for a, b in shown[:n] if abs(x - a) < LABEL[0] and abs(y - b) < LABEL[1]]


def test_plots_say_in_words_what_they_show():
    text = as_html(report(MIXED, command="c", date="d"))
    assert "<title>plan-frontier: 5 of 10, 24% to 76%</title>" in text
    assert "plan-frontier: 50% resolved, $2.0000 an instance" in text
    assert "plan-frontier, edit, local: 3,000 tokens" in text


def test_stored_runs_are_rendered_the_last_first(tmp_path, capsys):
    for day, k in (("2026-01-01", 2), ("2026-02-01", 4)):
        place = tmp_path / day
        place.mkdir()
        rows = runs("zero", k, 5)
        (place / "results.jsonl").write_text("".join(json.dumps(asdict(r)) + "\n" for r in rows))
        (place / "run.json").write_text(json.dumps({"date": day, "command": f"made {day}"}))
    found = summarised(tmp_path)
    assert found.arms[0].resolved.k == 4
    assert [(e.date, e.arms[0][1].k) for e in found.earlier] == [("2026-01-01", 2)]
    assert main(["eval", "report", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "made 2026-02-01" in out
    assert "made 2026-01-01" in out


# --------------------------------------------------------------------------- arms and exports


def test_arms_take_models_and_endpoints_from_the_user_and_never_a_key():
    own = config.Settings(
        local_model="/m.gguf",
        onprem_url="http://h",
        onprem_model="q",
        anthropic_api_key="sk-secret",
    )
    for name in ("plan-frontier", "escalate", "onprem", "local-only", "frontier-only"):
        one = arm(name)
        assert missing(one, own, {}) == ""
        assert "sk-secret" not in str(flags_of(one, own))
    assert ("onprem_url", "http://h") in flags_of(arm("plan-frontier"), own)
    assert ("local_model", "/m.gguf") in flags_of(arm("local-only"), own)
    bare = config.Settings()
    assert missing(arm("frontier-only"), bare, {}) == "no key for the paid API"
    assert missing(arm("frontier-only"), bare, {"ANTHROPIC_API_KEY": "x"}) == ""
    assert "onprem.url" in missing(arm("onprem"), bare, {})
    assert missing(arm("local-only"), bare, {})
    assert arm("local") is arm("all")


def test_a_trajectory_becomes_one_of_mini_swe_agent(tmp_path):
    """From events of a recorded run, in the shape its documentation gives."""
    from agent import events
    from agent.types import Outcome, Task, Totals

    done = Outcome(
        verdict="verified", reason="green", diff="diff --git a/x b/x\n", exit_code=0,
        next_command="agent undo", applied=True,
    )  # fmt: skip
    story = [
        events.RunStarted(
            run_id="r", task=Task(goal="fix", text="it is red", root=tmp_path), base_commit=None,
            sandbox="bwrap", version="1",
        ),
        events.IndexReady(files=3, symbols=9, seconds=0.1),
        events.CompletionRecorded(
            request_id="q", fingerprint="f",
            completion_json=json.dumps({"text": "an edit", "usage": {"output": 3}}),
        ),
        events.EditProposed(step_id="s", diff="diff --git a/x b/x\n"),
        events.RunFinished(
            run_id="r", outcome=done, totals=Totals(usd_micro=2500), duration_s=1, model_s=0,
            test_s=0, test_runs=1,
        ),
    ]  # fmt: skip
    found = as_trajectory(story, "a__b-1")
    assert found["trajectory_format"] == "mini-swe-agent-1.1"
    assert found["info"]["exit_status"] == "Submitted"
    assert found["info"]["submission"] == done.diff
    assert found["info"]["model_stats"]["instance_cost"] == pytest.approx(0.0025)
    roles = [m["role"] for m in found["messages"]]
    assert roles[:2] == ["system", "user"]
    assert roles[-1] == "exit"
    answers = [m["content"] for m in found["messages"] if m["role"] == "assistant"]
    assert answers == ["an edit", "```diff\ndiff --git a/x b/x\n```"]
    assert any("9 symbols" in m["content"] for m in found["messages"])
    assert all(isinstance(m["content"], str) for m in found["messages"])
