"""The model whose tokens count: what has been decoded, its logits, and taking tokens back."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from agent.engine.llama import Batch, Context, ContextOptions, Model
from agent.errors import ContextOverflow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LONGEST", "ROLLBACK", "Observer", "Target"]

ROLLBACK = 8
"""Longest draft a hybrid model takes back at once: each token of it costs one recurrent state."""
LONGEST = 32
"""Longest draft at all: beyond ROLLBACK the recurrent state is saved before, and to take tokens
back it is restored and those that stay are decoded again."""

Observer = Callable[[Sequence[int], "NDArray[np.float32] | None"], None]
"""Is told every run of tokens decoded and their hidden rows [n, width] (None without MTP)."""


class Target:
    """One sequence in one context. `tokens` is exactly what the context has decoded."""

    def __init__(
        self,
        model: Model,
        *,
        n_ctx: int,
        threads: int | None = None,
        n_batch: int = 512,
        rollback: int = ROLLBACK,
        longest: int = LONGEST,
    ) -> None:
        """`rollback`, `longest`: of one draft; see ROLLBACK and LONGEST."""
        longest = max(rollback, longest)
        n_batch = max(n_batch, longest + 2)
        self.model = model
        self.context = Context(
            model,
            ContextOptions(
                n_ctx=n_ctx,
                n_batch=n_batch,
                rollback=rollback if model.is_hybrid else 0,
                outputs=longest + 1,
                threads=threads,
                kv_type=model.weights.kv_type,
            ),
        )
        self.n_ctx = self.context.n_ctx
        self.longest = longest
        """Most tokens that can be taken back after a pass."""
        self.rollback = rollback if model.is_hybrid else longest
        """Most that are taken back without decoding others again."""
        self.tokens: list[int] = []
        self._batch = Batch(n_batch)
        self._last = 0
        """Tokens in the last decode: a hybrid model can be rewound within it only."""
        self._snapshots = self.context.rollback if model.is_hybrid else self.n_ctx
        """Tokens taken back by forgetting them; 0 in architectures without snapshots (qwen3next).
        For more the state is remembered before the pass."""
        self._saved = False
        """The state before the last decode is remembered."""
        self._hidden = model.has_mtp
        if self._hidden:
            self.context.enable_hidden_rows()

    def close(self) -> None:
        self.context.close()

    def room(self) -> int:
        """Tokens that still fit."""
        return self.n_ctx - len(self.tokens)

    def prefill(
        self, tokens: Sequence[int], observe: Observer, between: Callable[[], None]
    ) -> "NDArray[np.float32]":
        """Append `tokens` in batches; the logits row after the last one.

        `between` runs after each batch (it may raise to cancel). Raises ContextOverflow.
        """
        self._check_room(len(tokens))
        for at in range(0, len(tokens), self._batch.capacity):
            part = tokens[at : at + self._batch.capacity]
            self._decode(part, "last", observe)
            between()
        row: NDArray[np.float32] = self.context.logits()[0]
        return row

    def decode(self, tokens: Sequence[int], observe: Observer) -> "NDArray[np.float32]":
        """Append `tokens` in one pass; a row of logits for each, valid until the next decode."""
        self._check_room(len(tokens))
        saved = len(tokens) - 1 > self._snapshots
        if saved:
            self.context.set_checkpoint()
        self._decode(tokens, "all", observe)
        self._saved = saved
        return self.context.logits()

    def _decode(self, tokens: Sequence[int], outputs: str, observe: Observer) -> None:
        n = len(tokens)
        self._batch.set(tokens, len(self.tokens), outputs="all" if outputs == "all" else "last")
        self.context.decode(self._batch)
        self.tokens.extend(tokens)
        self._last, self._saved = n, False
        observe(tokens, self.context.hidden(n) if self._hidden else None)

    def take_back(self, n: int) -> bool:
        """Forget the last `n` tokens. False: refused, nothing changed.

        On a hybrid model only tokens of the last decode, not all of them, once per decode:
        llama.cpp accepts some rollbacks beyond that and silently keeps a wrong state.
        """
        if n == 0:
            return True
        if n > len(self.tokens):
            return False
        if self.model.is_hybrid and n > min(self.longest, self._last - 1):
            return False
        if n > self._snapshots:
            if not self._saved:
                return False
            self._again(self._last - n)
        elif not self.context.remove(len(self.tokens) - n):
            return False
        del self.tokens[len(self.tokens) - n :]
        self._last = 0 if self.model.is_hybrid else self._last - n
        return True

    def _again(self, keep: int) -> None:
        """Back to before the last decode, then only its first `keep` tokens."""
        start = len(self.tokens) - self._last
        self.context.back_to_checkpoint(start)
        self._batch.set(self.tokens[start : start + keep], start, outputs="last")
        self.context.decode(self._batch)

    def reset(self) -> None:
        self.context.clear()
        self.tokens.clear()
        self._last = 0

    def save(self) -> bytes:
        return self.context.save()

    def restore(self, state: bytes, tokens: Sequence[int]) -> None:
        """Become what `save` saw; `tokens` are those it had decoded."""
        self.context.clear()
        self.context.restore(state)
        self.tokens = list(tokens)
        self._last = 0

    def _check_room(self, n: int) -> None:
        if n > self.room():
            used = len(self.tokens)
            raise ContextOverflow(
                f"{used + n} tokens do not fit the context of {self.n_ctx}", billed="no"
            )
