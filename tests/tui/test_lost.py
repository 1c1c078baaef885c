"""The terminal goes, the process is killed, the model's connection breaks: nothing is lost."""

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

from agent import paths
from agent.chat import records as rec
from agent.events import Progress, TextDelta
from agent.serve.supervise import worker_status
from agent.tui.blocks import Answer
from tests.agent.repos import FIXED, shop, snapshot
from tests.chat.talking import call
from tests.engine import tiny_gguf
from tests.loopback import dialects, serve
from tests.loopback.server import Reply
from tests.tui.support import chat, say, screen, told, until

AGENT = Path(sys.executable).with_name("agent")
LINE = "    if value > high:\n        return low"
EDIT = call("edit", "e1", path="shop.py", search=LINE, replace=LINE[:-3] + "high")


class Window:
    """`agent chat` on a terminal that can be closed."""

    def __init__(self, root: Path, onprem: str) -> None:
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            os.chdir(root)
            argv = [str(AGENT), "chat"]
            names = {"ONPREM_URL": onprem, "ONPREM_MODEL": "coder", "LOCAL_MODEL": "none"}
            flags = {f"POINTSMAN_{name}": value for name, value in names.items()}
            os.execve(argv[0], argv, {**os.environ, **flags, "TERM": "xterm-256color"})
        self.seen = b""

    def until(self, wanted: bytes, seconds: float = 40.0) -> None:
        end = time.monotonic() + seconds
        while wanted not in self.seen:
            assert time.monotonic() < end, self.seen[-3000:]
            if select.select([self.end], [], [], 0.2)[0]:
                self.seen += os.read(self.end, 1 << 16)

    def ended(self, seconds: float = 10.0) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return True
            time.sleep(0.05)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return False


async def goes_on(root: Path, onprem: str, answer: str) -> None:
    """Another session says what was interrupted, and /resume ends it."""
    app = chat(root, onprem_url=onprem, onprem_model="coder")
    async with app.run_test(size=(110, 40)) as pilot:
        await until(pilot, lambda: "the last conversation was interrupted" in told(app))
        await say(pilot, "/resume")
        await until(pilot, lambda: answer in told(app) and app._job is None)
        assert "clamp(12, 1, 9) gives 1" in told(app), "what was said before is shown"
    app.session.close()


async def test_the_terminal_is_closed_while_an_approval_waits(tmp_path):
    root = shop(tmp_path / "shop")
    before = snapshot(root)
    script = [dialects.openai("I edit.", tools=[EDIT]), dialects.openai("It was asked again.")]
    with serve(script) as server:
        window = Window(root, server.url)
        window.until(b"Say what is wrong")
        os.write(window.end, b"clamp(12, 1, 9) gives 1\r")
        window.until(b"Change files?")
        os.close(window.end)  # the kernel sends SIGHUP
        assert window.ended(), "it does not live on without its terminal"
        assert snapshot(root) == before, "nothing was written without a yes"
        app = chat(root, onprem_url=server.url, onprem_model="coder")
        assert "interrupted" in app.session.waiting()
        app.session.close()


async def test_killed_in_the_middle_and_taken_up_again(tmp_path):
    """kill -9 while the model is at work: the question is not lost, nor asked for twice."""
    root = shop(tmp_path / "shop")
    slow = dialects.openai("never finished " * 50)
    stuck = Reply(pieces=(*slow.pieces[:2], 30.0))
    with serve([stuck, dialects.openai("Here I am **again**.")]) as server:
        window = Window(root, server.url)
        window.until(b"Say what is wrong")
        os.write(window.end, b"clamp(12, 1, 9) gives 1\r")
        window.until(b"never")
        os.kill(window.pid, signal.SIGKILL)
        os.waitpid(window.pid, 0)
        os.close(window.end)
        await goes_on(root, server.url, "Here I am **again**.")


async def test_the_connection_breaks_in_the_middle_of_an_answer(tmp_path):
    root = shop(tmp_path / "shop")
    whole = dialects.openai("A long answer that breaks off " * 20)
    cut = Reply(pieces=whole.pieces[: len(whole.pieces) // 2], end="cut")
    script = [cut, cut, cut, cut, dialects.openai(tools=[EDIT]), dialects.openai("Done at last.")]
    with serve(script) as server:
        app = chat(root, onprem_url=server.url, onprem_model="coder")
        async with app.run_test(size=(110, 40)) as pilot:
            await say(pilot, "/mode accept-edits")
            await until(pilot, lambda: "commands are asked for" in told(app))
            await say(pilot, "clamp(12, 1, 9) gives 1")
            await until(pilot, lambda: "unserved" in told(app) and app._job is None)
            assert "/resume" in told(app)
            await say(pilot, "/resume")
            await until(pilot, lambda: "Done at last." in told(app) and app._job is None)
            assert (root / "shop.py").read_text() == FIXED
            assert "clamp(12, 1, 9) gives 1" in str(server.received[4].body), "it was not forgotten"
        app.session.close()


def written(app, number):
    """Whether answer `number` of the conversation has begun."""
    answers = [b for b in app.talk.blocks if isinstance(b, Answer)]
    return len(answers) > number and len(answers[number].source) > 10


async def test_the_engine_is_killed_in_the_middle_of_an_answer(tmp_path):
    """kill -9 of a real worker as its first words are shown: it is said, another one answers, and
    the conversation can be taken up by another session."""
    root = shop(tmp_path / "shop")
    before = snapshot(root)
    model = tiny_gguf.write(tmp_path / "tiny.gguf", tiny_gguf.Shape(context=16_384))
    flags = {"local_model": str(model), "local_context": 16_384}
    app, seen, killed = chat(root, **flags), [], []
    async with app.run_test(size=(110, 40)) as pilot:
        take = app.stage.take

        def watched(event):
            seen.append(event)
            take(event)
            if isinstance(event, TextDelta) and not killed:
                (worker,) = [w for w in worker_status(paths.runtime_dir()) if w.model == model]
                os.kill(worker.pid, signal.SIGKILL)
                killed.append(worker.pid)

        app.stage.take = watched
        await say(pilot, "clamp(12, 1, 9) gives 1")
        await until(pilot, lambda: killed)
        read = [e for e in seen if isinstance(e, Progress) and e.phase == "prefill"]
        assert [e.done for e in read] == sorted({e.done for e in read})
        assert read[-1].done == read[-1].total > 512, "the prompt's progress came batch by batch"
        await until(pilot, lambda: "the engine worker had died" in told(app))
        assert "attempt 2 of 4" in told(app)
        assert "broke off · " in screen(app), "half an answer does not pass for one"
        await until(pilot, lambda: written(app, 1))
        (another,) = [w for w in worker_status(paths.runtime_dir()) if w.model == model]
        assert another.pid not in killed
        await pilot.press("escape")
        await until(pilot, lambda: "interrupted" in told(app) and app._job is None)
    app.session.close()
    assert snapshot(root) == before

    again = chat(root, **flags)
    async with again.run_test(size=(110, 40)) as pilot:
        await say(pilot, "/sessions last")
        await until(pilot, lambda: "clamp(12, 1, 9) gives 1" in told(again) and again._job is None)
        await say(pilot, "and the bound?")
        await until(pilot, lambda: written(again, 0))
        await pilot.press("escape")
        await until(pilot, lambda: again._job is None)
        said = [r.text for r in again.session.talking.current.records if isinstance(r, rec.Said)]
        assert said == ["clamp(12, 1, 9) gives 1", "and the bound?"], "it goes on where it was"
    again.session.close()
