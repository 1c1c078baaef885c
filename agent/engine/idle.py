"""The cost curve measured in idle time: pass by pass, kept after every point, given up at once.

A pass cannot be stopped, so only passes expected to take at most SLICE_S are made, and before each
it is asked whether a request waits. What was measured is kept on disk point by point; the next
worker goes on from there. A context of its own is used, so that the prefix of the last request
stays where it is.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from agent.engine.calibration import drafting_time, pass_time, saving_time, store_costs
from agent.engine.costs import WIDE, Costs
from agent.engine.drafters.mtp import MtpDrafter
from agent.engine.engine import Engine
from agent.engine.sessions import Session
from agent.engine.target import ROLLBACK

__all__ = ["SLICE_S", "Calibrator", "State"]

SLICE_S = 0.5
"""Longest pass made in idle time: a request that comes then waits for it."""
_CONTEXT = 256

State = Literal["measured", "partial", "assumed"]


class _GivenUp(Exception):
    """A request waits."""


class Calibrator:
    """Measures what `engine.costs` does not know yet. Used on the engine's own thread only."""

    def __init__(self, engine: Engine, path: Path, *, measured: bool) -> None:
        """`path`: where the whole curve is kept (see curve_file); what is known of it, beside."""
        self._engine, self._path = engine, path
        self._part = path.with_suffix(".part")
        self._session: Session | None = None
        self._measured = measured
        self._stopped = ""
        self._points = _points(engine)
        self._known: dict[str, tuple[float, ...]] = {} if measured else self._read()
        self.hurried = False
        """Asked for: passes of any length, and no waiting for a first answer."""

    @property
    def done(self) -> int:
        return len(self._points) if self._measured else len(self._known)

    @property
    def of(self) -> int:
        return len(self._points)

    @property
    def state(self) -> State:
        if self._measured:
            return "measured"
        return "partial" if self._known else "assumed"

    @property
    def finished(self) -> bool:
        """There is nothing (more) that could be measured."""
        return self._measured or bool(self._stopped)

    @property
    def note(self) -> str:
        """Why it does not go on; empty otherwise."""
        return self._stopped

    def give_up(self, reason: str) -> None:
        """Do not try again in this process, unless it is asked for."""
        self._stopped, self.hurried = reason, False

    def step(self, waiting: Callable[[], bool]) -> None:
        """Measure one more point, unless a request waits; the last one completes the curve."""
        missing = [p for p in self._points if p not in self._known]
        if self.finished:
            return

        def pause() -> None:
            if waiting():
                raise _GivenUp

        try:
            if missing:
                self._known[missing[0]] = self._measure(missing[0], pause)
                self._keep()
        except _GivenUp:
            return
        if len(missing) <= 1:
            self._complete()

    def hurry(self) -> None:
        """Measure at once, whatever a pass takes; what was left out as too long, too."""
        self.hurried, self._stopped = True, ""
        self._known = {p: found for p, found in self._known.items() if found}

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    # ------------------------------------------------------------------ measuring

    def _measure(self, point: str, pause: Callable[[], None]) -> tuple[float, ...]:
        """Ratios to plain passes of the same moment; for "1" seconds. Empty: too long to try."""
        pause()
        if self._session is None:
            engine = self._engine
            self._session = Session(engine.model, n_ctx=_CONTEXT, threads=engine.session.threads)
        session = self._session
        if point.isdigit() and self._exceeds(int(point)):
            if int(point) > ROLLBACK + 1:
                return ()
            self.give_up(f"a pass takes more than {SLICE_S} s here")
            raise _GivenUp
        session.begin(list(range(8)), fresh=True)
        plain = pass_time(session, 1, 3, pause)[0]
        if point == "1":
            return (plain,)
        if point == "save":
            return (saving_time(session) / plain,)
        if point.isdigit():
            return (pass_time(session, int(point), 2, pause)[0] / plain,)
        assert session.mtp is not None
        session.mtp.trimmed = point == "head"
        return _drafting(session, session.mtp, self._known["2"][0] * plain, plain, pause)

    def _exceeds(self, n: int) -> bool:
        if self.hurried or "1" not in self._known:
            return False
        return self._known["1"][0] * self._engine.costs.pass_of(n) > SLICE_S

    def _complete(self) -> None:
        known = self._known
        whole, part = known.get("mtp", (0.0, 0.0)), known.get("head", ())
        trimmed = bool(part) and sum(part) < sum(whole)
        first, row = part if trimmed else whole
        wide: list[float] = []
        for width in WIDE:
            found = known.get(str(width))
            if not found:
                break
            wide.append(round(found[0], 3))
        narrow = (max(known[str(n)][0], 1.0) for n in range(2, ROLLBACK + 2))
        costs = Costs(
            verify=(0.0, 1.0, *(round(v, 3) for v in narrow)),
            wide=tuple(wide),
            mtp_first=round(first, 3),
            mtp_row=round(row, 3),
            plain_s=known["1"][0],
            window=self._engine.session.target.rollback,
            save=round(known["save"][0], 3),
            trimmed=trimmed,
        )
        store_costs(self._path, costs)
        self._part.unlink(missing_ok=True)
        self._engine.costs = costs
        self._measured = True
        self.close()

    # ------------------------------------------------------------------ on disk

    def _keep(self) -> None:
        self._part.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._part.with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps(self._known), encoding="utf-8")
        scratch.replace(self._part)

    def _read(self) -> dict[str, tuple[float, ...]]:
        """What an earlier worker measured; nothing where the file is damaged."""
        try:
            raw = json.loads(self._part.read_text(encoding="utf-8"))
            return {p: tuple(map(float, raw[p])) for p in self._points if p in raw}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def _points(engine: Engine) -> tuple[str, ...]:
    """What makes the curve, the plain pass first and the longest runs last."""
    mtp = engine.session.mtp
    heads = () if mtp is None else ("mtp",) if mtp.head is None else ("mtp", "head")
    wide = (w for w in WIDE if w <= engine.session.target.longest + 1)
    return ("1", *map(str, range(2, ROLLBACK + 2)), "save", *heads, *map(str, wide))


def _drafting(
    session: Session, mtp: MtpDrafter, two: float, plain: float, pause: Callable[[], None]
) -> tuple[float, float]:
    first, row = drafting_time(session, mtp, two, 4, pause)
    return first / plain, row / plain
