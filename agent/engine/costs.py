"""What a pass costs on this machine, and how many drafts pay at given acceptance rates."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["MARGIN", "WIDE", "Costs", "Source"]

Source = Literal["mtp", "copy"]

MARGIN = 1.05
"""Least predicted gain over plain. Two calibrations of one machine differ by 2 to 20 %."""

WIDE = (12, 16, 20, 24, 28, 32)
"""Widths measured beyond the window: kernels work in blocks of four columns (a pass of 17 took
as long as one of 20)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Cost curve of a machine and model, in units of one plain step.

    `verify[n]`: a pass of n tokens (index 0 unused), `wide`: passes of the widths in WIDE, as far
    as they are known; `mtp_first`: what a step with one MTP draft costs beyond that (catching up,
    draft, rollback); `mtp_row`: each further draft. The default was measured for a 0.77 B Q8_0
    model on two CPU cores; calibration replaces it.
    """

    verify: tuple[float, ...] = (0.0, 1.0, 1.24, 1.50, 1.73, 2.1, 2.35, 2.55, 2.68, 2.8)
    wide: tuple[float, ...] = (3.2, 3.8, 4.5, 5.1, 5.9, 6.5)
    mtp_row: float = 0.32
    mtp_first: float = 0.32
    switch: float = 0.0
    """What a pass costs more when the last had another width: llama.cpp builds a new graph.
    0.6 of a step for a 3 M model (0.2 ms), nothing that can be seen for 0.8 B."""
    plain_s: float = 0.0
    """Seconds of a plain step when it was measured (CPU seconds with one thread); 0: unknown."""
    window: int = 8
    """Drafts that are taken back without decoding others again."""
    save: float = 0.03
    """To remember the state before a longer run, and as much again to go back to it."""
    trimmed: bool = False
    """MTP drafts come from the draft head over frequent tokens: cheaper here, or assumed to be."""

    @classmethod
    def assumed(cls, *, trimmed: bool, window: int) -> "Costs":
        """Before anything is measured. `trimmed`: there is a draft head, and it is in use (2 to 4
        ms a draft at 0.77 B, where the whole head takes 41)."""
        if trimmed:
            return cls(mtp_first=0.08, mtp_row=0.04, trimmed=True, window=window)
        return cls(window=window)

    def pass_of(self, n: int) -> float:
        """Between the widths measured, the next of them."""
        if n < len(self.verify):
            return self.verify[n]
        at = bisect_left(WIDE, n)
        if at < len(self.wide):
            return self.wide[at]
        if not self.wide:
            return self.verify[-1] * n / (len(self.verify) - 1)
        return self.wide[-1] * n / WIDE[len(self.wide) - 1]

    def drafting(self, source: Source, k: int) -> float:
        """What k drafts cost: copying is free."""
        if source == "mtp":
            return self.mtp_first + (k - 1) * self.mtp_row if k else 0.0
        return self.save if k > self.window else 0.0

    def step(self, source: Source, k: int) -> float:
        """A step with k drafts, in plain steps, its width being that of the last."""
        return self.pass_of(k + 1) + self.drafting(source, k)

    def again(self, k: int, accepted: int) -> float:
        """What taking back the others of k drafts costs when `accepted` were right."""
        surplus = k - accepted
        return self.save + self.pass_of(accepted + 1) if surplus > self.window else 0.0

    def best(
        self, source: Source, rates: Sequence[float], *, width: int = 1, reach: float = 48.0
    ) -> tuple[int, float]:
        """The draft length of the largest gain (tokens per plain step's time), and that gain.

        `rates[j]`: chance that draft j is accepted once those before it were. `width`: of the last
        pass. `reach`: tokens for which this way of drafting is expected to go on, over which the
        change of width and the change back are spread.
        """
        best, gain, expected, chance, again = 0, 1.0, 1.0, 1.0, 0.0
        ends: list[float] = []
        """Chance that the run is right up to just there."""
        for k, rate in enumerate(rates, 1):
            ends.append(chance * (1 - rate))
            chance *= rate
            expected += chance
            if k > self.window:
                short = k - self.window - 1
                again += ends[short] * self.again(k, short)
            turns = (k + 1 != width) + 1
            price = self.step(source, k) + self.switch * turns * min(1.0, expected / reach) + again
            if expected / price > gain:
                best, gain = k, expected / price
        return best, gain

    def best_k(self, source: Source, acceptance: float, longest: int) -> int:
        """The draft length of the largest gain at one rate; 0 when drafting does not pay."""
        k, gain = self.best(source, [acceptance] * longest)
        return k if gain > MARGIN else 0
