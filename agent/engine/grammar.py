"""Constrained output: a GBNF grammar, or a JSON schema turned into one, as a token filter.

Only committed tokens are accepted, so verifying drafts needs no rollback of the grammar.
"""

import ctypes
import json
from typing import TYPE_CHECKING, Any

from agent.engine.llama import Model, bindings, gbnf_of_schema
from agent.engine.toolcalls import OPEN
from agent.errors import EngineError, RequestRejected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CallGrammar", "Grammar", "schema_to_grammar"]

_MAX_SCHEMA = 64 * 1024


def schema_to_grammar(schema: str) -> str:
    """GBNF of a JSON schema. Raises RequestRejected for what cannot be expressed."""
    if len(schema) > _MAX_SCHEMA:
        raise RequestRejected("the JSON schema is larger than 64 KiB", billed="no")
    try:
        json.loads(schema)
        return gbnf_of_schema(schema)
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise RequestRejected(f"the JSON schema cannot be used: {error}", billed="no") from error
    except RecursionError as error:
        raise RequestRejected("the JSON schema is nested too deeply", billed="no") from error


class Grammar:
    """State of one generation under a grammar."""

    def __init__(self, model: Model, source: str) -> None:
        import numpy as np

        self._core = bindings().core
        self._handle = self._core.llama_sampler_init_grammar(model.vocab, source.encode(), b"root")
        if not self._handle:
            raise RequestRejected("the grammar is malformed", billed="no")
        kind = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        self._ids = np.arange(model.n_vocab, dtype=np.int32)
        self._candidates = np.zeros(model.n_vocab, dtype=kind)

    def close(self) -> None:
        if self._handle:
            self._core.llama_sampler_free(self._handle)
            self._handle = None

    def allow(self, row: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """A copy of the row with every forbidden token at -inf. Raises EngineError where the
        vocabulary has no token that may follow."""
        import numpy as np

        masked: NDArray[np.float32] = np.full_like(row, -np.inf)
        ids, logits = self._apply(self._ids, row)
        masked[ids] = logits
        if not np.isfinite(masked.max()):  # llama.cpp would end the process
            raise EngineError("the grammar allows no token of this model's vocabulary here")
        return masked

    def allows(self, token: int) -> bool:
        """Whether one token may come next: one candidate instead of the whole vocabulary."""
        import numpy as np

        _, logits = self._apply(np.array([token], dtype=np.int32), np.zeros(1, dtype=np.float32))
        return len(logits) > 0 and bool(np.isfinite(logits[0]))

    def accept(self, token: int) -> None:
        self._core.llama_sampler_accept(self._handle, token)

    def _apply(self, ids: Any, logits: Any) -> tuple[Any, Any]:
        n = len(ids)
        view = self._candidates[:n]
        view["id"], view["logit"] = ids, logits
        data = self._core.llama_token_data_array()
        data.data = ctypes.cast(
            self._candidates.ctypes.data, ctypes.POINTER(self._core.llama_token_data)
        )
        data.size, data.selected, data.sorted = n, -1, False
        self._core.llama_sampler_apply(self._handle, ctypes.byref(data))
        return view["id"][: data.size], view["logit"][: data.size]


class CallGrammar:
    """Free text in which every tool call keeps to a grammar: it holds from `<tool_call>` on, until
    the call is complete.
    """

    def __init__(self, model: Model, source: str) -> None:
        """`source` describes what follows `<tool_call>`. Raises RequestRejected."""
        Grammar(model, source).close()
        self._model, self._source = model, source
        self._end = model.end_token()
        self._inside: Grammar | None = None
        self._tail = b""

    def close(self) -> None:
        if self._inside:
            self._inside.close()
            self._inside = None

    def allow(self, row: "NDArray[np.float32]") -> "NDArray[np.float32]":
        return self._inside.allow(row) if self._inside else row

    def allows(self, token: int) -> bool:
        return self._inside is None or self._inside.allows(token)

    def accept(self, token: int) -> None:
        if self._inside is not None:
            self._inside.accept(token)
            if self._inside.allows(self._end):  # the call is complete
                self.close()
            return
        marker = OPEN.encode()
        self._tail += self._model.piece(token)
        _, found, rest = self._tail.partition(marker)
        self._tail = self._tail[1 - len(marker) :]
        if found:
            self._tail = b""
        if found and not rest.strip():  # else the token went on: this call stays unchecked
            self._inside = Grammar(self._model, self._source)
