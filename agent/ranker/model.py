"""The ranker's weights, and what scores mean.

One hidden layer over `features`, trained listwise: among the candidates of one task, softmax of
the scores is the probability that a candidate is the repair. `weights.npz` is made by
`python -m training.ranker`, which also writes how well it does on packages it was not trained on.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from agent.ranker.features import NAMES
from agent.ranker.tokens import General

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["WEIGHTS", "Ranker", "load"]

WEIGHTS = Path(__file__).with_name("weights.npz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranker:
    """Shapes: F features, H hidden units."""

    mean: "Floats"
    """F: taken from each row before anything else."""
    scale: "Floats"
    """F: what it is then divided by."""
    inner: "Floats"
    """F x H."""
    bias: "Floats"
    """H."""
    outer: "Floats"
    """H."""
    direct: "Floats"
    """F: a linear path beside the hidden layer."""
    temperature: float
    """Scores are divided by it: fitted on held-out packages, so that probabilities are true."""
    general: General

    def scores(self, rows: "Floats") -> "Floats":
        """One log weight per row (N x F -> N); differences matter, the level does not."""
        import numpy as np

        x = (rows - self.mean) / self.scale
        hidden = np.tanh(x @ self.inner + self.bias)
        found = (hidden @ self.outer + x @ self.direct) / self.temperature
        return found.astype(np.float32)


@cache
def load(path: Path = WEIGHTS) -> Ranker:
    """The shipped ranker. Raises ValueError if it was made for other features."""
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        names = str(stored["names"]).split("\n")
        if names != list(NAMES):
            raise ValueError(f"{path} was trained on other features: python -m training.ranker")
        return Ranker(
            mean=stored["mean"],
            scale=stored["scale"],
            inner=stored["inner"].astype(np.float32),
            bias=stored["bias"],
            outer=stored["outer"],
            direct=stored["direct"],
            temperature=float(stored["temperature"]),
            general=General(
                vocabulary=frozenset(str(stored["vocabulary"]).split("\n")),
                two=stored["two"],
                three=stored["three"],
            ),
        )
