"""Prefix reuse across requests: the prompt's longest known beginning is not decoded again.

Attention-only models forget what follows the shared beginning of the last prompt and this one. A
hybrid model cannot be rewound to an arbitrary place, so states are saved at stable boundaries
(before the first and the last message of a prompt) and restored when a later prompt begins alike.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.engine.drafters.mtp import MtpDrafter
from agent.engine.llama import Model
from agent.engine.target import ROLLBACK, Target
from agent.errors import ContextOverflow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Prefilled", "Session", "default_threads"]

_KEEP_BYTES = 512 * 2**20
_KEEP_STATES = 8
_WORTH_SAVING = 48
"""Tokens: restoring fewer than this saves less than it costs."""


@dataclass(frozen=True, slots=True)
class _Saved:
    tokens: tuple[int, ...]
    target: bytes
    mtp: "tuple[bytes, NDArray[np.float32]] | None"

    @property
    def size(self) -> int:
        return len(self.target) + (len(self.mtp[0]) if self.mtp else 0)


@dataclass(frozen=True, slots=True)
class Prefilled:
    """The logits after the prompt, how much was decoded for them, and how long it took."""

    row: "NDArray[np.float32]"
    decoded: int
    reused: int
    seconds: float


def default_threads(model_bytes: int) -> int:
    """One thread for small models: handing work out costs more than a layer of theirs takes.

    Measured on 2 shared cores with a 1 MB model: 0.12 ms a token with 1 thread, 8 ms with 4.
    """
    import psutil

    cores = psutil.cpu_count(logical=False) or 1
    return 1 if model_bytes < 100 * 2**20 else cores


class Session:
    """One model, its main sequence with the MTP drafter beside it, and saved states."""

    def __init__(self, model: Model, *, n_ctx: int, threads: int | None = None) -> None:
        self.model = model
        self.threads = threads or default_threads(model.path.stat().st_size)
        self.n_ctx = min(n_ctx, model.n_ctx_train) if model.n_ctx_train else n_ctx
        self.target = Target(model, n_ctx=self.n_ctx, threads=self.threads, rollback=ROLLBACK)
        self.mtp = MtpDrafter(self.target, threads=self.threads) if model.has_mtp else None
        self.clock = time.thread_time if self.threads == 1 else time.perf_counter
        """What steps are timed by: other work on the machine counts only where it must."""
        self._rewinds = not model.is_hybrid and self.mtp is None
        """Any tokens can be taken back: states need not be saved."""
        self._saved: list[_Saved] = []
        """Oldest first."""

    def close(self) -> None:
        if self.mtp:
            self.mtp.close()
        self.target.close()

    def begin(
        self,
        prompt: Sequence[int],
        *,
        fresh: bool = False,
        between: Callable[[], None] = lambda: None,
    ) -> Prefilled:
        """Make the context hold exactly `prompt`. `fresh` decodes all of it in standard batches.

        `between` runs between batches and may raise. Raises ContextOverflow, nothing decoded.
        """
        if not prompt:
            raise ValueError("an empty prompt")
        if len(prompt) >= self.target.n_ctx:
            raise ContextOverflow(
                f"the prompt has {len(prompt)} tokens, the context {self.target.n_ctx}",
                billed="no",
            )
        started = time.monotonic()
        reused = 0 if fresh else self._reuse(prompt)
        if not reused:
            self.reset()
        stops = () if fresh or self._rewinds else self._boundaries(prompt)
        row = self._decode(prompt, reused, stops, between)
        return Prefilled(row, len(prompt) - reused, reused, time.monotonic() - started)

    def observe(self, tokens: Sequence[int], hidden: "NDArray[np.float32] | None") -> None:
        if self.mtp:
            self.mtp.observe(tokens, hidden)

    def _decode(
        self,
        prompt: Sequence[int],
        start: int,
        stops: Sequence[int],
        between: Callable[[], None],
    ) -> "NDArray[np.float32]":
        for stop in stops:
            if stop - start >= _WORTH_SAVING:
                self.target.prefill(prompt[start:stop], self.observe, between)
                self._save()
                start = stop
        return self.target.prefill(prompt[start:], self.observe, between)

    def _boundaries(self, prompt: Sequence[int]) -> list[int]:
        """Where the second and the last message begin: before control tokens."""
        control = [i for i, t in enumerate(prompt) if self.model.is_control(t)]
        starts = [i for i in control if prompt[i] == prompt[control[0]] and i > 0]
        return sorted({starts[0], starts[-1]}) if starts else []

    def _reuse(self, prompt: Sequence[int]) -> int:
        """Bring the context to the longest known beginning of `prompt`; its length."""
        current = self.target.tokens
        if current and len(current) < len(prompt) and list(prompt[: len(current)]) == current:
            return len(current)
        if self._rewinds:
            shared = _shared(current, prompt[:-1])  # the last row must be decoded for its logits
            return shared if self.target.take_back(len(current) - shared) else 0
        fitting = [
            s
            for s in self._saved
            if len(s.tokens) < len(prompt) and tuple(prompt[: len(s.tokens)]) == s.tokens
        ]
        if not fitting:
            return 0
        best = max(fitting, key=lambda s: len(s.tokens))
        self.target.restore(best.target, best.tokens)
        if self.mtp and best.mtp:
            self.mtp.restore(best.mtp, len(best.tokens))
        self._saved.remove(best)
        self._saved.append(best)
        return len(best.tokens)

    def _save(self) -> None:
        tokens = tuple(self.target.tokens)
        self._saved = [s for s in self._saved if s.tokens != tokens]
        state = _Saved(tokens, self.target.save(), self.mtp.save() if self.mtp else None)
        self._saved.append(state)
        while len(self._saved) > _KEEP_STATES or sum(s.size for s in self._saved) > _KEEP_BYTES:
            self._saved.pop(0)

    def reset(self) -> None:
        """Empty the sequence; saved states stay."""
        self.target.reset()
        if self.mtp:
            self.mtp.reset()


def _shared(known: Sequence[int], prompt: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    pairs = enumerate(zip(known, prompt, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(known), len(prompt)))
