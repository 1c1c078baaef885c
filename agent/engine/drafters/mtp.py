"""The MTP drafter: the model's own extra layer (llama.cpp: nextn), run in a context of its own.

Row p of the MTP layer is made of (token x_p, hidden row h_{p-1} of the trunk) and predicts
x_{p+1}. Its KV cache must hold a row for every committed token; rows the target has decoded since
the last draft are caught up in the same decode that makes the first draft.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from agent.engine.drafters.head import DraftHead, head_for
from agent.engine.llama import Batch, Context, ContextOptions, gpu_build
from agent.engine.target import Target
from agent.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MtpDrafter"]


class MtpDrafter:
    """Chained drafts of any length from one MTP layer."""

    def __init__(self, target: Target, *, threads: int | None = None) -> None:
        import numpy as np

        model = target.model
        if not model.has_mtp:
            raise EngineError(f"{model.path.name} has no MTP head")
        options = target.context.options
        self._context = Context(
            model,
            ContextOptions(
                n_ctx=target.n_ctx,
                kind="mtp",
                n_batch=options.n_batch,
                threads=threads,
                kv_type=model.weights.kv_type,
            ),
            target.context,
        )
        self._context.enable_hidden_rows()
        self._batch = Batch(options.n_batch, model.n_embd)
        self._keep = target.longest + 1
        self._carry = np.zeros(model.n_embd, dtype=np.float32)
        """Hidden row of the last token observed."""
        self._rows = 0
        """Rows in the drafter's own KV cache."""
        self._tokens: list[int] = []
        self._hidden: list[NDArray[np.float32]] = []
        """Tokens observed that the KV cache lacks, and the row before each."""
        self._ahead: int | None = None
        """The token last drafted from: its row is decoded, its observation still to come."""
        self.head: DraftHead | None = head_for(model)
        """None where the vocabulary is short."""
        self.trimmed = not gpu_build() or model.weights.gpu_layers == 0
        """Drafts come from the draft head where there is one, not from the whole vocabulary; may
        be set at any time. A GPU multiplies with the whole head faster than a CPU with a part."""

    def close(self) -> None:
        self._context.close()
        if self.head:
            self.head.close()

    def observe(self, tokens: Sequence[int], hidden: "NDArray[np.float32] | None") -> None:
        if hidden is None:
            raise EngineError("the MTP drafter needs the target's hidden rows")
        rows = hidden.copy()
        if self.head:
            self.head.learn(tokens)
        self._tokens.extend(tokens)
        self._hidden.append(self._carry)
        self._hidden.extend(rows[:-1])
        self._carry = rows[-1]
        if self._ahead is not None:
            if tokens[0] == self._ahead:  # its row is there already
                del self._tokens[0], self._hidden[0]
            else:
                self._forget(self._rows - 1)
            self._ahead = None
        while len(self._tokens) >= self._batch.capacity:
            # The newest rows stay pending: the target may still take them back.
            self._flush(min(self._batch.capacity, len(self._tokens) - self._keep), outputs="none")

    def truncate(self, length: int) -> None:
        if self._ahead is not None and length < self._rows:
            self._forget(self._rows - 1)
            self._ahead = None
        drop = self._rows + len(self._tokens) - length
        if drop > len(self._tokens):
            raise EngineError("the MTP drafter cannot take back rows it has decoded")
        if drop > 0:
            at = len(self._tokens) - drop
            self._carry = self._hidden[at]
            del self._tokens[at:], self._hidden[at:]

    def reset(self) -> None:
        self._context.clear()
        self._rows = 0
        self._tokens.clear()
        self._hidden.clear()
        self._carry = self._carry * 0
        self._ahead = None

    def draft(self, token: int, k: int, expected: Sequence[int] = ()) -> Sequence[int]:
        """Up to `k` drafts; only one when it is `expected[0]`: the caller knows how to go on."""
        if self._ahead is not None:
            self._forget(self._rows - 1)
            self._ahead = None
        position = self._rows + len(self._tokens)
        if k < 1 or position + k > self._context.n_ctx:
            return ()
        row = len(self._tokens)
        self._tokens.append(token)
        self._hidden.append(self._carry)
        outputs: Literal["last", "none"] = "none" if self._trim else "last"
        self._flush(row + 1, outputs=outputs)
        drafted = [self._best(row)]
        if expected and drafted[0] == expected[0]:
            k = 1
        for step in range(1, k):
            assert self._batch.embd is not None
            self._batch.embd[0] = self._context.hidden(row + 1)[row]
            self._batch.set(drafted[-1:], position + step, outputs=outputs)
            self._context.decode(self._batch)
            row = 0
            drafted.append(self._best(row))
        if k > 1:  # rows made from the drafter's own hidden rows must not stay
            self._forget(position + 1)
        self._ahead = token
        return drafted

    @property
    def _trim(self) -> DraftHead | None:
        return self.head if self.trimmed else None

    def _best(self, row: int) -> int:
        """The draft that row `row` of the last decode gives."""
        head = self._trim
        if head is None:
            return int(self._context.logits()[0].argmax())
        return head.best(self._context.hidden(row + 1)[row])

    def save(self) -> tuple[bytes, "NDArray[np.float32]"]:
        """State of the KV cache and the carried row; everything observed is decoded first."""
        self._flush(len(self._tokens), outputs="none")
        return (self._context.save() if self._rows else b""), self._carry

    def restore(self, saved: tuple[bytes, "NDArray[np.float32]"], length: int) -> None:
        self.reset()
        state, self._carry = saved
        if state:
            self._context.restore(state)
            self._rows = length

    def _forget(self, start: int) -> None:
        if not self._context.remove(start):
            raise EngineError("the MTP context refused to forget its drafts")
        self._rows = start

    def _flush(self, n: int, *, outputs: Literal["last", "none"]) -> None:
        """Decode the first `n` pending rows; with "last" the last one gives a draft."""
        import numpy as np

        if not n:
            return
        assert self._batch.embd is not None
        self._batch.set(self._tokens[:n], self._rows, outputs=outputs)
        self._batch.embd[:n] = np.stack(self._hidden[:n])
        self._context.decode(self._batch)
        self._rows += n
        del self._tokens[:n], self._hidden[:n]
