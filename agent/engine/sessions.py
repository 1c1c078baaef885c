"""Prefix reuse across requests: the prompt's longest known beginning is not decoded again.

Attention-only models forget what follows the shared beginning of the last prompt and this one. A
hybrid model cannot be rewound to an arbitrary place, so states are saved at stable boundaries
(before the first and the last message of a prompt) and restored when a later prompt begins alike.
The state after a long system message is also kept on disk, for workers to come (prefixes.py).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.engine.drafters.mtp import MtpDrafter
from agent.engine.llama import Model
from agent.engine.prefixes import Prefix, PrefixStore
from agent.engine.target import ROLLBACK, Target
from agent.errors import ContextOverflow, EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Prefilled", "Session", "default_threads"]

_KEEP_BYTES = 512 * 2**20
_KEEP_STATES = 8
_WORTH_SAVING = 48
"""Tokens: restoring fewer than this saves less than it costs."""


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

    def __init__(
        self,
        model: Model,
        *,
        n_ctx: int,
        threads: int | None = None,
        prefixes: PrefixStore | None = None,
    ) -> None:
        self.model, self.prefixes = model, prefixes
        self.threads = threads or default_threads(model.path.stat().st_size)
        self.n_ctx = min(n_ctx, model.n_ctx_train) if model.n_ctx_train else n_ctx
        self.target = Target(model, n_ctx=self.n_ctx, threads=self.threads, rollback=ROLLBACK)
        self.mtp = MtpDrafter(self.target, threads=self.threads) if model.has_mtp else None
        self.clock = time.thread_time if self.threads == 1 else time.perf_counter
        """What steps are timed by: other work on the machine counts only where it must."""
        self._rewinds = not model.is_hybrid and self.mtp is None
        """Any tokens can be taken back: states need not be saved."""
        self._saved: list[Prefix] = []
        """Oldest first."""
        self._unwritten: Prefix | None = None
        """To be kept on disk once the answer is given."""

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
        stops = () if fresh else self._boundaries(prompt)
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
        system = stops[0] if len(stops) > 1 else 0
        for stop in stops:
            if stop - start < _WORTH_SAVING:
                continue
            if self._rewinds and not self._storable(prompt[:stop], stop == system):
                continue
            began = time.monotonic()
            self.target.prefill(prompt[start:stop], self.observe, between)
            seconds = (time.monotonic() - began) * stop / (stop - start)
            self._save(seconds if self._storable(prompt[:stop], stop == system) else 0.0)
            start = stop
        return self.target.prefill(prompt[start:], self.observe, between)

    def _storable(self, tokens: Sequence[int], is_system: bool) -> bool:
        """Whether the state after these tokens belongs on disk and is not there."""
        store = self.prefixes
        if store is None or not is_system or len(tokens) < store.least_tokens:
            return False
        return not store.holds(tokens)

    def _boundaries(self, prompt: Sequence[int]) -> list[int]:
        """Where the second and the last message begin: before control tokens. With a system message
        these are two places; a lone one is where the answer begins."""
        control = [i for i, t in enumerate(prompt) if self.model.is_control(t)]
        starts = [i for i in control if prompt[i] == prompt[control[0]] and i > 0]
        return sorted({starts[0], starts[-1]}) if starts else []

    def _reuse(self, prompt: Sequence[int]) -> int:
        """Bring the context to the longest known beginning of `prompt`; its length."""
        current = self.target.tokens
        if current and len(current) < len(prompt) and list(prompt[: len(current)]) == current:
            return len(current)
        shared = 0
        if self._rewinds:
            shared = _shared(current, prompt[:-1])  # the last row must be decoded for its logits
        best = self._known(prompt, beyond=max(shared, _WORTH_SAVING))
        if best is not None and self._restore(best):
            return len(best.tokens)
        return shared if shared and self.target.take_back(len(current) - shared) else 0

    def _known(self, prompt: Sequence[int], *, beyond: int) -> Prefix | None:
        """The longest saved beginning, in memory or on disk."""
        fitting = [
            s
            for s in self._saved
            if len(s.tokens) < len(prompt) and tuple(prompt[: len(s.tokens)]) == s.tokens
        ]
        best = max(fitting, key=lambda s: len(s.tokens), default=None)
        if best is not None:
            self._saved.remove(best)
            self._saved.append(best)
            beyond = max(beyond, len(best.tokens))
        stored = self.prefixes.longest(prompt, beyond=beyond) if self.prefixes else None
        if stored is not None and not self._rewinds:
            self._keep(stored)
        return stored or best

    def _restore(self, prefix: Prefix) -> bool:
        """False, and nothing decoded: llama.cpp would not take it."""
        try:
            self.target.restore(prefix.target, prefix.tokens)
            if self.mtp and prefix.mtp:
                self.mtp.restore(prefix.mtp, len(prefix.tokens))
        except EngineError as error:
            self._saved = [s for s in self._saved if s is not prefix]
            if self.prefixes:
                self.prefixes.discard(prefix.tokens, str(error))
            self.reset()
            return False
        return True

    def _save(self, seconds: float) -> None:
        """Remember the state. `seconds` decoding took, if it may be worth a place on disk."""
        tokens = tuple(self.target.tokens)
        made = Prefix(tokens, self.target.save(), self.mtp.save() if self.mtp else None)
        if self.prefixes and self.prefixes.wanted(len(tokens), made.size, seconds):
            self._unwritten = made
        if not self._rewinds:
            self._keep(made)

    def _keep(self, made: Prefix) -> None:
        self._saved = [s for s in self._saved if s.tokens != made.tokens]
        self._saved.append(made)
        while len(self._saved) > _KEEP_STATES or sum(s.size for s in self._saved) > _KEEP_BYTES:
            self._saved.pop(0)

    def settle(self) -> None:
        """Write down what was put off until the answer was given."""
        if self._unwritten is not None and self.prefixes is not None:
            self.prefixes.write(self._unwritten)
            self._unwritten = None

    def reset(self) -> None:
        """Empty the sequence; saved states stay."""
        self.target.reset()
        if self.mtp:
            self.mtp.reset()


def _shared(known: Sequence[int], prompt: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    pairs = enumerate(zip(known, prompt, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(known), len(prompt)))
