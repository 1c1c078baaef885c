"""The main screens at 80x24 and 160x50 as SVG: the same events and keys give the same picture.

A changed picture is a change to look at; `--snapshot-update` accepts it.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from pytest_textual_snapshot import SVGImageExtension

from agent import events as ev
from agent.approvals import Approval, Remembered
from agent.tui.items import Offer, Question, Sheet, Tested
from agent.types import DecodeStats, Outcome, Plan, Route, Step, Task, Totals, Usage
from tests.tui.support import budget, chat, screen, until
from tools.types import FileChange, Patch, Suspect, TestCase, TestCommand, TestRun

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


TESTED = Tested(
    ids=(),
    run=TestRun(
        command=TestCommand(
            kind="pytest", argv=("python", "-m", "pytest"), source="pyproject.toml"
        ),
        cases=(
            TestCase(id=RED, outcome="failed", message="AssertionError: assert False\n  where …"),
            TestCase(id="tests/test_cart.py::test_fee", outcome="passed"),
        ),
        status="failed",
        exit_code=1,
        output="",
        duration_s=1.2,
    ),
)
RUN_IT = Approval(
    call_id="r1",
    kind="run",
    summary="python -m pytest -k limit or fee",
    argv=("python", "-m", "pytest", "-k", "limit or fee"),
    remember=Remembered(words=("python", "-m", "pytest"), exact=False),
)
EDIT_IT = Approval(
    call_id="e1",
    kind="edit",
    summary="edit shop/cart.py",
    diff="@@ -4 +4 @@\n-    return total < limit\n+    return total <= limit\n",
    changes=PATCH.changes,
)
READING: tuple[ev.Event, ...] = (
    ev.RequestStarted(request_id="r", attempt=1, ledger_row=1, route=LOCAL, reserved_usd_micro=0),
    ev.Progress(phase="prefill", done=1_024, total=3_200),
)
TURN: tuple[ev.Event, ...] = (
    ev.TurnStarted(conversation_id="c", turn=1, text="", mode="ask"),
    ev.Routed(step_id="t1", step_kind="chat", route=LOCAL),
    ev.RequestStarted(request_id="r", attempt=1, ledger_row=1, route=LOCAL, reserved_usd_micro=0),
    ev.TextDelta(step_id="t1", text="The limit itself is **refused**:\n\n```python\nreturn total"),
    ev.TextDelta(step_id="t1", text=" < limit\n```\n\n- `allowed` compares with `<`\n"),
    ev.TextDelta(
        step_id="t1", text="\n| total | now | wanted |\n|---|---|---|\n| 9 | no | yes |\n"
    ),
    ev.RequestFinished(
        request_id="r", ledger_row=1, status="settled", usage=None, usd_micro=0, duration_s=1.0
    ),
    ev.ToolStarted(call_id="t", name="read", summary="read shop/cart.py 1-6", path="shop/cart.py"),
    ev.ToolFinished(
        call_id="t", name="read", ok=True, summary="6 lines", output="1 def\n2 if", duration_s=0.01
    ),
    ev.EditApplied(call_id="e1", entry_id="000001-aa", paths=("shop/cart.py",), diff=EDIT_IT.diff),
    ev.TurnFinished(
        conversation_id="c",
        turn=1,
        status="answered",
        reason="",
        exit_code=0,
        totals=TOTALS,
        duration_s=4.2,
    ),
)


def question(approval):
    return Question(approval=approval, answer=lambda decision: None)


SCREENS: tuple[tuple[str, tuple[object, ...], tuple[str, ...], str], ...] = (
    ("start", (), (), "say what you want"),
    ("help", (), ("f1",), "files and symbols"),
    ("completion", (), ("/", "r", "e"), "change code"),
    ("files and symbols", (), ("@", "r", "e", "m"), "› @budget.py::remaining"),
    ("a long prompt is read", READING, (), "1,024/3,200"),
    ("ledger", (LEDGER,), (), "requests"),
    ("approval of a command", (question(RUN_IT),), (), "whatever follows"),
    ("approval of an edit", (question(EDIT_IT),), (), "hunk by hunk"),
    ("tests", (TESTED,), ("f3",), "AssertionError"),
    ("conversation", TURN, (), "done"),
    ("review inline", (OFFER,), ("a",), "1 accepted"),
    ("review side by side", (OFFER,), ("s", "r"), "1 rejected"),
    ("hunk in the editor", (OFFER,), ("e",), "Take it"),
    ("a run", (*RUN, *END), (), "✔ verified"),
)
"""Name, what came, keys pressed, what stands on the screen then."""


TITLE = "shop&#160;@&#160;main"
WHOLE = frozenset(("ledger", "tests", "review inline", "review side by side", "hunk in the editor"))
"""Screens that cover the title."""


async def still(app, pilot):
    """The picture once nothing moves any more."""
    seen = [app.export_screenshot()]
    while len(seen) < 3 or len(set(seen[-3:])) > 1:
        assert len(seen) < 100, "the screen never rests"
        await pilot.pause(0.15)
        seen.append(app.export_screenshot())
    return seen[-1]


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
async def test_screens(tmp_path, snapshot, size):
    """One application per size walks through all of them, by keys."""
    pictures = snapshot.use_extension(SVGImageExtension)
    app = chat(budget(tmp_path / "budget"))
    async with app.run_test(size=size) as pilot:
        app.input.cursor_blink = False
        await until(pilot, lambda: "budget @" in screen(app))
        app.heading.tell("shop @ main", "sandbox bwrap · local qwen3.5-4b", local_only=False)
        app.stage._words = replace(app.words, seconds=lambda _: "1.5 s")  # the only clock shown
        for name, items, keys, seen in SCREENS:
            for item in items:
                app.on_jobs_came(app.Came(item))
            # A dialogue opened over a screen that is still being laid out has nothing beneath it.
            if name not in WHOLE:
                await until(pilot, lambda: TITLE in app.export_screenshot(), 20.0)
            await still(app, pilot)
            await pilot.press(*keys)
            await until(pilot, lambda seen=seen: seen in screen(app), 20.0)
            if name == "a run" and size[0] < 110:
                await pilot.press("f2")
            if name not in WHOLE:
                await until(pilot, lambda: TITLE in app.export_screenshot(), 20.0)
            assert await still(app, pilot) == pictures(name=name), name
            while len(app.screen_stack) > 1:
                app.pop_screen()
                await pilot.pause()
            app.input.load_text("")
            app.talk.empty()
            app.stage.rest()
            await pilot.pause(0.1)


async def test_without_colour_and_with_marks(tmp_path, monkeypatch):
    """What colours say is said by signs and words too: the same screens without any colour."""
    monkeypatch.setenv("NO_COLOR", "1")
    app = chat(budget(tmp_path / "budget"))
    async with app.run_test(size=(100, 40)) as pilot:
        await until(pilot, lambda: "budget @" in screen(app))
        for item in (*RUN, *END, OFFER):
            app.on_jobs_came(app.Came(item))
        await until(pilot, lambda: "undecided" in screen(app))
        assert "-     return total < limit" in screen(app)
        await pilot.press("a")
        await until(pilot, lambda: "[✔]" in screen(app))
        strips = app.screen._compositor.render_strips()
        colours = {s.style.color for strip in strips for s in strip if s.style and s.style.color}
        named = {c.name for c in colours if not c.is_default and c.triplet is not None}
        greys = {n for n in named if len({n[1:3], n[3:5], n[5:7]}) == 1}
        assert named == greys, named
