"""The terminal goes, the process is killed, the model's connection breaks: nothing is lost."""

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

from tests.agent.repos import FIXED, shop, snapshot
from tests.chat.talking import call
from tests.loopback import dialects, serve
from tests.loopback.server import Reply
from tests.tui.support import chat, say, told, until

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
