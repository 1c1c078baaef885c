"""Container engines: docker where its engine answers, else podman, whose command line is docker's.

A container is named after the process that started it. What a killed process left running is
removed when the next one looks for an engine.
"""

import functools
import hashlib
import os
import platform
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tools.errors import SandboxError

__all__ = ["CHOICES", "LABEL", "Choice", "Engine", "find_engine", "new_name", "sweep"]

Choice = Literal["auto", "docker", "podman", "off"]
CHOICES: tuple[Choice, ...] = ("auto", "docker", "podman", "off")
LABEL = "pointsman"
ASK_S = 30.0
SAME_START_S = 2.0
"""Two processes that read one start time may differ by the rounding of the boot time."""
REMEDY = "start Docker, or: apt install podman"
INFO = {
    "docker": "{{.ServerVersion}} {{.SecurityOptions}}",
    "podman": "{{.Version.Version}} rootless={{.Host.Security.Rootless}}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A client on this machine whose engine answered."""

    name: Literal["docker", "podman"]
    program: Path
    rootless: bool = False
    """Its root is the user, and its other users are nobody on the host."""

    def call(self, *args: str, timeout_s: float = ASK_S) -> bytes:
        """What it prints. Raises SandboxError with the last line of what it says instead."""
        argv = (str(self.program), *args)
        try:
            done = subprocess.run(
                argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout_s, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SandboxError(f"{self.name} {args[0]}: {error}", remedy=REMEDY) from error
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            why = lines[-1] if lines else f"exit code {done.returncode}"
            raise SandboxError(f"{self.name} {args[0]}: {why[:300]}", remedy=REMEDY)
        return done.stdout


def find_engine(choice: Choice) -> Engine:
    """The engine of that name, or the first that answers. Raises SandboxError saying why none.

    Asked once for this process: an engine that hangs would else be waited for by every row.
    """
    found = _asked(choice)
    if isinstance(found, SandboxError):
        raise found
    return found


@functools.cache
def _asked(choice: Choice) -> Engine | SandboxError:
    try:
        return _first(choice)
    except SandboxError as error:
        return error


def _first(choice: Choice) -> Engine:
    if choice == "off":
        raise SandboxError("containers are switched off", remedy="leave out --containers off")
    reasons = []
    names: tuple[Literal["docker", "podman"], ...] = ("docker", "podman")
    for name in names if choice == "auto" else (choice,):
        found = shutil.which(name)
        if found is None:
            reasons.append(f"{name} is not installed")
            continue
        try:
            engine = _answering(Engine(name=name, program=Path(found)))
            sweep(engine)
            return engine
        except SandboxError as error:
            reasons.append(str(error))
    raise SandboxError(f"no container engine answers ({'; '.join(reasons)})", remedy=REMEDY)


def _answering(engine: Engine) -> Engine:
    said = engine.call("info", "--format", INFO[engine.name]).decode(errors="replace").strip()
    if not said or not said[0].isdigit():
        raise SandboxError(f"{engine.name} info: {said[:200] or 'no answer'}", remedy=REMEDY)
    rootless = "rootless=true" in said or "name=rootless" in said
    return Engine(name=engine.name, program=engine.program, rootless=rootless)


def new_name() -> str:
    """For a container of this process."""
    return f"{_prefix()}{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(4)}"


def sweep(engine: Engine) -> tuple[str, ...]:
    """Remove containers whose process is gone; their names. Those of other machines that share
    the engine are left alone."""
    listed = engine.call("ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}}")
    names = [n for n in listed.decode(errors="replace").split() if n.startswith(_prefix())]
    doomed = tuple(n for n in names if not _owner_lives(n.removeprefix(_prefix())))
    if doomed:
        engine.call("rm", "--force", "--volumes", *doomed)
    return doomed


def _owner_lives(rest: str) -> bool:
    pid, _, further = rest.partition("-")
    started = further.partition("-")[0]
    if not (pid.isdigit() and started.isdigit()):
        return True
    return abs(_started(int(pid)) - int(started)) <= SAME_START_S


def _started(pid: int) -> int:
    """Seconds since the epoch; 0 where there is no such process."""
    import psutil

    try:
        return round(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0


@functools.cache
def _prefix() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    told = platform.node() + (boot.read_text() if boot.exists() else "")
    return f"{LABEL}-{hashlib.sha256(told.encode()).hexdigest()[:8]}-"
