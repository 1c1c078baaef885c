"""The real command in a real terminal: tmux holds the pty, the test looks at the cells."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.agent.repos import snapshot
from tests.tui.support import CANDIDATES, ISSUE, RIGHT, budget

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
        config.mkdir(parents=True)
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
        one.tmux("kill-server")


def test_fix_review_apply_undo_quit(tmp_path, terminal):
    root = budget(tmp_path / "budget")
    before = snapshot(root)
    window = terminal(root)
    shown = window.wait(lambda s: "Say what is wrong" in s and "budget @ main" in s)
    assert len(shown.splitlines()) <= 24
    assert "Quit" in shown, "the footer fits"
    window.type(f"/fix {ISSUE}", "Enter")
    window.wait(lambda s: "1 undecided" in s)
    assert snapshot(root) == before
    window.type("a")
    window.wait(lambda s: "1 accepted" in s)
    window.type("Enter")
    window.wait(lambda s: "applied: budget.py" in s)
    assert (root / "budget.py").read_text() == RIGHT
    window.type("/tests", "Enter")
    window.wait(lambda s: "✔ 2 passed, 0 failed" in s)
    window.type("/undo", "Enter")
    window.wait(lambda s: "took back: budget.py" in s)
    assert snapshot(root) == before
    window.type("C-q")
    assert "ended with 0" in window.wait(lambda s: "ended with" in s)


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
