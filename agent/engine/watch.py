"""Whether drafting really pays: the time of its steps against their prediction and plain ones."""

from dataclasses import dataclass, field

from agent.engine.costs import Costs, Source

__all__ = ["Pace", "PaceState", "Watch"]

_STEPS = 32
"""Drafting steps after which their gain is believed."""
_TRIAL = 4
"""Steps of a probe: one alone would mostly pay for the change of width."""
_LEAST_GAIN = 0.97
_PROBE_EVERY = 64
_LONGEST_WAIT = 1024
_PROBE_SHARE = 0.015
"""Most of the time that probing may cost."""
_OWN = 4
"""Plain steps after which their time here counts, not the calibrated one."""

_LOOK_EVERY = 96
"""Tokens without a plain step after which one is made, to see what it takes now: on a shared
machine memory got twice as fast within a minute, and drafts that had paid no longer did."""
_FORGET = 1 / 2000
"""Share of a handicap forgotten a plain step: a machine that was busy is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceState:
    """What a Pace knows, to go on from there."""

    plain_s: float
    plain_steps: int
    spent: dict[Source, float]
    predicted: dict[Source, float]


@dataclass(slots=True)
class Pace:
    """What steps really take here, over all requests of an engine. Knows nothing at first.

    A calibration is a few steps on an idle context; caches, contexts taking turns and the loop
    around them made MTP steps of a 3 M model 1.4 times as dear as predicted.
    """

    costs: Costs
    plain_s: float = 0.0
    plain_steps: int = 0
    _spent: dict[Source, float] = field(default_factory=lambda: {"mtp": 4.0, "copy": 4.0})
    _predicted: dict[Source, float] = field(default_factory=lambda: {"mtp": 4.0, "copy": 4.0})

    def __post_init__(self) -> None:
        self.plain_s = self.plain_s or self.costs.plain_s

    def state(self) -> PaceState:
        return PaceState(
            plain_s=self.plain_s,
            plain_steps=self.plain_steps,
            spent=dict(self._spent),
            predicted=dict(self._predicted),
        )

    @classmethod
    def resumed(cls, costs: Costs, state: PaceState) -> "Pace":
        spent, predicted = dict(state.spent), dict(state.predicted)
        return cls(costs, state.plain_s, state.plain_steps, spent, predicted)

    def handicap(self, source: Source) -> float:
        """By how much a step is dearer than predicted."""
        return self._spent[source] / self._predicted[source]

    def plain(self, spent: float, *, stale: bool = False) -> None:
        """A plain step took `spent`; `stale`: the first for long."""
        self.plain_steps += 1
        # One interruption must not make plain decoding look slow.
        spent = min(spent, 2 * self.plain_s) if self.plain_s else spent
        self.plain_s += (spent - self.plain_s) / (2 if stale else min(16, self.plain_steps))
        for source, predicted in self._predicted.items():
            self._spent[source] += _FORGET * (predicted - self._spent[source])

    def drafting(
        self, source: Source, drafted: int, tokens: int, spent: float, *, turned: bool
    ) -> None:
        """A step with drafts gave `tokens` and took `spent`; `turned`: the last pass had another
        width."""
        if not self.plain_s:
            return
        predicted = self.costs.step(source, drafted) + self.costs.switch * turned
        predicted += self.costs.again(drafted, tokens - 1)
        taken = min(spent / self.plain_s, 3 * predicted)
        self._spent[source] = 0.95 * self._spent[source] + taken
        self._predicted[source] = 0.95 * self._predicted[source] + predicted


@dataclass(slots=True)
class _Account:
    steps: int = 0
    tokens: int = 0
    cost: float = 0.0
    """Seconds, or plain steps where there is no clock."""
    needed: int = _STEPS
    closed_for: int = 0
    """Tokens still to pass before it is tried again."""
    wait: int = _PROBE_EVERY
    idle: int = 0
    trial: int = 0


class Watch:
    """Stop-loss and probing of both drafters over one request."""

    def __init__(self, costs: Costs, pace: Pace | None = None) -> None:
        """`pace` None: predicted costs only."""
        self._costs, self._pace = costs, pace
        self._accounts: dict[Source, _Account] = {"mtp": _Account(), "copy": _Account()}
        self._since_plain = 0

    def looks(self) -> bool:
        """Whether the next step is to be plain, for its time."""
        return self._pace is not None and self._since_plain >= _LOOK_EVERY

    def handicap(self, source: Source) -> float:
        return self._pace.handicap(source) if self._pace else 1.0

    def open(self, source: Source) -> bool:
        """Whether it may be used where it is predicted to pay."""
        return self._accounts[source].closed_for <= 0

    def probes(self, source: Source, loss: float) -> bool:
        """Whether a drafter not predicted to pay is to be tried now. `loss`: of one such step."""
        account = self._accounts[source]
        if account.trial == 0:
            price = _TRIAL * max(loss, 0.0) + 2 * self._costs.switch
            if account.idle < max(account.wait, price / _PROBE_SHARE) or account.closed_for > 0:
                return False
            account.trial = _TRIAL
            account.wait = min(2 * account.wait, _LONGEST_WAIT)
        account.trial -= 1
        return True

    def record(
        self, source: Source | None, drafted: int, tokens: int, spent: float, *, turned: bool
    ) -> None:
        """A step is over: `drafted` tokens from `source` gave `tokens`, in `spent` seconds."""
        if self._pace is not None:
            if source is not None:
                self._pace.drafting(source, drafted, tokens, spent, turned=turned)
            elif not drafted:
                self._plain(self._pace, spent, turned=turned)
        self._since_plain = self._since_plain + tokens if drafted else 0
        for name, account in self._accounts.items():
            if name != source:
                account.idle += tokens
                account.closed_for -= tokens
        if source is not None:
            self._spend(source, drafted, tokens, spent)

    def _plain(self, pace: Pace, spent: float, *, turned: bool) -> None:
        dear = self._costs.switch * turned
        if dear < 0.2:  # else it says more about the change of width
            stale = self._since_plain >= _LOOK_EVERY // 2
            pace.plain(spent - dear * pace.plain_s, stale=stale)

    def _spend(self, source: Source, drafted: int, tokens: int, spent: float) -> None:
        account = self._accounts[source]
        account.idle = 0
        account.steps += 1
        account.tokens += tokens
        unit = self._pace.plain_s if self._pace else 0.0
        if not unit:
            spent = self._costs.step(source, drafted) + self._costs.again(drafted, tokens - 1)
        account.cost += spent
        if account.steps < account.needed:
            return
        pays = account.tokens * (unit or 1.0) >= _LEAST_GAIN * account.cost
        known = self._pace is None or self._pace.plain_steps >= _OWN
        fresh = _Account(wait=_PROBE_EVERY if pays else account.wait)
        if not pays:
            # Few plain steps seen: the calibrated time may be wrong, look at some before judging.
            fresh.closed_for = account.wait if known else _OWN
            fresh.needed = _TRIAL if known else _STEPS // 2
            fresh.wait = min(2 * account.wait, _LONGEST_WAIT) if known else account.wait
        self._accounts[source] = fresh
