"""Several continuations of one prompt in one batch: n samples, or a beam.

They run in a context of their own without rollback snapshots: a hybrid model keeps one recurrent
state per sequence there instead of one per sequence and draft position.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.engine.generate import Constraint
from agent.engine.llama import Batch, Context, ContextOptions, Model
from agent.engine.sampling import Sampler, Sampling, log_probability, loops
from agent.errors import Cancelled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Hypothesis", "Parallel"]


@dataclass(slots=True, kw_only=True)
class Hypothesis:
    """One continuation: its tokens without the end token, and its summed log-probability."""

    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    ended: bool = False
    """By an end token or the caller's rule, not by the token limit."""


Final = Callable[[Sequence[int]], bool]
"""Whether a continuation is complete (a stop string has appeared in it)."""


class Parallel:
    """Sequence 0 holds the prompt, kept for the next call; 1 … width continue it."""

    def __init__(self, model: Model, *, width: int, n_ctx: int, threads: int) -> None:
        n_batch = 512
        self.model, self.width, self.n_ctx = model, width, n_ctx
        options = ContextOptions(
            n_ctx=n_ctx,
            n_batch=n_batch,
            sequences=width + 1,
            outputs=width + 1,
            threads=threads,
            kv_type=model.weights.kv_type,
        )
        self._context = Context(model, options)
        self._batch = Batch(n_batch)
        self._prompt: list[int] = []
        self._row: NDArray[np.float32] | None = None

    def close(self) -> None:
        self._context.close()

    def sample(
        self,
        prompt: Sequence[int],
        settings: Sequence[Sampling],
        *,
        max_tokens: int,
        final: Final,
        cancelled: Callable[[], bool],
        constraints: Sequence[Constraint] = (),
    ) -> list[Hypothesis]:
        """One sample for each of `settings`; `constraints`: none, or one for each."""
        row = self.prefill(prompt, cancelled)
        samplers = [Sampler(s) for s in settings]
        found = [Hypothesis() for _ in settings]
        live = list(range(len(found)))
        for i in live:
            self._context.copy(0, i + 1)
        rows: Sequence[NDArray[np.float32]] = [row] * len(live)
        while True:
            for i, logits in zip(live, rows, strict=True):
                held = constraints[i] if constraints else None
                self._extend(found[i], logits, samplers[i], final, held)
            live = [i for i in live if not found[i].ended and len(found[i].tokens) < max_tokens]
            live = [i for i in live if not loops(found[i].tokens)]
            if not live:
                return found
            length = len(prompt) + len(found[live[0]].tokens) - 1
            last = [found[i].tokens[-1] for i in live]
            rows = self._step([i + 1 for i in live], last, length, cancelled)

    def beam(
        self,
        prompt: Sequence[int],
        width: int,
        *,
        max_tokens: int,
        final: Final,
        cancelled: Callable[[], bool],
    ) -> list[Hypothesis]:
        """The `width` best continuations found, by summed log-probability.

        Those cut off by `max_tokens` come after all complete ones.
        """
        rows: Sequence[NDArray[np.float32]] = [self.prefill(prompt, cancelled)]
        done: list[Hypothesis] = []
        live, slots = [Hypothesis()], [1]
        self._context.copy(0, 1)
        for step in range(max_tokens):
            live, parents = self._survivors(live, rows, done, final, width)
            done = sorted(done, key=lambda h: -h.logprob)[:width]
            if not live or (len(done) == width and done[-1].logprob >= live[0].logprob):
                return done
            if step < max_tokens - 1:
                slots = self._rearrange([slots[p] for p in parents])
                last = [h.tokens[-1] for h in live]
                rows = self._step(slots, last, len(prompt) + step, cancelled)
        return [*done, *live][:width]

    def prefill(
        self, prompt: Sequence[int], cancelled: Callable[[], bool]
    ) -> "NDArray[np.float32]":
        """Make sequence 0 hold `prompt`; the logits row after it (a copy)."""
        known = self._prompt
        if self._row is not None and list(prompt) == known:
            return self._row
        if not known or list(prompt[: len(known)]) != known:
            self._context.clear()
            self._prompt = known = []
        for sequence in range(1, self.width + 1):
            self._context.empty(sequence)
        for at in range(len(known), len(prompt), self._batch.capacity):
            if cancelled():
                self._context.clear()
                self._prompt = []
                raise Cancelled("cancelled during prefill")
            part = prompt[at : at + self._batch.capacity]
            self._batch.set(part, at, outputs="last")
            self._context.decode(self._batch)
        self._prompt = list(prompt)
        self._row = self._context.logits()[0].copy()
        return self._row

    def _extend(
        self,
        one: Hypothesis,
        row: "NDArray[np.float32]",
        sampler: Sampler,
        final: Final,
        constraint: Constraint | None,
    ) -> None:
        token = sampler.pick(row, one.tokens, len(one.tokens))
        if constraint is not None:
            if not constraint.allows(token):  # the full mask is dear: only when it changes things
                row = constraint.allow(row)
                token = sampler.pick(row, one.tokens, len(one.tokens))
            constraint.accept(token)
        one.logprob += log_probability(row, token)
        if self.model.is_end(token):
            one.ended = True
            return
        one.tokens.append(token)
        one.ended = final(one.tokens)

    def _survivors(
        self,
        live: Sequence[Hypothesis],
        rows: "Sequence[NDArray[np.float32]]",
        done: list[Hypothesis],
        final: Final,
        width: int,
    ) -> tuple[list[Hypothesis], list[int]]:
        """The next live beam, best first, with the index of each one's parent; complete ones go
        to `done`."""
        survivors: list[Hypothesis] = []
        parents: list[int] = []
        for logprob, parent, token in _ranked(live, rows, 2 * width):
            grown = Hypothesis(tokens=[*live[parent].tokens], logprob=logprob)
            if self.model.is_end(token):
                grown.ended = True
            else:
                grown.tokens.append(token)
                grown.ended = final(grown.tokens)
            if grown.ended:
                done.append(grown)
                continue
            survivors.append(grown)
            parents.append(parent)
            if len(survivors) == width:
                break
        return survivors, parents

    def _rearrange(self, wanted: Sequence[int]) -> list[int]:
        """Sequences that continue `wanted` (with repetitions): the first child keeps its parent's
        sequence, the others get copies in sequences nobody continues."""
        free = [s for s in range(1, self.width + 1) if s not in wanted]
        taken: set[int] = set()
        slots = []
        for parent in wanted:
            if parent in taken:
                slot = free.pop()
                self._context.copy(parent, slot)
            else:
                slot = parent
                taken.add(parent)
            slots.append(slot)
        for unused in free:
            self._context.empty(unused)
        return slots

    def _step(
        self,
        sequences: Sequence[int],
        tokens: Sequence[int],
        position: int,
        cancelled: Callable[[], bool],
    ) -> "Sequence[NDArray[np.float32]]":
        """One token for each sequence, all at `position`; their rows."""
        if cancelled():
            raise Cancelled("cancelled")
        self._batch.set_each(tokens, position, sequences)
        self._context.decode(self._batch)
        return list(self._context.logits())


def _ranked(
    live: Sequence[Hypothesis], rows: "Sequence[NDArray[np.float32]]", n: int
) -> list[tuple[float, int, int]]:
    """The `n` best (summed log-probability, parent, token), best first."""
    import numpy as np

    found: list[tuple[float, int, int]] = []
    for parent, (one, row) in enumerate(zip(live, rows, strict=True)):
        wide = row.astype(np.float64)
        top = wide.max()
        base = one.logprob - float(top) - float(np.log(np.exp(wide - top).sum()))
        best = np.argpartition(-row, min(n, len(row)) - 1)[:n]
        found.extend((base + float(row[t]), parent, int(t)) for t in best)
    return sorted(found, key=lambda f: (-f[0], f[1], f[2]))[:n]
