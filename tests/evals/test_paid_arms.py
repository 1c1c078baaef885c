"""Arms with models that cost something, against loopback servers: who is asked, and what it costs.

Scripted answers prove plumbing and accounting: they are in no
table of results.
"""

import json
from datetime import UTC, datetime

import pytest

from agent import config
from agent.prices import DEFAULT_FRONTIER, Prices
from agent.types import Usage
from evals.arms import arm
from evals.executors.process import run_one
from evals.report import report
from evals.result import Result
from evals.runner import Plan, units_of
from tests.evals import tiny
from tests.loopback import dialects, serve
from tests.loopback.server import Loopback, Received, Reply

PLAN = json.dumps(
    {
        "summary": "the sign is wrong",
        "steps": [{"kind": "edit", "goal": "fix it", "files": ["till.py"], "symbols": ["total"]}],
    }
)
RIGHT = f"till.py\n<<<<<<< SEARCH\n{tiny.NEW}=======\n{tiny.OLD}>>>>>>> REPLACE\n"
WRONG = RIGHT.replace(tiny.OLD, tiny.OLD.replace("- discount", "- 2 * discount"))


def wants_edit(request: Received) -> bool:
    return b"SEARCH" in request.raw


def served(frontier: Loopback, onprem: Loopback) -> config.Settings:
    """No model but these two."""
    return config.Settings(
        local_model="none",
        onprem_url=onprem.url,
        onprem_model="coder",
        anthropic_base_url=frontier.url,
    )


def run_arm(name, tmp_path, monkeypatch, *, edits: str) -> tuple[Result, int, int]:
    """The result, and how many requests the frontier and the endpoint got."""

    def paid(request: Received) -> Reply:
        text = RIGHT if wants_edit(request) else PLAN
        return dialects.anthropic(text, usage={"input_tokens": 1000}, output_tokens=200)

    def own(request: Received) -> Reply:
        return dialects.openai(edits if wants_edit(request) else PLAN)

    with serve(paid) as frontier, serve(own) as onprem:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test-0000000000")
        # the search for single edits would find it without any of them
        plan = Plan(
            instances=(tiny.instance(tmp_path / "s"),),
            arms=(arm(name),),
            settings=served(frontier, onprem),
            zero_token_s=0.001,
        )
        (unit,) = units_of(plan)
        found = run_one(unit, tmp_path / "run" / unit.key)
    return found, len(frontier.received), len(onprem.received)


@pytest.mark.parametrize(
    ("name", "edits", "asked"),
    [
        ("frontier-only", WRONG, {("frontier", "plan"), ("frontier", "edit")}),
        ("onprem", RIGHT, {("onprem", "plan"), ("onprem", "edit")}),
        (
            "escalate",
            WRONG,
            {
                ("frontier", "plan"),
                ("onprem", "edit"),
                ("onprem", "repair"),
                ("frontier", "repair"),
            },
        ),
    ],
    ids="frontier-only onprem escalate".split(),
)
def test_an_arm_asks_whom_it_should_and_pays_for_what_it_asked(
    name, edits, asked, tmp_path, monkeypatch
):
    found, paid, own = run_arm(name, tmp_path, monkeypatch, edits=edits)
    assert found.status == "resolved", found
    assert {(t.location, t.step_kind) for t in found.tokens} == asked
    count = {"frontier": 0, "onprem": 0}
    for group in found.tokens:
        count[group.location] += group.requests
        read, written = (1000, 200) if group.location == "frontier" else (12, 4)
        assert group.tokens_in == read * group.requests
        assert group.tokens_out == written * group.requests
    assert count == {"frontier": paid, "onprem": own}
    usage = Usage(input=1000, output=200)
    each = Prices().price(DEFAULT_FRONTIER, usage, datetime.now(UTC))
    assert each is not None
    assert found.usd_micro == paid * each  # the user's own endpoint costs nothing
    (told,) = report((found,), command="c", date="d").arms
    assert told.per_resolved is not None
    assert told.per_resolved.usd_micro == found.usd_micro


def test_answers_of_the_paid_arms_are_counted_and_nothing_else_is(tmp_path, monkeypatch):
    """The frontier plans, the endpoint edits: plumbing and accounting, never a result."""
    one = tiny.instance(tmp_path / "s")
    with (
        serve([dialects.anthropic(PLAN)]) as frontier,
        serve([dialects.openai(RIGHT)]) as onprem,
    ):
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test-0000000000")
        plan = Plan(
            instances=(one,),
            arms=(arm("plan-frontier"),),
            seeds=(7,),
            temperature=0.8,
            settings=served(frontier, onprem),
        )
        (unit,) = units_of(plan)
        assert "sk-ant" not in unit.to_json()
        directory = tmp_path / "run" / "units" / unit.key
        found: Result = run_one(unit, directory)
    assert found.status == "resolved", found
    assert found.verdict == "verified"
    assert [(t.location, t.step_kind, t.requests) for t in found.tokens] == [
        ("frontier", "plan", 1),
        ("onprem", "edit", 1),
    ]
    assert found.usd_micro is None or found.usd_micro > 0
    assert len(found.rows) == len(frontier.received) + len(onprem.received) == 2
    assert found.plan
    kept = "".join(p.read_text("utf-8", "replace") for p in directory.rglob("*") if p.is_file())
    assert "sk-ant-test" not in kept
    sent = onprem.received[0].body
    assert (sent["seed"], sent["temperature"]) == (7, 0.8)
