"""Models whose fast CPU kernels end the process on this machine: found once, remembered.

llama.cpp's repacked kernels use AMX where the CPU has it, and some compilers (gcc 12.2) build them
wrong: the first decode of several tokens ends in SIGILL or SIGSEGV. The worker's self-test meets
that; its supervisor then starts it without them, and writes it down.
"""

import contextlib
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Avoided", "avoided", "forget", "is_avoided", "remember"]

FILE = "cpu-path.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Avoided:
    """One finding. `build`: of llama.cpp; another one is tried anew."""

    model: str
    name: str
    machine: str
    build: str
    reason: str
    day: str


def avoided(folder: Path) -> tuple[Avoided, ...]:
    """What was found on this machine; nothing where the file is missing or damaged."""
    try:
        rows = json.loads((folder / FILE).read_text(encoding="utf-8"))
        found = tuple(Avoided(**row) for row in rows)
    except (OSError, ValueError, TypeError):
        return ()
    return tuple(a for a in found if a.machine == _machine())


def is_avoided(folder: Path, model: Path) -> bool:
    """Whether this model, by its content, is to be run without the fast kernels."""
    from agent.engine.llama import build
    from agent.engine.prefixes import model_identity

    known = avoided(folder)
    if not known:
        return False
    identity, now = model_identity(model), build()
    return any(a.model == identity and a.build == now for a in known)


def remember(folder: Path, model: Path, reason: str) -> None:
    """Written whole or not at all; a directory that cannot be written is found out next time."""
    from agent.engine.llama import build
    from agent.engine.prefixes import model_identity

    made = Avoided(
        model=model_identity(model),
        name=model.name,
        machine=_machine(),
        build=build(),
        reason=reason,
        day=time.strftime("%Y-%m-%d"),
    )
    rows = [asdict(a) for a in avoided(folder) if a.model != made.model]
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f"{FILE}.{os.getpid()}"
        scratch.write_text(json.dumps([*rows, asdict(made)], indent=1), encoding="utf-8")
        scratch.replace(folder / FILE)


def forget(folder: Path) -> None:
    """Try the fast kernels again."""
    (folder / FILE).unlink(missing_ok=True)


def _machine() -> str:
    """The processor, as far as its kernels are concerned."""
    name = platform.processor()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{platform.system()} {platform.machine()} {name}"
