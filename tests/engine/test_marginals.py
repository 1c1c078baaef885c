"""Sampled tokens have the target's distribution, whatever was drafted: a χ² test."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from agent.engine.generate import Job, generate
from agent.engine.llama import Model
from agent.engine.sampling import Sampler, Sampling
from agent.engine.target import Target

SEEDS, LENGTH, KEEP = 300, 3, 3
CRITICAL = 4.0
"""Standard deviations of a χ² (Wilson-Hilferty) that a right sampler exceeds once in 30,000."""


class Drafts:
    """The likeliest continuation, and nonsense every third time."""

    name = "drafts"

    def __init__(self, exact: dict[tuple[int, ...], float], turn: int) -> None:
        self._exact, self._turn = exact, turn
        self._done: tuple[int, ...] = ()

    def propose(self, token: int, room: int) -> Sequence[int]:
        self._turn += 1
        n = len(self._done)
        follow = {t: p for t, p in self._exact.items() if t[:n] == self._done}
        best = max(follow, key=lambda t: follow[t])
        return (best[n:] if self._turn % 3 else (9, 9))[:room]

    def judged(self, drafted: int, accepted: int, committed: Sequence[int]) -> None:
        self._done += tuple(committed)


class Setup:
    def __init__(self, path: Path) -> None:
        self.model = Model(path)
        self.target = Target(self.model, n_ctx=128, threads=1, n_batch=64)
        self.prompt = self.model.tokenize("the cat in there", special=False)

    def row(self, tokens: Sequence[int]) -> np.ndarray:
        self.target.reset()
        return self.target.prefill(tokens, lambda *_: None, lambda: None).copy()

    def sampled(
        self, settings: Sampling, exact: dict[tuple[int, ...], float]
    ) -> tuple[tuple[int, ...], int]:
        row = self.row(self.prompt)
        job = Job(
            sampler=Sampler(settings),
            proposer=Drafts(exact, settings.seed),
            max_tokens=LENGTH + 1,  # the last token of an answer is never drafted
        )
        running = generate(self.target, row, job)
        while True:
            try:
                next(running)
            except StopIteration as stop:
                return stop.value.tokens, stop.value.stats.accepted

    def exact(self, settings: Sampling) -> dict[tuple[int, ...], float]:
        """Probability of every text of LENGTH tokens."""
        found: dict[tuple[int, ...], float] = {(): 1.0}
        for _ in range(LENGTH):
            longer: dict[tuple[int, ...], float] = {}
            for text, p in found.items():
                row = self.row([*self.prompt, *text]).astype(np.float64)
                order = np.argsort(-row)[:KEEP]
                weights = np.exp((row[order] - row.max()) / settings.temperature)
                for t, chance in zip(order, weights / weights.sum(), strict=True):
                    longer[*text, int(t)] = p * float(chance)
            found = longer
        return found


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_marginals_of_each_position(tiny_models: dict[str, Path], temperature: float) -> None:
    setup = Setup(tiny_models["noisy"])
    base = Sampling(temperature=temperature, top_k=KEEP)
    exact = setup.exact(base)
    counts: list[Counter[int]] = [Counter() for _ in range(LENGTH)]
    accepted = 0
    for seed in range(SEEDS):
        settings = Sampling(temperature=temperature, top_k=KEEP, seed=seed)
        tokens, right = setup.sampled(settings, exact)
        accepted += right
        for column, token in zip(counts, tokens[:LENGTH], strict=False):
            column[token] += 1
    assert accepted > SEEDS / 4, "drafts were at work"
    for position, column in enumerate(counts):
        expected: Counter[int] = Counter()
        for text, p in exact.items():
            expected[text[position]] += SEEDS * p  # type: ignore[assignment]
        usual = [t for t, n in expected.items() if n >= 5]
        rest = sum(n for t, n in expected.items() if t not in usual)
        square = sum((column[t] - expected[t]) ** 2 / expected[t] for t in usual)
        seen = sum(column[t] for t in column if t not in usual)
        square += (seen - rest) ** 2 / rest if rest > 1 else 0.0
        freedom = max(len(usual) - 1 + (rest > 1), 1)
        spread = 2 / (9 * freedom)
        deviation = ((square / freedom) ** (1 / 3) - (1 - spread)) / spread**0.5
        assert deviation < CRITICAL, f"position {position}: χ² {square:.1f} of {freedom}"
    setup.target.close()
    setup.model.close()
