"""The draft head: the output head over frequent tokens only.

With a vocabulary of 248,320 the head takes a third of a token's time at 0.8 B, and an MTP draft is
little else. Drafts need not come from the whole vocabulary: a token that is not among the rows is
merely not drafted. Held are the first tokens of the vocabulary (byte-level BPE numbers them in the
order of its merges, the most frequent first), those of the chat template, and those that the
request has shown, prompt included.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, BinaryIO

from agent.engine.ggml import Rows, StoredTensor, find_tensor
from agent.engine.llama import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DraftHead", "head_for"]

FREQUENT = 12288
SEEN = 4096
"""Places for tokens that are not frequent but were seen; the oldest give way."""
_LEAST = 4
"""The vocabulary is at least so many times as long, or the head is not worth trimming."""


def head_for(model: Model) -> "DraftHead | None":
    """The draft head of a model; None where the vocabulary is short or the head is not found."""
    rows = min(FREQUENT + SEEN, model.n_vocab // _LEAST)
    if rows < SEEN:
        return None
    architecture = model.metadata("general.architecture")
    blocks = int(model.metadata(f"{architecture}.block_count") or 0)
    own = f"blk.{blocks - 1}.nextn.shared_head_head.weight"
    tensor = find_tensor(
        model.path, (own, "output.weight", "token_embd.weight"), width=model.n_embd
    )
    if tensor is None or tensor.rows != model.n_vocab:
        return None
    template = model.chat_template() or ""
    head = DraftHead(tensor, rows, seen=SEEN if rows > 2 * SEEN else rows // 4)
    head.learn(model.tokenize(template, special=True))
    return head


class DraftHead:
    """`best` gives the most likely of the tokens held."""

    def __init__(self, tensor: StoredTensor, rows: int, *, seen: int) -> None:
        import numpy as np

        self._tensor = tensor
        self._rows = Rows(tensor, rows)
        self._fixed = rows - seen
        self._ids = np.arange(rows, dtype=np.int64)
        self._used = self._fixed
        self._next = self._fixed
        self._place: dict[int, int] = {}
        """Of the tokens that were seen."""
        self._file: BinaryIO = tensor.path.open("rb")
        self._rows.put(0, self._read(0, self._fixed))

    def close(self) -> None:
        self._rows.close()
        self._file.close()

    def learn(self, tokens: Iterable[int]) -> None:
        """Hold these too."""
        for token in tokens:
            if token < self._fixed or token in self._place:
                continue
            at = self._next
            if at < self._used:
                del self._place[int(self._ids[at])]
            self._rows.put(at, self._read(token, 1))
            self._ids[at], self._place[token] = token, at
            self._used = max(self._used, at + 1)
            self._next = at + 1 if at + 1 < len(self._ids) else self._fixed

    def best(self, hidden: "NDArray[np.float32]") -> int:
        """The token of the highest logit after `hidden` (a row after the final norm)."""
        return int(self._ids[int(self._rows.times(hidden)[: self._used].argmax())])

    def holds(self, tokens: Sequence[int]) -> int:
        """How many of `tokens` can be drafted."""
        return sum(t < self._fixed or t in self._place for t in tokens)

    def _read(self, first: int, count: int) -> bytes:
        size = self._tensor.row_bytes
        self._file.seek(self._tensor.offset + first * size)
        return self._file.read(count * size)
