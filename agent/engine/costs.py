"""What a pass costs on this machine, and how many drafts pay at given acceptance rates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["MARGIN", "Costs", "Source"]

Source = Literal["mtp", "copy"]

MARGIN = 1.05
"""Least predicted gain over plain. Two calibrations of one machine differ by 2 to 20 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Cost curve of a machine and model, in units of one plain step.

    `verify[n]`: a pass of n tokens (index 0 unused); `mtp_first`: what a step with one MTP draft
    costs beyond that (catching up, draft, rollback); `mtp_row`: each further draft. The default
    was measured for a 0.77 B Q8_0 model on two CPU cores; calibration replaces it.
    """

    verify: tuple[float, ...] = (0.0, 1.0, 1.24, 1.50, 1.73, 2.1, 2.35, 2.55, 2.68, 2.8)
    mtp_row: float = 0.32
    mtp_first: float = 0.32
    switch: float = 0.0
    """What a pass costs more when the last had another width: llama.cpp builds a new graph.
    0.6 of a step for a 3 M model (0.2 ms), nothing that can be seen for 0.8 B."""
    plain_s: float = 0.0
    """Seconds of a plain step when it was measured (CPU seconds with one thread); 0: unknown."""

    def pass_of(self, n: int) -> float:
        if n < len(self.verify):
            return self.verify[n]
        return self.verify[-1] * n / (len(self.verify) - 1)

    def drafting(self, source: Source, k: int) -> float:
        """What k drafts cost: copying is free."""
        return self.mtp_first + (k - 1) * self.mtp_row if source == "mtp" and k else 0.0

    def step(self, source: Source, k: int) -> float:
        """A step with k drafts, in plain steps, its width being that of the last."""
        return self.pass_of(k + 1) + self.drafting(source, k)

    def best(
        self, source: Source, rates: Sequence[float], *, width: int = 1, reach: float = 48.0
    ) -> tuple[int, float]:
        """The draft length of the largest gain (tokens per plain step's time), and that gain.

        `rates[j]`: chance that draft j is accepted once those before it were. `width`: of the last
        pass. `reach`: tokens for which this way of drafting is expected to go on, over which the
        change of width and the change back are spread.
        """
        best, gain, expected, chance = 0, 1.0, 1.0, 1.0
        for k, rate in enumerate(rates, 1):
            chance *= rate
            expected += chance
            turns = (k + 1 != width) + 1
            price = self.step(source, k) + self.switch * turns * min(1.0, expected / reach)
            if expected / price > gain:
                best, gain = k, expected / price
        return best, gain

    def best_k(self, source: Source, acceptance: float, longest: int) -> int:
        """The draft length of the largest gain at one rate; 0 when drafting does not pay."""
        k, gain = self.best(source, [acceptance] * longest)
        return k if gain > MARGIN else 0
