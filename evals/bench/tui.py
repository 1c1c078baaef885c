"""What the terminal interface costs: a key to its paint while text streams, bytes, memory, start.

    python -m evals.bench.tui [--lines 5000] [--seconds 20] [--json FILE] [--check]

The real application in a pty of its own. Its conversation is filled with Markdown, then 300 tokens
(of four characters) a second stream in while keys are typed; a key is painted when the bytes of its
character arrive at the other end of the pty. Every key is a character that occurs nowhere else.
"""

import argparse
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROWS, COLUMNS = 40, 120
RATE = 300
TOKEN = 4
KEY_EVERY_S = 0.15
FIRST_KEY = 0x4E00
"""Ideographs: none is in the text that streams."""
TARGETS = {"key_p95_ms": 50.0, "start_s": 0.45, "memory_grown_mb": 40.0, "repaints_per_token": 0.25}
FIRST_WORDS = b"Say what is wrong"
PART = """### Part {number}

The function `clamp` compares with the *upper* bound and returns the **lower** one, which is
why a value above the range comes back as the smallest. Two callers depend on it.

- first, `discount` passes a negative price
- then the report rounds what it gets

```python
def clamp(value, low, high):
    if value < low:
        return low
    return high if value > high else value
```

"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    lines: int
    tokens_per_s: int
    keys: int
    key_p50_ms: float
    key_p95_ms: float
    key_max_ms: float
    bytes_per_token: float
    repaints_per_token: float
    """At most: a full repaint takes a byte per cell and more for its colours."""
    memory_empty_mb: float
    memory_filled_mb: float
    memory_end_mb: float
    memory_grown_mb: float
    """While the measured text streamed in."""
    cpu_share: float
    """Of one core, while text streams and no key is typed."""
    start_s: float
    """Median of the starts: process begun to first words painted, no model loaded."""
    load: float


class Terminal:
    """A process in a pty; what it writes is read and counted."""

    def __init__(self, argv: list[str], environ: dict[str, str], directory: Path) -> None:
        self.began = time.monotonic()
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.execve(argv[0], argv, environ)
        size = struct.pack("HHHH", ROWS, COLUMNS, 0, 0)
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, size)

    def read(self, seconds: float) -> bytes:
        if not select.select([self._end], [], [], seconds)[0]:
            return b""
        try:
            return os.read(self._end, 1 << 20)
        except OSError:
            return b""

    def until(self, wanted: bytes, seconds: float) -> bytes:
        """Everything up to and with the read that held `wanted`. Raises TimeoutError."""
        seen, end = b"", time.monotonic() + seconds
        while wanted not in seen:
            if time.monotonic() > end:
                raise TimeoutError(f"{wanted!r} was not painted: {seen[-500:]!r}")
            seen += self.read(0.05)
        return seen

    def drain(self, seconds: float) -> int:
        """Read for so long; how many bytes came."""
        count, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            count += len(self.read(0.01))
        return count

    def write(self, data: bytes) -> None:
        os.write(self._end, data)

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._end)


def repository(directory: Path) -> Path:
    root = directory / "demo"
    root.mkdir()
    (root / "demo.py").write_text("def clamp(value, low, high):\n    return value\n")
    git = ("git", "-c", "user.name=b", "-c", "user.email=b@localhost", "-C", str(root))
    for args in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "demo")):
        subprocess.run([*git, *args], check=True)
    return root


def environ(directory: Path) -> dict[str, str]:
    """A session of its own: no settings, keys or history of whoever runs this."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "PYTHONPATH")}
    homes = {f"XDG_{n}_HOME": str(directory / n) for n in ("CACHE", "CONFIG", "DATA", "STATE")}
    terminal = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
    return {**kept, **homes, **terminal, "POINTSMAN_AS_ROOT": "1"}


def start_s(root: Path, env: dict[str, str]) -> float:
    """`agent chat` to its first words."""
    agent = str(Path(sys.executable).with_name("agent"))
    terminal = Terminal([agent, "chat"], env, root)
    try:
        terminal.until(FIRST_WORDS, 30)
        return time.monotonic() - terminal.began
    finally:
        terminal.close()


def measure(lines: int, seconds: float, starts: int) -> Measured:
    with tempfile.TemporaryDirectory(prefix="pm-bench-") as name:
        directory = Path(name)
        root, env = repository(directory), environ(directory)
        start_s(root, env)  # files are in the page cache from here on
        begun = statistics.median(start_s(root, env) for _ in range(starts))
        child = [sys.executable, "-m", "evals.bench.tui", "--child", str(lines)]
        env["PYTHONPATH"] = str(Path(__file__).parents[2])
        terminal = Terminal([*child, "--seconds", f"{seconds + 8:g}"], env, root)
        try:
            return _streaming(terminal, lines, seconds, begun)
        finally:
            terminal.close()


def _streaming(terminal: Terminal, lines: int, seconds: float, begun: float) -> Measured:
    terminal.until(FIRST_WORDS, 30)
    terminal.drain(2.0)
    empty = terminal.memory_mb()
    terminal.write(b"fill\r")
    terminal.until(b"filled", 120)
    terminal.drain(1.0)
    filled = terminal.memory_mb()
    terminal.write(b"stream\r")
    terminal.drain(1.5)
    used, began = terminal.cpu_s(), time.monotonic()
    quiet = terminal.drain(4.0)
    share = (terminal.cpu_s() - used) / (time.monotonic() - began)
    keys = typed(terminal, seconds - 5.5)
    end = terminal.memory_mb()
    per_token = quiet / (4.0 * RATE)
    return Measured(
        lines=lines,
        tokens_per_s=RATE,
        keys=len(keys),
        key_p50_ms=statistics.median(keys) * 1e3,
        key_p95_ms=keys[int(len(keys) * 0.95)] * 1e3,
        key_max_ms=keys[-1] * 1e3,
        bytes_per_token=per_token,
        repaints_per_token=per_token / (ROWS * COLUMNS),
        memory_empty_mb=empty,
        memory_filled_mb=filled,
        memory_end_mb=end,
        memory_grown_mb=end - filled,
        cpu_share=share,
        start_s=begun,
        load=os.getloadavg()[0],
    )


def typed(terminal: Terminal, seconds: float) -> list[float]:
    """Seconds from writing a key to reading its paint, sorted."""
    found, end, code = [], time.monotonic() + seconds, FIRST_KEY
    while time.monotonic() < end:
        key = chr(code).encode()
        code += 1
        began = time.monotonic()
        terminal.write(key)
        terminal.until(key, 10)
        found.append(time.monotonic() - began)
        terminal.drain(max(KEY_EVERY_S - found[-1], 0.02))
    return sorted(found)


# --------------------------------------------------------------------------- the measured process


def text_of(lines: int) -> str:
    per_part = PART.count("\n")
    return "".join(PART.format(number=n) for n in range(-(-lines // per_part)))


def child(lines: int, seconds: float) -> int:
    """The application; what is typed as `fill` and `stream` is answered by text of ours."""
    from collections.abc import Iterator

    from agent import events as ev
    from agent.cli.chat import setup_for
    from agent.tui import show
    from agent.tui.commands import Ask
    from agent.tui.items import Item, Say
    from agent.tui.session import Session
    from agent.types import Route

    route = Route(location="local", provider="worker", model="m", reason="bench")
    end = ev.RequestFinished(
        request_id="r", ledger_row=1, status="settled", usage=None, usd_micro=0, duration_s=1.0
    )

    def answer(step: str, pieces: Iterator[str]) -> Iterator[Item]:
        yield ev.Routed(step_id=step, step_kind="chat", route=route)
        for piece in pieces:
            yield ev.TextDelta(step_id=step, text=piece)
        yield end

    def paced(text: str) -> Iterator[str]:
        began = time.monotonic()
        for number in range(int(seconds * RATE)):
            time.sleep(max(began + number / RATE - time.monotonic(), 0.0))
            at = number * TOKEN % len(text)
            yield text[at : at + TOKEN]

    class Scripted(Session):
        """Text at a known pace in place of a model's."""

        def answer(self, ask: Ask) -> Iterator[Item]:
            if ask.text == "fill":
                for number in range(lines // 50):
                    yield from answer(f"f{number}", iter([text_of(50)]))
                yield Say(label="", text="filled")
            elif ask.text == "stream":
                yield from answer("s", paced(text_of(3_000)))

    root = Path.cwd()
    setup = setup_for(argparse.Namespace(directory=None, local_model="none"), root)
    return show(Scripted(setup, root))


# --------------------------------------------------------------------------- the report


def report(found: Measured) -> None:
    rows = (
        ("key to paint, median", f"{found.key_p50_ms:.0f} ms", ""),
        ("key to paint, p95", f"{found.key_p95_ms:.0f} ms", f"≤ {TARGETS['key_p95_ms']:g} ms"),
        ("key to paint, worst", f"{found.key_max_ms:.0f} ms", ""),
        ("bytes to the terminal per token", f"{found.bytes_per_token:.0f}", ""),
        (
            f"full repaints per token, at most (one: {ROWS * COLUMNS:,} bytes and more)",
            f"{found.repaints_per_token:.2f}",
            f"≤ {TARGETS['repaints_per_token']:g}",
        ),
        ("processor while streaming", f"{found.cpu_share:.0%} of a core", ""),
        ("memory: empty", f"{found.memory_empty_mb:.0f} MB", ""),
        (f"memory: {found.lines:,} lines", f"{found.memory_filled_mb:.0f} MB", ""),
        (
            "memory grown while streaming",
            f"{found.memory_grown_mb:.1f} MB",
            f"≤ {TARGETS['memory_grown_mb']:g} MB",
        ),
        ("start to first paint", f"{found.start_s:.2f} s", f"≤ {TARGETS['start_s']:g} s"),
    )
    head = f"{COLUMNS}×{ROWS}, {found.lines:,} lines, {found.tokens_per_s} tokens/s"
    print(f"{head}, {found.keys} keys, load {found.load:.1f}\n")
    print("| what | measured | target |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m evals.bench.tui")
    parser.add_argument("--lines", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        return child(args.child, args.seconds)
    found = measure(args.lines, args.seconds, args.starts)
    report(found)
    values = asdict(found)
    if args.json:
        args.json.write_text(json.dumps(values, indent=1) + "\n")
    missed = [name for name, most in TARGETS.items() if values[name] > most]
    for name in missed if args.check else ():
        print(f"missed: {name} is {values[name]:.3f}, target {TARGETS[name]:g}", file=sys.stderr)
    return 1 if args.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
