"""What a pass of n tokens and an MTP draft cost here, measured once per model and machine."""

import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.engine.costs import WIDE, Costs
from agent.engine.drafters.mtp import MtpDrafter
from agent.engine.llama import build
from agent.engine.sessions import Session
from agent.engine.target import ROLLBACK
from agent.engine.weights import Weights

__all__ = [
    "calibrate",
    "curve_file",
    "drafting_time",
    "load_costs",
    "pass_time",
    "saving_time",
    "store_costs",
]

_ROUNDS = 5
_CONTEXT = 32
"""Tokens decoded before each measurement: short, as attention is a small part of a step."""
_LARGE_S = 0.02
"""Plain step from which each point is measured once: there is no new graph to be seen there."""
_LARGE_STEPS = 60
"""Plain steps that such a round takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """Seconds of each thing, in one round."""

    switch: float
    passes: tuple[float, ...]
    wide: tuple[float, ...]
    whole: tuple[float, float]
    """A first MTP draft and a further one, with the head of the whole vocabulary."""
    trimmed: tuple[float, float] | None
    """With the draft head, where there is one."""
    save: float


def calibrate(session: Session, *, budget_s: float = 2.0) -> Costs | None:
    """Measure the cost curve; empties the session. None where one round takes too long.

    Each point is the median over up to five rounds of its ratio to the round's own plain pass:
    the best of each would compare a lucky plain pass with a lucky whole step, and an MTP step has
    more that must go well.
    """
    deadline = time.monotonic() + budget_s
    rounds: list[_Round] = []
    while len(rounds) < _ROUNDS:
        found = _round(session, deadline)
        if found is None:
            break
        rounds.append(found)
    session.reset()
    if not rounds:
        return None

    def middle(values: Callable[[_Round], Sequence[float]]) -> tuple[float, ...]:
        scaled = [[v / r.passes[0] for v in values(r)] for r in rounds]
        return tuple(round(statistics.median(column), 3) for column in zip(*scaled, strict=True))

    switch, save, *whole = middle(lambda r: (r.switch, r.save, *r.whole))
    part = list(middle(lambda r: r.trimmed or ()))
    trimmed = bool(part) and sum(part) < sum(whole)
    first, row = part if trimmed else whole
    return Costs(
        verify=(0.0, *(max(t, 1.0) for t in middle(lambda r: r.passes))),
        wide=middle(lambda r: r.wide),
        mtp_row=row,
        mtp_first=first,
        switch=switch,
        plain_s=statistics.median(r.passes[0] for r in rounds),
        window=session.target.rollback,
        save=save,
        trimmed=trimmed,
    )


def _round(session: Session, deadline: float) -> _Round | None:
    """One measurement of everything; None past the deadline."""
    session.begin(list(range(_CONTEXT)), fresh=True)
    plain, change = pass_time(session, 1, 8)
    large = plain > _LARGE_S
    if large and time.monotonic() + _LARGE_STEPS * plain > deadline:
        return None
    passes, changes = [plain], [change]
    for n in (*range(2, ROLLBACK + 2), *(w for w in WIDE if w <= session.target.longest + 1)):
        taken, change = pass_time(session, n, 1 if large else 4)
        passes.append(taken)
        changes.append(change)
        if time.monotonic() > deadline:
            return None
        if n > ROLLBACK:  # keep the context short
            session.begin(list(range(_CONTEXT)), fresh=True)
    whole, trimmed = _drafting(session, passes[1], 10 if not large else 4)
    return _Round(
        switch=0.0 if large else max(statistics.median(changes), 0.0),
        passes=tuple(passes[: ROLLBACK + 1]),
        wide=tuple(passes[ROLLBACK + 1 :]),
        whole=whole,
        trimmed=trimmed,
        save=saving_time(session),
    )


def _go_on() -> None:
    pass


def pass_time(
    session: Session, n: int, times: int, pause: Callable[[], None] = _go_on
) -> tuple[float, float]:
    """Seconds of a pass of n tokens, and what the first one took beyond that: a pass of another
    width than the last pays for a new graph. `pause` runs before each pass and may raise."""
    spent = []
    for _ in range(times):
        pause()
        started = session.clock()
        session.target.decode([1] * n, lambda *_: None)
        spent.append(session.clock() - started)
    usual = statistics.median(spent[1:] or spent)
    return usual, spent[0] - usual


def saving_time(session: Session) -> float:
    """Seconds to remember the recurrent state."""
    if not session.model.is_hybrid:
        return 0.0
    session.target.context.set_checkpoint()  # the first allocates
    started = session.clock()
    session.target.context.set_checkpoint()
    return session.clock() - started


def _drafting(
    session: Session, pass_of_two: float, times: int
) -> tuple[tuple[float, float], tuple[float, float] | None]:
    """Seconds of a first and of a further MTP draft: by the whole head, and by the draft head."""
    mtp = session.mtp
    if mtp is None:
        return (0.0, 0.0), None
    before, mtp.trimmed = mtp.trimmed, False
    whole = drafting_time(session, mtp, pass_of_two, times)
    trimmed = None
    if mtp.head is not None:
        mtp.trimmed = True
        trimmed = drafting_time(session, mtp, pass_of_two, times)
    mtp.trimmed = before
    return whole, trimmed


def drafting_time(
    session: Session,
    mtp: MtpDrafter,
    pass_of_two: float,
    times: int,
    pause: Callable[[], None] = _go_on,
) -> tuple[float, float]:
    """Seconds that a whole step with one draft takes beyond its pass of two tokens: catching up,
    draft, rollback; and of each further draft.

    Drafts are kept and refused in turn: the width of the catching up varies as it does in use.
    """
    target, clock = session.target, session.clock
    session.begin(list(range(_CONTEXT)), fresh=True)
    steps: tuple[list[float], list[float]] = ([], [])
    for i in range(times):
        pause()
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
        pause()
        mtp.draft(1, k)
        marks.append(clock())
    short, long = marks[1] - marks[0], marks[2] - marks[1]
    return max(whole - pass_of_two, 0.3 * short), max((long - short) / 4, 0.05 * short)


def curve_file(
    folder: Path,
    model: Path,
    threads: int,
    weights: Weights = Weights(),  # noqa: B008  (frozen)
    variant: str = "",
) -> Path:
    """Where the curve of this model, machine and library is kept: by all that passes' times
    depend on. `variant` names what else is unusual, as running without the fast CPU kernels."""
    facts = model.stat()
    cpu = f"{platform.machine()}-{platform.processor()}-{os.cpu_count()}"
    placed = f"{weights.kv_type}:{weights.gpu_layers}:{weights.experts_in_ram}:{variant}"
    text = f"{model.name}:{facts.st_size}:{facts.st_mtime_ns}:{threads}:{cpu}:{placed}:{build()}:5"
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def load_costs(path: Path) -> Costs | None:
    """The stored curve; None if there is none, or it is damaged."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Costs(
            verify=tuple(float(v) for v in raw["verify"]),
            mtp_row=float(raw["mtp_row"]),
            mtp_first=float(raw["mtp_first"]),
            switch=float(raw["switch"]),
            plain_s=float(raw["plain_s"]),
            wide=tuple(float(v) for v in raw["wide"]),
            window=int(raw["window"]),
            save=float(raw["save"]),
            trimmed=bool(raw["trimmed"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def store_costs(path: Path, costs: Costs) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps(asdict(costs)), encoding="utf-8")
    scratch.replace(path)
