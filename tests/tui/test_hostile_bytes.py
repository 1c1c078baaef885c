"""Two hundred hostile strings by twenty paths: what arrives at the other end of a real pty."""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from pathlib import Path

from agent import sanitize
from tests.tui.hostile import MARK, PATHS, strings
from tests.tui.support import budget

ROOT = Path(__file__).parents[2]
OURS = re.compile(rb"\x1b(?:\[[0-9;:?<=>]*[ !$]?[A-Za-z~]|[78=>()][B0]?|\]22;[a-z-]+\x07)")
"""Sequences a full-screen application writes; the only OSC of them names the mouse pointer."""
PAYLOAD = (b"\x1b[201~", b"\x1b[6n", b"\x1b[9999")


def painted(root: Path, **environ: str) -> bytes:
    """Everything the interface writes while the strings are shown."""
    pid, end = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        argv = [sys.executable, "-m", "tests.tui.hostile", str(root), str(root.parent / "log")]
        os.execve(argv[0], argv, {**os.environ, "TERM": "xterm-256color", **environ})
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 120, 0, 0))
    seen, until = [], time.monotonic() + 120
    while time.monotonic() < until:
        if select.select([end], [], [], 1.0)[0]:
            try:
                seen.append(os.read(end, 1 << 20))
            except OSError:
                break
    os.close(end)
    os.waitpid(pid, 0)
    return b"".join(seen)


def found(raw: bytes) -> set[str]:
    """What must not be there: forbidden code points, and escapes that are not ours."""
    rest = OURS.sub(b"", raw).decode("utf-8", "replace").replace("\r", "")
    bad = {f"U+{ord(c):04X}" for c in rest if sanitize.forbidden(c)}
    return bad | {p.decode() for p in PAYLOAD if p in raw}


def test_no_hostile_byte_reaches_the_terminal(tmp_path):
    assert len(strings()) == 200
    raw = painted(budget(tmp_path / "budget"))
    assert tuple((tmp_path / "log").read_text().splitlines()) == PATHS
    assert raw.count(b"http://h/") > 100, "the strings were really shown"
    assert found(raw) == set()


def test_without_the_sanitiser_they_do(tmp_path):
    """The control: the same strings, the same paths, cleaning taken out."""
    raw = painted(budget(tmp_path / "budget"), NAIVE="1")
    assert {"U+001B", "U+202E", "U+200B"} <= found(raw)
    assert b"\x1b]52;c;aGVsbG8=" in raw
    parts = {
        path: raw.split(MARK.format(n).encode())[1].split(MARK.format(n + 1).encode())[0]
        for n, path in enumerate(PATHS)
    }
    assert [path for path, part in parts.items() if not found(part)] == []
