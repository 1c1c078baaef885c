"""The real command in a real terminal: tmux holds the pty, the test looks at the cells."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.agent.repos import PACKAGE, shop, snapshot
from tests.loopback import dialects, serve
from tests.loopback.server import Reply
from tests.tui.support import CANDIDATES, DOC, NEW_DOC, TWO_HUNKS, budget

AGENT = Path(sys.executable).with_name("agent")
TMUX = shutil.which("tmux")


@dataclass(frozen=True, slots=True)
class Terminal:
    """A tmux server of its own with one window."""

    name: str
    raw: Path

    def tmux(self, *args: str) -> str:
        done = subprocess.run(
            [TMUX or "tmux", "-L", self.name, "-f", os.devnull, *args],
            capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
        return done.stdout

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p", "-t", "0")

    def type(self, *keys: str) -> None:
        self.tmux("send-keys", "-t", "0", *keys)

    def wait(self, ready: Callable[[str], bool], seconds: float = 90.0) -> str:
        end = time.monotonic() + seconds
        while not ready(shown := self.screen()):
            assert time.monotonic() < end, shown
            time.sleep(0.1)
        return shown


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts `agent chat` on a repository at 80x24. Its server ends with the test."""
    if TMUX is None:
        pytest.skip("tmux is not installed")
    opened: list[Terminal] = []

    def start(root: Path, **environ: str) -> Terminal:
        config = Path(os.environ["XDG_CONFIG_HOME"]) / "pointsman"
        config.mkdir(parents=True, exist_ok=True)
        (config / "config.toml").write_text(
            f'[zero_token]\ncandidates = {CANDIDATES}\n[local]\nmodel = "none"\n'
        )
        one = Terminal(f"pm-{os.getpid()}-{len(opened)}", tmp_path / "raw")
        command = f"{AGENT} chat; echo ended with $?; sleep 60"
        names = {"COLORTERM": "truecolor", **environ}
        env = [part for name, value in names.items() for part in ("-e", f"{name}={value}")]
        opened.append(one)
        one.tmux("new-session", "-d", "-x", "80", "-y", "24", "-c", str(root), *env, command)
        one.tmux("pipe-pane", "-t", "0", f"cat > {one.raw}")
        return one

    yield start
    for one in opened:
        with contextlib.suppress(subprocess.CalledProcessError):  # closed by the test
            one.tmux("kill-server")


def test_a_session_from_fix_to_resume(tmp_path, terminal):
    """Fix, review, reject a hunk, tests, undo; the terminal is closed in mid-turn; resume."""
    root = shop(tmp_path / "shop")
    before = snapshot(root)
    slow = dialects.openai("never finished " * 50)
    stuck = Reply(pieces=(*slow.pieces[:2], 8.0))
    script = [*TWO_HUNKS, stuck, dialects.openai("One hunk is left.")]
    with serve(script) as server:
        model = {"POINTSMAN_ONPREM_URL": server.url, "POINTSMAN_ONPREM_MODEL": "coder"}
        window = terminal(root, **model, POINTSMAN_ZERO_TOKEN_ENABLED="false")
        shown = window.wait(lambda s: "Say what is wrong" in s and "shop @ main" in s)
        assert len(shown.splitlines()) <= 24
        assert "Quit" in shown, "the footer fits"
        window.type("/fix clamp(12, 1, 9) gives 1", "Enter")
        window.wait(lambda s: "2 hunks" in s and "undecided" in s)
        assert snapshot(root) == before
        window.type("a", "r")
        window.wait(lambda s: "1 accepted" in s and "1 rejected" in s)
        window.type("Enter")
        window.wait(lambda s: "applied: shop.py (1 of 2 hunks)" in s)
        assert (root / "shop.py").read_text() == PACKAGE.replace(DOC, NEW_DOC)
        window.type("/tests", "Enter")
        window.wait(lambda s: "✘ 3 passed, 1 failed" in s)
        window.type("/undo", "Enter")
        window.wait(lambda s: "took back: shop.py" in s)
        assert snapshot(root) == before
        window.type("what is left?", "Enter")
        window.wait(lambda s: "never" in s)
        window.tmux("kill-server")

        again = terminal(root, **model)
        again.wait(lambda s: "the last conversation was interrupted" in s)
        again.type("/resume", "Enter")
        again.wait(lambda s: "One hunk is left." in s and "done" in s)
        again.type("C-q")
        assert "ended with 0" in again.wait(lambda s: "ended with" in s)
        assert snapshot(root) == before


def test_hostile_bytes_do_not_reach_the_terminal_and_no_color_means_none(tmp_path, terminal):
    """Through a real pty: a file name, its content and a test's message are hostile."""
    root = budget(tmp_path / "budget")
    evil = "\u202eevil\x1b]52;c;aGVsbG8=\x07\x9b31m"
    (root / f"{evil}.txt").write_text(evil)
    window = terminal(root, NO_COLOR="1")
    window.wait(lambda s: "Say what is wrong" in s)
    window.type("!ls; cat *.txt", "Enter")
    window.wait(lambda s: "exit 0" in s and "evil" in s)
    window.type("C-q")
    window.wait(lambda s: "ended with 0" in s)
    raw = window.raw.read_bytes()
    assert b"evil" in raw
    for forbidden in (b"\x1b]52", b"aGVsbG8=\x07", "\u202e".encode(), "\x9b".encode()):
        assert forbidden not in raw
    for colour in (b"[38;", b"[48;", b";38;", b";48;", b"[31m", b"[32m"):
        assert colour not in raw, colour


def test_without_a_terminal_it_says_what_to_do(tmp_path):
    root = budget(tmp_path / "budget")
    done = subprocess.run(
        [AGENT, "chat"], cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert "chat needs a terminal" in done.stderr
    assert "try: " in done.stderr
