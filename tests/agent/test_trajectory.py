"""Every event survives the trip to JSONL and back."""

import dataclasses
from pathlib import Path

from agent import events, trajectory
from agent.router import Place
from agent.types import (
    Choice,
    Completion,
    DecodeStats,
    Outcome,
    Plan,
    Route,
    Step,
    Task,
    Totals,
    Usage,
)
from tools.types import Hit, Suspect, TestCommand

TASK = Task(goal="fix", text="it\udcff breaks", root=Path("/x"), files=("a.py",))
STEP = Step(id="s1", kind="edit", goal="g", files=("a.py",))
PLAN = Plan(summary="s", steps=(STEP,), files_in_scope=("a.py",), acceptance=(), made_by="m")
ROUTE = Route(location="local", provider="worker", model="mini", reason="local first")
DECODE = DecodeStats(
    strategy="mtp", prefill_tokens=10, prefill_s=0.1, decode_tokens=5, decode_s=0.2, drafted=4
)
COMPLETION = Completion(
    text="é",
    stop_reason="end",
    usage=Usage(input=3, output=5, raw='{"a": 1}'),
    model="mini",
    provider="worker",
    location="local",
    duration_s=0.3,
    choices=(Choice(text="x", logprob=-1.5),),
    decode=DECODE,
)
OUTCOME = Outcome(verdict="verified", reason="r", diff="d", exit_code=0, evidence=("e",))

EVENTS: tuple[events.Event, ...] = (
    events.RunStarted(
        run_id="20261120-120000-abcdef",
        task=TASK,
        base_commit=None,
        sandbox="bwrap",
        version="1",
        places=(Place(location="local", provider="w", model="m", context_window=9),),
    ),
    events.Phase(name="index"),
    events.Progress(phase="index", done=1, total=None),
    events.IndexReady(files=1, symbols=2, seconds=0.5),
    events.TestCommandFound(
        command=TestCommand(kind="pytest", argv=("pytest",), source="--test"), interpreter="/py"
    ),
    events.TestsFinished(
        purpose="baseline", status="failed", passed=1, failed=("t::a",), duration_s=1.0
    ),
    events.Reproduced(kind="built", failing=("t::a",), reason="r", test_source="def test(): ..."),
    events.Localized(
        suspects=(Suspect(path="a.py", line=1, symbol="f", score=1.0, reasons=("trace",)),),
        hits=(Hit(path="a.py", symbol=None, line=1, end_line=2, score=0.5, reasons=("x",)),),
        method="trace",
    ),
    events.CandidatesTried(generated=1, tried=1, plausible=1, test_runs=2, duration_s=0.1),
    events.PlanReady(plan=PLAN),
    events.Routed(step_id="s1", step_kind="edit", route=ROUTE),
    events.StepStarted(step=STEP, attempt=1),
    events.StepFinished(step_id="s1", attempt=1, status="done"),
    events.TextDelta(step_id="s1", text="é"),
    events.RequestStarted(
        request_id="r1", attempt=1, ledger_row=7, route=ROUTE, reserved_usd_micro=None
    ),
    events.RequestFinished(
        request_id="r1",
        ledger_row=7,
        status="settled",
        usage=Usage(input=1),
        usd_micro=0,
        duration_s=0.1,
        decode=DECODE,
    ),
    events.CompletionRecorded(
        request_id="r1",
        fingerprint="f",
        completion_json=trajectory.completion_to_json(COMPLETION),
    ),
    events.EditProposed(step_id="s1", diff="d"),
    events.EditRefused(step_id="s1", error="NoMatch", message="m"),
    events.Escalated(reason="r", location="frontier"),
    events.Notice(message="m"),
    events.Spent(totals=Totals(usd_micro=5), budget_usd_micro=None),
    events.TurnStarted(conversation_id="c1", turn=1, text="why?", mode="ask"),
    events.ThinkingDelta(step_id="t1", text="hm"),
    events.ToolStarted(call_id="k1", name="run", summary="ls", argv=("ls", "-l")),
    events.ToolFinished(
        call_id="k1", name="run", ok=True, summary="exit 0", output="é\n", duration_s=0.1
    ),
    events.ApprovalAsked(call_id="k2", kind="run", summary="rm", argv=("rm", "a"), prefix=("rm",)),
    events.ApprovalAnswered(call_id="k2", answer="no", reason="not that one"),
    events.EditApplied(call_id="k3", entry_id="e1", paths=("a.py",), diff="d"),
    events.Compacted(reason="asked", before_tokens=900, after_tokens=90, by="model"),
    events.TurnFinished(
        conversation_id="c1",
        turn=1,
        status="answered",
        reason="",
        exit_code=0,
        totals=Totals(usd_micro=5),
        duration_s=1.0,
    ),
    events.RunFinished(
        run_id="20261120-120000-abcdef",
        outcome=OUTCOME,
        totals=Totals(),
        duration_s=1.0,
        model_s=0.5,
        test_s=0.2,
        test_runs=3,
    ),
)


def record(directory):
    recorder = trajectory.Recorder(directory)
    for event in EVENTS:
        recorder.write(event, 0.5)
    recorder.close()
    return directory / trajectory.FILE


def test_every_kind_of_event_is_covered():
    assert {type(e) for e in EVENTS} == set(events.Event.__args__)


def test_round_trip(tmp_path):
    first, *rest = trajectory.read(record(tmp_path))
    assert rest == list(EVENTS[1:])
    # A lone surrogate cannot be UTF-8: it is kept readable, as an escape.
    assert first.task == dataclasses.replace(TASK, text="it\\udcff breaks")


def test_a_line_cut_by_a_crash_ends_the_file(tmp_path):
    path = record(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert len(list(trajectory.read(path))) == len(EVENTS) - 1


def test_unknown_events_are_skipped(tmp_path):
    path = record(tmp_path)
    with path.open("a", encoding="utf-8") as f:
        f.write('{"seq": 99, "t": 1, "type": "FromTheFuture", "x": 1}\n')
    assert len(list(trajectory.read(path))) == len(EVENTS)


def test_recorded_answers(tmp_path):
    assert trajectory.recorded(record(tmp_path)) == {"f": COMPLETION}


def test_summaries_newest_first(tmp_path):
    record(tmp_path / "one")
    recorder = trajectory.Recorder(tmp_path / "two")
    recorder.write(dataclasses.replace(EVENTS[0], run_id="20261121-120000-abcdef"), 0.0)
    recorder.close()
    newest, oldest = trajectory.summaries(tmp_path)
    assert (newest.run_id, newest.finished) == ("20261121-120000-abcdef", None)
    assert oldest.finished == EVENTS[-1]
    assert oldest.started == 1795176000.0
