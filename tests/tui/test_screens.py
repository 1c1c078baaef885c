"""The main screens at 80x24 as SVG, from scripted events: the same events give the same picture.

A changed picture is a change to look at; `--snapshot-update` accepts it.
"""

from pathlib import Path

import pytest

from agent import events as ev
from agent.tui.items import Offer, Sheet
from agent.types import DecodeStats, Outcome, Plan, Route, Step, Task, Totals, Usage
from tests.tui.support import budget, chat, screen, until
from tools.types import FileChange, Patch, Suspect, TestCommand

LOCAL = Route(
    location="local", provider="worker", model="qwen3.5-4b", reason="edit steps go local first"
)
FRONTIER = Route(
    location="frontier",
    provider="anthropic",
    model="claude-opus-5-5",
    reason="plan steps go to the best model there is",
)
STEP = Step(id="s1", kind="edit", goal="Compare with <= so that the limit itself is allowed")
MORE = Step(id="s2", kind="test", goal="Add a test at the limit")
TOTALS = Totals(usd_micro=31_250, tokens_in=5_300, tokens_out=420, tokens_local=2_280, requests=2)
DECODE = DecodeStats(
    strategy="combined",
    prefill_tokens=2_100,
    prefill_s=1.5,
    decode_tokens=180,
    decode_s=2.0,
    drafted=150,
    accepted=120,
)
BEFORE = b"""def allowed(total, limit):
    if total is None:
        return True
    return total < limit


def fee(total):
    if total > 100:
        return 0
    return 5


def label(total):
    if total > 100:
        return "large"
    return "smal"
"""
AFTER = BEFORE.replace(b"total < limit", b"total <= limit").replace(b'"smal"', b'"small"')
PATCH = Patch(changes=(FileChange(path="shop/cart.py", before=BEFORE, after=AFTER),))
OFFER = Offer(
    run_id="20261120-143015-a1b2c3",
    patch=PATCH,
    verified=True,
    reason="the tests that showed the problem are green",
)
RED = "tests/test_cart.py::test_limit_is_allowed"
RUN: tuple[ev.Event, ...] = (
    ev.RunStarted(
        run_id="20261120-143015-a1b2c3",
        task=Task(goal="fix", text="A cart at the limit is refused.", root=Path("/home/ada/shop")),
        base_commit="0123456789abcdef",
        sandbox="bwrap",
        version="1",
    ),
    ev.IndexReady(files=38, symbols=1412, seconds=0.42),
    ev.TestCommandFound(
        command=TestCommand(
            kind="pytest", argv=("python", "-m", "pytest"), source="pyproject.toml"
        ),
        interpreter="/usr/bin/python3",
    ),
    ev.TestsFinished(
        purpose="baseline", status="failed", passed=123, failed=(RED,), duration_s=3.21
    ),
    ev.Reproduced(kind="existing", failing=(RED,), reason="AssertionError: assert False"),
    ev.Localized(
        suspects=(Suspect(path="shop/cart.py", line=13, symbol="allowed", score=0.9),),
        hits=(),
        method="trace+ochiai+search",
    ),
    ev.CandidatesTried(generated=96, tried=40, plausible=0, test_runs=40, duration_s=9.96),
    ev.Routed(step_id="plan", step_kind="plan", route=FRONTIER),
    ev.RequestStarted(
        request_id="r1", attempt=1, ledger_row=1, route=FRONTIER, reserved_usd_micro=100_000
    ),
    ev.RequestFinished(
        request_id="r1",
        ledger_row=1,
        status="settled",
        usage=Usage(input=3_000, cache_read=200, output=240),
        usd_micro=31_250,
        duration_s=4.0,
    ),
    ev.PlanReady(
        plan=Plan(
            summary="The comparison excludes the limit.",
            steps=(STEP, MORE),
            files_in_scope=("shop/cart.py",),
            acceptance=(RED,),
            made_by="anthropic/claude-opus-5-5",
        )
    ),
    ev.StepStarted(step=STEP, attempt=1),
    ev.Routed(step_id="s1", step_kind="edit", route=LOCAL),
    ev.RequestStarted(request_id="r2", attempt=1, ledger_row=2, route=LOCAL, reserved_usd_micro=0),
    ev.TextDelta(step_id="s1", text="shop/cart.py\n<<<<<<< SEARCH\n    return total < limit\n"),
    ev.TextDelta(step_id="s1", text="=======\n    return total <= limit\n>>>>>>> REPLACE\n"),
    ev.RequestFinished(
        request_id="r2",
        ledger_row=2,
        status="settled",
        usage=Usage(input=2_100, output=180),
        usd_micro=0,
        duration_s=3.5,
        decode=DECODE,
    ),
)
END: tuple[ev.Event, ...] = (
    ev.StepFinished(step_id="s1", attempt=1, status="done"),
    ev.StepStarted(step=MORE, attempt=1),
    ev.StepFinished(step_id="s2", attempt=1, status="failed", reason="no new test passes"),
    ev.TestsFinished(purpose="verify", status="passed", passed=124, failed=(), duration_s=3.3),
    ev.Spent(totals=TOTALS, budget_usd_micro=2_000_000),
    ev.RunFinished(
        run_id="20261120-143015-a1b2c3",
        outcome=Outcome(
            verdict="verified",
            reason="the tests that showed the problem are green",
            diff="",
            exit_code=0,
            evidence=(f"red to green: {RED}",),
        ),
        totals=TOTALS,
        duration_s=83.4,
        model_s=7.5,
        test_s=45.0,
        test_runs=43,
    ),
)
LEDGER = Sheet(
    title="Ledger",
    columns=("where", "model", "step", "requests", "spent"),
    rows=(
        ("frontier", "claude-opus-5-5", "plan", "1", "$0.0313"),
        ("local", "qwen3.5-4b", "edit", "1", "$0.00"),
    ),
    notes=("estimate: 1 verified step on claude-opus-5-5 (frontier) would have cost $0.02",),
)


@pytest.fixture
def app(tmp_path):
    return chat(budget(tmp_path / "budget"))


def scripted(app, *items, press=(), ready=lambda: True):
    """Feed the items, settle what differs between machines, press keys."""

    async def before(pilot):
        app.input.cursor_blink = False
        await until(pilot, lambda: "budget @" in screen(app))
        app.heading.tell("shop @ main", "sandbox bwrap · local qwen3.5-4b", local_only=False)
        for item in items:
            await app.on_chat_app_came(app.Came(item))
        await pilot.pause()
        await pilot.press(*press)
        await until(pilot, ready)
        await pilot.pause(0.2)

    return before


def test_start(app, snap_compare):
    assert snap_compare(app, run_before=scripted(app))


def test_a_run_with_plan_tests_and_meter(app, snap_compare):
    before = scripted(app, *RUN, *END)
    assert snap_compare(app, run_before=before, terminal_size=(130, 40))


def test_the_same_run_at_80x24_with_the_plan_opened(app, snap_compare):
    assert snap_compare(app, run_before=scripted(app, *RUN, *END, press=["f2"]))


def test_review_with_one_hunk_accepted(app, snap_compare):
    assert snap_compare(app, run_before=scripted(app, OFFER, press=["a"]))


def test_review_side_by_side(app, snap_compare):
    assert snap_compare(app, run_before=scripted(app, OFFER, press=["s", "a", "r"]))


def test_ledger(app, snap_compare):
    assert snap_compare(app, run_before=scripted(app, LEDGER))


def test_help(app, snap_compare):
    assert snap_compare(app, run_before=scripted(app, press=["f1"]))
