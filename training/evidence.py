"""Real evidence for an edit step: original and mutant run on the same generated inputs."""

import random

__all__ = ["evidence"]


def evidence(original: str, mutant: str, rng: random.Random) -> tuple[str, ...]:
    """Evidence lines (without the `! `), empty when the two cannot be run or do not differ."""
    return ()
