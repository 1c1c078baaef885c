"""A run as a list of events: every kind of row the transcript can show, odd text included."""

from pathlib import Path

from agent import events as ev
from agent.types import DecodeStats, Outcome, Plan, Route, Step, Task, Totals, Usage
from tools.types import Suspect, TestCommand

LOCAL = Route(
    location="local", provider="worker", model="qwen3.5-4b", reason="edit steps go local first"
)
FRONTIER = Route(
    location="frontier",
    provider="anthropic",
    model="claude-opus-5-5",
    reason="plan steps go to the best model there is",
)
STEP = Step(id="1", kind="edit", goal="Compare with <= so that the limit itself is allowed")
DIFF = """\
--- a/shop/cart.py
+++ b/shop/cart.py
@@ -10,4 +10,4 @@ def allowed(total, limit):
     if total is None:
         return True
-    return total < limit
+    return total <= limit
"""
TOTALS = Totals(
    usd_micro=31_250,
    tokens_in=5_300,
    tokens_out=420,
    tokens_local=2_300,
    local_s=4.2,
    requests=2,
)
DECODE = DecodeStats(
    strategy="combined",
    prefill_tokens=2_100,
    prefill_s=1.5,
    decode_tokens=180,
    decode_s=2.0,
    drafted=150,
    accepted=120,
)
RED = "tests/test_cart.py::test_limit_is_allowed[\x1b]52;c;aGk=\x07]"

START: tuple[ev.Event, ...] = (
    ev.RunStarted(
        run_id="20261120-143015-a1b2c3",
        task=Task(
            goal="fix",
            text="A cart at the limit is refused.\n[bold]Expected[/] it to pass.",
            root=Path("/home/ada/shop"),
        ),
        base_commit="0123456789abcdef",
        sandbox="bwrap",
        version="1",
    ),
    ev.Phase(name="index"),
    ev.Progress(phase="index", done=3, total=38),
    ev.IndexReady(files=38, symbols=1412, seconds=0.42),
    ev.Phase(name="test", detail="before any change"),
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
        suspects=(
            Suspect(path="shop/cart.py", line=13, symbol="allowed", score=0.9),
            Suspect(path="shop/money.py", line=None, symbol=None, score=0.2),
        ),
        hits=(),
        method="trace+ochiai+search",
    ),
    ev.CandidatesTried(generated=96, tried=40, plausible=0, test_runs=40, duration_s=9.96),
)
MODELS: tuple[ev.Event, ...] = (
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
            steps=(STEP, Step(id="2", kind="test", goal="Add a test at the limit")),
            files_in_scope=("shop/cart.py",),
            acceptance=(RED,),
            made_by="anthropic/claude-opus-5-5",
        )
    ),
    ev.StepStarted(step=STEP, attempt=1),
    ev.Routed(step_id="1", step_kind="edit", route=LOCAL),
    ev.RequestStarted(request_id="r2", attempt=1, ledger_row=2, route=LOCAL, reserved_usd_micro=0),
    ev.TextDelta(step_id="1", text="<<<<<<< SEARCH\n"),
    ev.RequestFinished(
        request_id="r2",
        ledger_row=2,
        status="settled",
        usage=Usage(input=2_100, output=180),
        usd_micro=0,
        duration_s=3.5,
        decode=DECODE,
    ),
    ev.EditRefused(
        step_id="1", error="NoMatch", message="The old text is not in shop/cart.py.\nNearest: …"
    ),
    ev.StepFinished(step_id="1", attempt=1, status="failed", reason="no match"),
    ev.Escalated(reason="two attempts failed", location="frontier"),
    ev.Notice(
        message="the editor's file changed meanwhile", remedy="agent resume", level="warning"
    ),
    ev.StepStarted(step=STEP, attempt=2),
    ev.EditProposed(step_id="1", diff=DIFF),
    ev.StepFinished(step_id="1", attempt=2, status="done"),
    ev.Phase(name="verify"),
    ev.TestsFinished(purpose="verify", status="passed", passed=124, failed=(), duration_s=3.3),
    ev.Spent(totals=TOTALS, budget_usd_micro=2_000_000),
)
END = ev.RunFinished(
    run_id="20261120-143015-a1b2c3",
    outcome=Outcome(
        verdict="verified",
        reason="the tests that showed the problem are green",
        diff=DIFF,
        exit_code=0,
        evidence=(f"red to green: {RED}", "no test is worse (123 passed before)"),
        next_command="agent undo",
        applied=True,
    ),
    totals=TOTALS,
    duration_s=83.4,
    model_s=7.5,
    test_s=45.0,
    test_runs=43,
)
VERIFIED = (*START, *MODELS, END)
UNSOLVED = (
    *START,
    ev.RunFinished(
        run_id="20261120-143015-a1b2c3",
        outcome=Outcome(
            verdict="unverified",
            reason="two patches pass every test; they differ in behaviour",
            diff=DIFF,
            exit_code=1,
            next_command="git apply /state/runs/20261120-143015-a1b2c3/patch.diff",
        ),
        totals=Totals(),
        duration_s=14.0,
        model_s=0.0,
        test_s=12.0,
        test_runs=41,
    ),
)
