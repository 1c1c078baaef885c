"""The interface in a terminal, fed with hostile strings by every path: python -m tests.tui.hostile

Run below a pty by test_hostile_bytes. With NAIVE=1 the sanitiser is taken out: the control.
"""

import argparse
import itertools
import os
import sys
from pathlib import Path

__all__ = ["PATHS", "strings"]

CORES = (
    "\x1b]52;c;aGVsbG8=\x07", "\x1b]52;c;aGVsbG8=\x1b\\", "\x9d52;c;aGVsbG8=\x9c",
    "\x1b]0;own\x07",
    "\x1b]2;own\x1b\\", "\x1b]8;;http://x.example/\x1b\\here\x1b]8;;\x1b\\",
    "\x1b]1337;File=:AA\x07",
    "\x1b[2J\x1b[H", "\x1b[?1049l", "\x1b[6n", "\x1b[31m", "\x9b31m", "\x9b6n", "\x1bP+q544e\x1b\\",
    "\x90q\x9c", "\x1b_Gf=100;AA\x1b\\", "\x1b^pm\x1b\\", "\x1bc", "\x1b[201~",
    "\x07\x07", "\x08\x08",
    "\x7f", "\x0b\x0c", "\x00", "\x85", "\u202egnp.exe\u202c", "\u2066x\u2069", "\u200f\u061c",
    "a\u200bb\ufeff", "soft\u00adhyphen", "\U000e0041\U000e007f", "\u2028\u2029", "\u200d\u200c",
    "\x1b]52;c;" + "A" * 3_000, "\x1b[" + "9" * 500, "x" * 6_000, "\u3164\uffa0", "\ufff9a\ufffb",
    "[@click=app.quit]q[/]", "&#x202e;&#27;]52;c;AA&#7;",
)  # fmt: skip
FRAMES = ("{}", "say {} end", "`{}`", "**{}**", "[{}](http://h/ '{}')")
PATHS = (
    "prose", "raw", "thinking", "tool", "diff", "hunk", "file name", "test output", "error",
    "note", "ledger", "approval", "redrawn", "typed", "run", "sessions", "files menu", "history",
    "palette", "notification",
)  # fmt: skip


MARK = "path-{:02d}-begins"
"""Written to the terminal before each path, so that what was painted can be told apart."""


def strings() -> tuple[str, ...]:
    """Two hundred: forty attacks, each in five surroundings."""
    framed = (f.replace("{}", core) for core, f in itertools.product(CORES, FRAMES))
    return tuple(framed)


def naive() -> None:
    """Every cleaning function lets everything through."""
    import agent.sanitize as module

    module.clean = lambda text: text
    module.one_line = lambda text, width=200: text.replace("\n", " ")[:width]
    module.bounded = lambda text, *, lines, width: text


def feed(app, path: str, bad: tuple[str, ...]) -> None:
    """The strings by one path, as the session's jobs would bring them."""
    from agent import events as ev
    from agent.approvals import Approval
    from agent.chat import records as rec
    from agent.tui.items import Offer, Output, Question, Redraw, Say, Sheet, Tested
    from agent.types import Outcome, Plan, Route, Step, Totals
    from tools.types import FileChange, Patch, TestCase, TestCommand, TestRun

    text = "\n\n".join(bad)
    route = Route(location="local", provider=bad[0], model=bad[1], reason=bad[2])
    change = FileChange(path=f"{bad[0][:40]}.py", before=b"one\n", after=text.encode())
    command = TestCommand(kind="pytest", argv=bad[:3], source=bad[0])
    cases = tuple(TestCase(id=b[:60], outcome="failed", message=b) for b in bad)
    run = TestRun(
        command=command, cases=cases, status="failed", exit_code=1, output=text, duration_s=1.0
    )
    items: dict[str, tuple[object, ...]] = {
        "prose": (
            ev.Routed(step_id="c", step_kind="chat", route=route),
            *(ev.TextDelta(step_id="c", text=f"{b}\n\n") for b in bad),
        ),
        "raw": (
            ev.Routed(step_id="e", step_kind="edit", route=route),
            *(ev.TextDelta(step_id="e", text=f"{b}\n") for b in bad),
        ),
        "thinking": tuple(ev.ThinkingDelta(step_id="c", text=f"{b}\n") for b in bad),
        "tool": tuple(
            event
            for b in bad
            for event in (
                ev.ToolStarted(call_id=b, name=b, summary=b, argv=(b,), path=b),
                ev.ToolFinished(
                    call_id=b, name=b, ok=False, summary=b, output=b, duration_s=0.1
                ),
            )
        ),
        "diff": (ev.EditApplied(call_id="e", entry_id=bad[0], paths=bad[:4], diff=text),),
        "hunk": (Offer(run_id="x", patch=Patch(changes=(change,)), verified=False, reason=bad[1]),),
        "file name": tuple(Output(title=f"search {b}", text=b) for b in bad),
        "test output": (Tested(run=run, ids=()),),
        "error": tuple(Say(label=b, text=b, style="red", note=b) for b in bad),
        "note": tuple(ev.Notice(message=b, remedy=b, level="warning") for b in bad),
        "ledger": (
            Sheet(title="Ledger", columns=("x", "y"), rows=tuple((b, b) for b in bad), notes=bad),
        ),
        "sessions": (
            Sheet(
                title="Conversations",
                columns=("conversation", "title"),
                rows=tuple((b, b) for b in bad),
                choose="sessions",
            ),
        ),
        "run": (
            ev.PlanReady(
                plan=Plan(
                    summary=text,
                    steps=tuple(Step(id=str(n), kind="edit", goal=b) for n, b in enumerate(bad)),
                    files_in_scope=(),
                    acceptance=(),
                    made_by=bad[0],
                )
            ),
            *(ev.Progress(phase=b, done=1, total=2, detail=b) for b in bad),
            *(
                ev.TestsFinished(
                    purpose="baseline", status="failed", passed=1, failed=(b,), duration_s=1
                )
                for b in bad
            ),
            ev.RunFinished(
                run_id=bad[0],
                outcome=Outcome(
                    verdict="not_solved", reason=bad[1], diff="", exit_code=1, evidence=bad,
                    next_command=bad[2],
                ),
                totals=Totals(), duration_s=1, model_s=0, test_s=0, test_runs=1,
            ),
        ),
        "approval": (
            Question(
                approval=Approval(call_id="a", kind="run", summary=bad[0], argv=bad, diff=text),
                answer=lambda decision: None,
            ),
        ),
        "redrawn": (
            Redraw(
                title=bad[0],
                records=tuple(
                    r
                    for b in bad
                    for r in (
                        rec.Said(turn=1, text=b),
                        rec.Returned(call_id=b, name=b, ok=True, summary=b, content=b),
                    )
                ),
            ),
        ),
    }  # fmt: skip
    for item in items.get(path, ()):
        app.on_jobs_came(app.Came(item))
    if path == "typed":
        for b in bad:
            app.talk.prompt(b)
            app.heading.tell(b, b, local_only=True)
    if path == "test output":
        app.action_tests()
    if path == "notification":
        for b in bad[:: max(len(bad) // 8, 1)]:
            app.toast(b)


async def typed_into(app, path: str, bad: tuple[str, ...]) -> None:
    """What gets into an input: names that are chosen, texts of earlier sessions, pastes."""
    import asyncio

    from textual.events import Paste

    if path == "palette":
        app.action_command_palette()
        await asyncio.sleep(0.2)
    if path == "history":
        app.input.recall([" ".join(bad[n : n + 10]) for n in range(0, len(bad), 10)])
    step = 6 if path == "files menu" else 10  # as many as the menu shows
    for n in range(0, len(bad), step):
        some = bad[n : n + step]
        if path == "palette":
            app.post_message(Paste(" ".join(some)))
        elif path == "history":
            app.input.action_back()
        else:
            app.input.names = some
            app.input.put("@")
            await refreshed(app, 1)
            app.input.names = (" ".join(some),)
            app.input.action_complete()
        await asyncio.sleep(0.01)
        await refreshed(app, 1)
    app.input.load_text("")


async def refreshed(app, times: int = 2) -> None:
    """Until all was painted; twice, where the first painting may have been under way."""
    import asyncio

    for _ in range(times):
        done = asyncio.Event()
        app.screen.refresh()
        app.screen.call_after_refresh(done.set)
        await done.wait()


INPUTS = ("files menu", "history", "palette")


def main() -> None:
    if os.environ.get("NAIVE"):
        naive()
    import agent.tui.app
    from agent.cli.chat import setup_for
    from agent.tui.app import ChatApp
    from agent.tui.session import Session

    class Fed(ChatApp):
        """Walks through the paths, in slices of the strings that fit the screen."""

        CSS_PATH = [Path(agent.tui.app.__file__).parent / name for name in ChatApp.CSS_PATH]  # noqa: RUF012

        def on_mount(self) -> None:
            super().on_mount()
            self.run_worker(self._walk())

        async def _walk(self) -> None:
            import asyncio

            await asyncio.sleep(0.5)
            # Of a long conversation its end is in view: there must be what the control looks for.
            bad = strings()
            if os.environ.get("NAIVE"):
                bad = (*bad[::3], *bad[:5], *bad[125:130])
            for path in PATHS:
                os.write(1, MARK.format(PATHS.index(path)).encode())
                for start in range(0, len(bad), 100):
                    self.talk.empty()
                    part = bad[start : start + 100]
                    if path in INPUTS:
                        await typed_into(self, path, part)
                    else:
                        feed(self, path, part)
                    self.talk.fold_all()
                    await asyncio.sleep(0.4 if path == "notification" else 0.12)
                    while self.talk._due:  # on a busy machine
                        await asyncio.sleep(0.05)
                    await refreshed(self)
                    while len(self.screen_stack) > 1:
                        await self.pop_screen()
                with Path(sys.argv[2]).open("a") as log:
                    log.write(f"{path}\n")
            self.exit(0)

    root = Path(sys.argv[1])
    flags = argparse.Namespace(directory=None, local_model="none")
    sys.exit(Fed(Session(setup_for(flags, root), root)).run())


if __name__ == "__main__":
    main()
