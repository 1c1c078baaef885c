"""What a pass of n tokens and an MTP draft cost here, measured once per model and machine."""

import hashlib
import json
import os
import platform
import time
from pathlib import Path

from agent.engine.sessions import Session
from agent.engine.strategy import Costs

__all__ = ["calibrate", "load_costs", "store_costs"]

_BUDGET_S = 4.0
_REPEATS = 5
_CONTEXT = 32
"""Tokens decoded before each measurement: short, as attention is a small part of a step."""


def calibrate(session: Session, *, budget_s: float = _BUDGET_S) -> Costs | None:
    """Measure the cost curve; empties the session. None where one step alone takes too long."""
    deadline = time.monotonic() + budget_s
    target, longest = session.target, session.target.rollback
    session.begin(list(range(_CONTEXT)), fresh=True)
    best: list[float] = [0.0] * (longest + 2)
    for n in range(1, longest + 2):
        taken = []
        for _ in range(_REPEATS):
            started = time.perf_counter()
            target.decode([1] * n, lambda *_: None)
            taken.append(time.perf_counter() - started)
            if time.monotonic() > deadline:
                session.reset()
                return None
        best[n] = min(taken)
    session.reset()
    row = _mtp_row(session)
    session.reset()
    scaled = [0.0, *(max(t / best[1], 1.0) for t in best[1:])]
    return Costs(verify=tuple(round(v, 3) for v in scaled), mtp_row=round(row / best[1], 3))


def _mtp_row(session: Session) -> float:
    """Seconds of one MTP draft, as a difference so that the catch-up does not count."""
    if session.mtp is None:
        return 0.0
    session.begin(list(range(_CONTEXT)), fresh=True)
    session.mtp.draft(1, 1)
    taken = {}
    for k in (1, 3):
        runs = []
        for _ in range(_REPEATS):
            started = time.perf_counter()
            session.mtp.draft(1, k)
            runs.append(time.perf_counter() - started)
        taken[k] = min(runs)
    return max((taken[3] - taken[1]) / 2, 0.05 * taken[1])


def _key(model: Path, threads: int) -> str:
    facts = model.stat()
    cpu = f"{platform.machine()}-{platform.processor()}-{os.cpu_count()}"
    text = f"{model.name}:{facts.st_size}:{facts.st_mtime_ns}:{threads}:{cpu}:1"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_costs(folder: Path, model: Path, threads: int) -> Costs | None:
    """The stored curve of this model and machine; None if there is none, or it is damaged."""
    path = folder / f"{_key(model, threads)}.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Costs(verify=tuple(float(v) for v in raw["verify"]), mtp_row=float(raw["mtp_row"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def store_costs(folder: Path, model: Path, threads: int, costs: Costs) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_key(model, threads)}.json"
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps({"verify": costs.verify, "mtp_row": costs.mtp_row}))
    scratch.replace(path)
