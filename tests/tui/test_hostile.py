"""No forbidden code point reaches the screen by any path; without the sanitiser it does."""

import sys
from pathlib import Path

import pytest
from rich.text import Text
from textual.events import Paste

from agent import events as ev
from agent import sanitize
from agent.tui.items import Offer, Output, Say, Sheet
from agent.types import Outcome, Plan, Route, Step, Task, Totals
from tests.tui.support import budget, chat, screen, until
from tools.types import FileChange, Patch, Suspect

HOSTILE = (
    "osc52 \x1b]52;c;aGVsbG8=\x07 end",
    "c1 \x9b31m \x9d52;c;aGVsbG8=\x9c end",
    "bidi \u202egnp.exe\u202c \u2066x\u2069 end",
    "title \x1b]0;owned\x07 link \x1b]8;;http://x/\x1b\\here\x1b]8;;\x1b\\ end",
    "move \x1b[2J\x1b[H\x08\x08\x7f\x0b end",
    "zero\u200bwidth\ufeff soft\u00adhyphen \U000e0041 end",
    "entity &#x202e; &#x1b; &#8238; end",
    "markup [bold red]x[/] [@click=app.quit]y[/] end",
)
BAD = "  ".join(HOSTILE)
ROUTE = Route(location="local", provider=BAD, model=BAD, reason=BAD)
STEP = Step(id="s1", kind="edit", goal=BAD)
END = Outcome(
    verdict="not_solved", reason=BAD, diff="", exit_code=1, evidence=(BAD,), next_command=BAD
)
OFFER = Offer(
    run_id=BAD,
    patch=Patch(
        changes=(
            FileChange(
                path=f"dir/{BAD}.py",
                before=b"one\ntwo\n",
                after=f"one\n{BAD}\n".encode() + b"\xff\xfe raw\n",
            ),
        )
    ),
    verified=False,
    reason=BAD,
)


def talk() -> list[object]:
    """Every event and item with a text in it."""
    task = Task(goal="fix", text=BAD, root=Path("/x"))
    plan = Plan(summary=BAD, steps=(STEP,), files_in_scope=(), acceptance=(), made_by=BAD)
    return [
        ev.RunStarted(run_id=BAD, task=task, base_commit=BAD, sandbox=BAD, version="1"),
        ev.Phase(name="test", detail=BAD),
        ev.Progress(phase="test", done=1, total=2, detail=BAD),
        ev.TestsFinished(
            purpose="baseline", status="failed", passed=1, failed=(BAD,), duration_s=1
        ),
        ev.Reproduced(kind="built", failing=(BAD,), reason=BAD, test_source=BAD),
        ev.Localized(
            suspects=(Suspect(path=BAD, line=1, symbol=BAD, score=1),), hits=(), method=BAD
        ),
        ev.PlanReady(plan=plan),
        ev.StepStarted(step=STEP, attempt=2),
        ev.Routed(step_id="s1", step_kind="edit", route=ROUTE),
        ev.RequestStarted(
            request_id="r", attempt=1, ledger_row=1, route=ROUTE, reserved_usd_micro=1
        ),
        *(ev.TextDelta(step_id="s1", text=f"{piece}\n") for piece in HOSTILE),
        ev.EditRefused(step_id="s1", error=BAD, message=BAD),
        ev.Routed(step_id="c1", step_kind="chat", route=ROUTE),
        *(ev.TextDelta(step_id="c1", text=f"- *{piece}* `{piece}`\n\n") for piece in HOSTILE),
        ev.StepFinished(step_id="s1", attempt=2, status="failed", reason=BAD),
        ev.Escalated(reason=BAD, location="frontier"),
        ev.Notice(message=BAD, remedy=BAD, level="warning"),
        Say(label=BAD, text=BAD, note=BAD),
        Output(title=BAD, text=BAD),
        ev.RunFinished(
            run_id=BAD, outcome=END, totals=Totals(), duration_s=1, model_s=0, test_s=0, test_runs=1
        ),
    ]


async def shown(tmp_path) -> str:
    """Everything at once: conversation, panes, review in both shapes, a table."""
    app = chat(budget(tmp_path / "budget"))
    found = []
    async with app.run_test(size=(130, 320)) as pilot:
        app.submit(f"/{BAD}")
        app.input.load_text("")
        await app.input._on_paste(Paste(BAD))
        found.append(app.input.text)
        app.input.load_text("")
        for item in talk():
            app.on_jobs_came(app.Came(item))
        app.action_fold()
        await until(pilot, lambda: "not solved" in screen(app))
        found.append(screen(app))
        app.post_message(app.Came(OFFER))
        await until(pilot, lambda: "undecided" in screen(app))
        found.append(screen(app))
        await pilot.press("s")
        await pilot.pause(0.1)
        found.append(screen(app))
        await pilot.press("escape")
        rows = ((BAD,),)
        app.post_message(app.Came(Sheet(title="Runs", columns=("x",), rows=rows, notes=(BAD,))))
        await until(pilot, lambda: "Runs" in screen(app))
        found.append(screen(app))
        assert app.is_running
    return "\n".join(found)


def seen(text: str) -> set[str]:
    return {f"U+{ord(c):04X}" for c in text if sanitize.forbidden(c)}


async def test_nothing_forbidden_reaches_the_screen(tmp_path):
    text = await shown(tmp_path)
    assert text.count("osc52") >= 15, "the paths were really shown"
    assert text.count("end") >= 80
    assert seen(text) == set()
    assert "[bold red]x[/]" in text, "brackets are text, not markup"


async def test_without_the_sanitiser_it_does(tmp_path, monkeypatch):
    """The control: the same screen with every cleaning function made naive."""
    naive = {
        "clean": lambda text: text,
        "one_line": lambda text, width=200: text.replace("\n", " ")[:width],
        "bounded": lambda text, *, lines, width: text,
        "plain": lambda text, style="": Text(text, style=style),
    }
    for name, module in list(sys.modules.items()):
        if name.startswith("agent."):
            for function, replacement in naive.items():
                if hasattr(module, function):
                    monkeypatch.setattr(module, function, replacement)
    text = await shown(tmp_path)
    assert {"U+202E", "U+2066", "U+200B", "U+009B"} <= seen(text)


@pytest.mark.parametrize("text", HOSTILE)
async def test_markdown_brings_nothing_back(tmp_path, text):
    """Character references are Markdown's own way to write what was cleaned away."""
    from agent.tui.blocks import Answer

    app = chat(budget(tmp_path / "budget"))
    async with app.run_test(size=(130, 60)) as pilot:
        answer = Answer("x", prose=True)
        app.talk.add(answer)
        for form in (text, f"[{text}](http://x/ '{text}')", f"# {text}", f"| {text} |\n|---|\n"):
            answer.write(form + "\n\n")
        answer.finish()
        app.talk.changed()
        await pilot.pause(0.2)
        assert "end" in screen(app)
        assert seen(screen(app)) == set()
