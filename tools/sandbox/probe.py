"""Tries each tier with a real command that must be refused things, and remembers the answer."""

import importlib.metadata
import os
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tools.errors import SandboxError
from tools.sandbox.bwrap import BwrapSandbox, find_bwrap, version
from tools.sandbox.direct import DirectExecution
from tools.sandbox.none import INSTALL, NoExecution
from tools.sandbox.sandlock import SandlockSandbox
from tools.types import Limits, Sandbox

Mode = Literal["auto", "bwrap", "sandlock", "none", "direct"]
TIERS: tuple[Literal["bwrap", "sandlock"], ...] = ("bwrap", "sandlock")

SKIP = "POINTSMAN_SANDBOX_SKIP"
"""Tiers to treat as missing, comma-separated: it can only narrow, never lead to `direct`."""

ATTEMPTS = """
import os, socket, sys
outside, inside, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
def attempt(name, call):
    try:
        call()
        print(name)
    except OSError:
        pass
attempt("write-inside", lambda: open(inside + "/made", "w").close())
def read_outside():
    if "canary" not in open(outside).read():
        raise OSError
def write_outside():
    with open(outside, "a") as file:
        file.write("reached")
attempt("read-outside", read_outside)
attempt("write-elsewhere", write_outside)
attempt("write-git", lambda: open(inside + "/.git/config", "w").close())
attempt("network", lambda: socket.create_connection(("127.0.0.1", port), 2).close())
def capabilities():
    line = [x for x in open("/proc/self/status") if x.startswith("CapEff:")][0]
    if int(line.split()[1], 16) == 0:
        raise OSError
attempt("capabilities", capabilities)
attempt("sysctl", lambda: os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY)))
"""
"""Writes only to files made for it; prints the name of each attempt that succeeded.

A private /tmp may hold another `outside`, so whether the write counted is seen from without.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierStatus:
    """Whether a tier works on this machine. `detail` is one line for people."""

    name: str
    works: bool
    detail: str
    probe_ms: float


_lock = threading.Lock()
_known: dict[str, TierStatus] = {}


def pick(mode: Mode, *, protect: tuple[Path, ...] = ()) -> Sandbox:
    """The sandbox to run commands in. Probes on first use; the answer holds for this process.

    `protect` stays unwritable even inside a writable directory, and is not created where it does
    not exist. `auto` takes the first tier that works and otherwise one that runs nothing; a tier
    asked for by name that does not work raises SandboxError. Only `direct` is unsandboxed.
    """
    if mode == "direct":
        return DirectExecution()
    if mode == "none":
        return NoExecution(
            "execution is switched off (sandbox.tier = none)",
            remedy="leave out --sandbox none, or: agent config set sandbox.tier auto",
        )
    if mode != "auto":
        found = status(mode)
        if not found.works:
            raise SandboxError(f"the {mode} sandbox does not work: {found.detail}", remedy=INSTALL)
        return _build(mode, protect)
    for name in TIERS:
        if status(name).works:
            return _build(name, protect)
    reasons = "; ".join(f"{name}: {status(name).detail}" for name in TIERS)
    return NoExecution(f"no sandbox works on this machine ({reasons})")


def report() -> tuple[TierStatus, ...]:
    """Every tier, in the order in which `auto` tries them."""
    refusing = TierStatus(name="none", works=True, detail="runs nothing", probe_ms=0.0)
    return (*(status(name) for name in TIERS), refusing)


def status(name: Literal["bwrap", "sandlock"]) -> TierStatus:
    """The cached outcome of the probe of one tier."""
    if name in os.environ.get(SKIP, "").split(","):
        return TierStatus(name=name, works=False, detail=f"skipped by {SKIP}", probe_ms=0.0)
    with _lock:
        if name not in _known:
            _known[name] = _probe(name)
        return _known[name]


def _build(name: Literal["bwrap", "sandlock"], protect: tuple[Path, ...]) -> Sandbox:
    if name == "sandlock":
        return SandlockSandbox(protect=protect)
    found = find_bwrap()
    if found is None:
        raise SandboxError("bubblewrap is not installed")
    return BwrapSandbox(found, protect=protect)


def _probe(name: Literal["bwrap", "sandlock"]) -> TierStatus:
    started = time.monotonic()
    try:
        detail = attempt_escape(_build(name, ()))
    except (SandboxError, ImportError, OSError) as error:
        detail = str(error)
    took = (time.monotonic() - started) * 1000
    works = not detail
    return TierStatus(name=name, works=works, detail=detail or _described(name), probe_ms=took)


def _described(name: Literal["bwrap", "sandlock"]) -> str:
    if name == "bwrap" and (found := find_bwrap()):
        return f"{version(found)} at {found}"
    return f"{name} {importlib.metadata.version(name)}"


def attempt_escape(sandbox: Sandbox, python: str = sys.executable) -> str:
    """Empty if the sandbox refused what it must and allowed what it must, else what was wrong."""
    with (
        tempfile.TemporaryDirectory(prefix="pointsman-probe-") as directory,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        outside, inside = Path(directory) / "outside", Path(directory) / "inside"
        outside.write_text("canary")
        inside.mkdir()
        listener.setblocking(False)
        port = str(listener.getsockname()[1])
        result = sandbox.run(
            (python, "-I", "-S", "-c", ATTEMPTS, str(outside), str(inside), port),
            cwd=inside,
            env={},
            limits=Limits(wall_s=20.0, memory_mb=512, processes=64),
            writable=(inside,),
        )
        done = set(result.stdout.decode(errors="replace").split())
        if not (inside / "made").exists():
            return f"the probe could not run: {result.stderr.decode(errors='replace')[-300:]!r}"
        with suppress(BlockingIOError):
            listener.accept()[0].close()
            done.add("network")
        if outside.read_text() != "canary":
            done.add("write-outside")
    wrong = sorted(done - {"write-inside", "write-elsewhere"})
    return f"it allowed {', '.join(wrong)}" if wrong else ""
