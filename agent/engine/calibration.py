"""What a pass of n tokens and an MTP draft cost here, measured once per model and machine."""

import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from agent.engine.costs import Costs
from agent.engine.sessions import Session

__all__ = ["calibrate", "load_costs", "store_costs"]

_ROUNDS = 5
_CONTEXT = 32
"""Tokens decoded before each measurement: short, as attention is a small part of a step."""


def calibrate(session: Session, *, budget_s: float = 1.0) -> Costs | None:
    """Measure the cost curve; empties the session. None where one round takes too long.

    Each point is the median over up to five rounds of its ratio to the round's own plain pass:
    the best of each would compare a lucky plain pass with a lucky whole step, and an MTP step has
    more that must go well.
    """
    clock = session.clock
    deadline = time.monotonic() + budget_s
    rounds: list[list[float]] = []
    while len(rounds) < _ROUNDS:
        found = _round(session, clock, deadline)
        if not found:
            break
        rounds.append(found)
    session.reset()
    if not rounds:
        return None
    scaled = [[point / found[1] for point in found] for found in rounds]
    switch, *passes, first, row = [
        round(statistics.median(column), 3) for column in zip(*scaled, strict=True)
    ]
    return Costs(
        verify=(0.0, *(max(t, 1.0) for t in passes)),
        mtp_row=row,
        mtp_first=first,
        switch=switch,
        plain_s=statistics.median(found[1] for found in rounds),
    )


def _round(session: Session, clock: Callable[[], float], deadline: float) -> list[float]:
    """Seconds of a change of width, of a pass of 1, 2, … tokens, then of a first and of a further
    MTP draft; empty past the deadline."""
    session.begin(list(range(_CONTEXT)), fresh=True)
    taken, changes = [], []
    for n in range(1, session.target.rollback + 2):
        # A pass of another width than the last pays for a new graph: the others count.
        spent = []
        for _ in range(8 if n == 1 else 4):
            started = clock()
            session.target.decode([1] * n, lambda *_: None)
            spent.append(clock() - started)
        taken.append(statistics.median(spent[1:]))
        changes.append(spent[0] - taken[-1])
        if time.monotonic() > deadline:
            return []
    switch = max(statistics.median(changes), 0.0)
    return [switch, *taken, *_mtp(session, clock, taken[1])]


def _mtp(session: Session, clock: Callable[[], float], pass_of_two: float) -> tuple[float, float]:
    """Seconds that a whole step with one draft takes beyond its pass of two tokens: catching up,
    draft, rollback; and of each further draft.

    Drafts are kept and refused in turn: the width of the catching up varies as it does in use.
    """
    target, mtp = session.target, session.mtp
    if mtp is None:
        return 0.0, 0.0
    session.begin(list(range(_CONTEXT)), fresh=True)
    steps: tuple[list[float], list[float]] = ([], [])
    for i in range(10):
        started = clock()
        drafted = mtp.draft(1, 1)
        target.decode([1, *drafted], session.observe)
        if i % 2:
            target.take_back(1)
            mtp.truncate(len(target.tokens))
        steps[i % 2].append(clock() - started)
    whole = statistics.mean(statistics.median(s[1:]) for s in steps)
    marks = [clock()]
    for k in (1, 5):
        mtp.draft(1, k)
        marks.append(clock())
    short, long = marks[1] - marks[0], marks[2] - marks[1]
    return max(whole - pass_of_two, 0.0), max((long - short) / 4, 0.05 * short)


def _key(model: Path, threads: int) -> str:
    facts = model.stat()
    cpu = f"{platform.machine()}-{platform.processor()}-{os.cpu_count()}"
    text = f"{model.name}:{facts.st_size}:{facts.st_mtime_ns}:{threads}:{cpu}:2"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_costs(folder: Path, model: Path, threads: int) -> Costs | None:
    """The stored curve of this model and machine; None if there is none, or it is damaged."""
    path = folder / f"{_key(model, threads)}.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Costs(
            verify=tuple(float(v) for v in raw["verify"]),
            mtp_row=float(raw["mtp_row"]),
            mtp_first=float(raw["mtp_first"]),
            switch=float(raw["switch"]),
            plain_s=float(raw["plain_s"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def store_costs(folder: Path, model: Path, threads: int, costs: Costs) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_key(model, threads)}.json"
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps(asdict(costs)), encoding="utf-8")
    scratch.replace(path)
