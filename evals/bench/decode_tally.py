"""Speeds of several arms in the same rounds, and their ratios."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.engine.generate import Generated

__all__ = ["Tally", "table"]


@dataclass(slots=True)
class Tally:
    """Tokens decoded and CPU seconds by (group, arm), one entry a round.

    The first token of an answer is not counted: the prompt's last pass gave it. Counted, it would
    flatter the arms that are measured on few tokens (plain on six of them: by a fifth).
    """

    tokens: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    drafts: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    """By arm, of the texts the model writes itself."""
    unlike: int = 0
    """Texts of the model's own that an arm wrote otherwise than plain."""
    rounds: int = 0

    def begin(self) -> None:
        self.rounds += 1

    def add(self, groups: Sequence[str], arm: str, done: Generated, seconds: float) -> None:
        """`groups`: its own, and "all" where every arm decodes the text."""
        if "line_edit" in groups:
            self.drafts[arm] += done.stats.drafted
            self.accepted[arm] += done.stats.accepted
        for key in ((group, arm) for group in groups):
            for store, value in (
                (self.tokens, max(len(done.tokens) - 1, 0)),
                (self.seconds, seconds),
            ):
                column: list[Any] = store.setdefault(key, [])
                if len(column) < self.rounds:
                    column.append(0)
                column[-1] += value

    def speed(self, group: str, arm: str) -> float:
        """Median tokens per CPU second."""
        pairs = zip(self.tokens[group, arm], self.seconds[group, arm], strict=True)
        return statistics.median(n / s for n, s in pairs)

    def ratio(self, group: str, arm: str, other: str = "plain") -> float:
        """Median over rounds of the arm's speed over the other's in the same round."""
        return statistics.median(
            (n / s) / (m / t)
            for n, s, m, t in zip(
                self.tokens[group, arm],
                self.seconds[group, arm],
                self.tokens[group, other],
                self.seconds[group, other],
                strict=True,
            )
        )


def table(tally: Tally, groups: Sequence[str], arms: Sequence[str]) -> Iterator[str]:
    """Markdown: tokens per CPU second of plain, then each arm's ratio to it."""
    yield f"| group | plain tok/s | {' | '.join(a for a in arms if a != 'plain')} |"
    yield "|" + "---|" * (len(arms) + 1)
    for group in groups:
        ratios = [f"{tally.ratio(group, a):.2f}" for a in arms if a != "plain"]
        yield f"| {group} | {tally.speed(group, 'plain'):.0f} | {' | '.join(ratios)} |"
