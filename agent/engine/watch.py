"""Stop-loss: whether drafting really pays, by the time its steps take beside plain ones."""

from dataclasses import dataclass

from agent.engine.costs import Costs, Source

__all__ = ["Watch"]

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
    """Accounts of both drafters over one request."""

    def __init__(self, costs: Costs, *, timed: bool) -> None:
        self._costs = costs
        self._timed = timed and costs.plain_s > 0
        self._plain_s = costs.plain_s
        self._plain_steps = 0
        self._accounts: dict[Source, _Account] = {"mtp": _Account(), "copy": _Account()}

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

    def record(self, source: Source | None, drafted: int, tokens: int, spent: float) -> None:
        """A step is over: `drafted` tokens from `source` gave `tokens`, in `spent` seconds."""
        if source is None and drafted == 0 and spent > 0:
            self._plain(spent)
        for name, account in self._accounts.items():
            if name != source:
                account.idle += tokens
                account.closed_for -= tokens
        if source is not None:
            self._spend(source, drafted, tokens, spent)

    def _plain(self, spent: float) -> None:
        self._plain_steps += 1
        known = self._plain_steps > 1
        self._plain_s += (spent - self._plain_s) / 8 if known else spent - self._plain_s

    def _spend(self, source: Source, drafted: int, tokens: int, spent: float) -> None:
        account = self._accounts[source]
        account.idle = 0
        account.steps += 1
        account.tokens += tokens
        account.cost += spent if self._timed else self._costs.step(source, drafted)
        if account.steps < account.needed:
            return
        unit = self._plain_s if self._timed else 1.0
        pays = account.tokens * unit >= _LEAST_GAIN * account.cost
        known = not self._timed or self._plain_steps >= _OWN
        fresh = _Account(wait=account.wait if not pays else _PROBE_EVERY)
        if not pays:
            # Few plain steps seen: the calibrated time may be wrong, look at some before judging.
            fresh.closed_for = account.wait if known else _OWN
            fresh.needed = _TRIAL if known else _STEPS // 2
            fresh.wait = min(2 * account.wait, _LONGEST_WAIT) if known else account.wait
        self._accounts[source] = fresh
