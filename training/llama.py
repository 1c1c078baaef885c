"""The least of llama.cpp that parity needs: tokenize, and logits of trunk and draft head."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

__all__ = ["LlamaModel"]

_kept: list[Any] = []
"""The library goes on calling its log callback when no model is left: it must never be freed."""


class LlamaModel:
    """A GGUF with one context for the trunk and one for the draft head (a context manager)."""

    def __init__(self, path: Path, length: int) -> None:
        from llama_cpp import llama_cpp, llama_cpp_ext

        self.api, self.ext = llama_cpp, llama_cpp_ext
        api = self.api
        if not _kept:
            _kept.append(api.llama_log_callback(_silent))
        api.llama_log_set(_kept[0], ctypes.c_void_p(0))
        api.llama_backend_init()
        params = api.llama_model_default_params()
        params.load_mtp = True
        params.use_extra_bufts = False
        params.n_gpu_layers = 0
        self.model = api.llama_model_load_from_file(str(path).encode(), params)
        if not self.model:
            raise ValueError(f"llama.cpp cannot load {path}")
        self.vocab = api.llama_model_get_vocab(self.model)
        self.width = api.llama_model_n_embd(self.model)
        self.size = api.llama_vocab_n_tokens(self.vocab)
        self.length = length
        self.trunk = self._context(0, None)
        self.draft = self._context(api.LLAMA_CONTEXT_TYPE_MTP, self.trunk)
        self.ext.llama_set_embeddings_nextn(self.trunk, True, False)
        self.ext.llama_set_embeddings_nextn(self.draft, True, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.api.llama_free(self.draft)
        self.api.llama_free(self.trunk)
        self.api.llama_model_free(self.model)

    def tokenize(self, text: str) -> list[int]:
        """Ids with special tokens recognised, none added."""
        data = text.encode()
        room = (self.api.llama_token * (len(data) + 8))()
        count = self.api.llama_tokenize(self.vocab, data, len(data), room, len(room), False, True)
        return list(room[:count])

    def logits(self, tokens: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Trunk and draft-head logits of every position, each [T, vocab] float32.

        The draft head's row t is fed token t and the trunk's h of t-1, zeros for t = 0.
        """
        count = len(tokens)
        trunk = self._decode(self.trunk, tokens, None)
        h = self._states(self.trunk, count)
        before = np.concatenate((np.zeros((1, self.width), np.float32), h[:-1]))
        return trunk, self._decode(self.draft, tokens, before)

    def chain(self, tokens: Sequence[int], depth: int) -> tuple[list[int], np.ndarray]:
        """Drafts after `tokens` by recursion: their ids, and the logits [depth, vocab]."""
        logits = self.logits(tokens)[1][-1]
        rows, drafted, seen = len(tokens), [], []
        for at in range(len(tokens), len(tokens) + depth):
            drafted.append(int(logits.argmax()))
            seen.append(logits)
            if len(drafted) < depth:
                h = self._states(self.draft, rows)[-1:]
                logits = self._decode(self.draft, drafted[-1:], h, start=at)[0]
                rows = 1
        return drafted, np.stack(seen)

    def _states(self, context: Any, count: int) -> np.ndarray:
        rows = self.ext.llama_get_embeddings_nextn(context)
        return np.ctypeslib.as_array(rows, (count, self.width)).copy()

    def _context(self, kind: int, other: Any) -> Any:
        params = self.api.llama_context_default_params()
        params.n_batch = params.n_ubatch = self.length
        params.n_ctx = self.length + 16  # room for a chain of drafts
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = 1
        params.n_outputs_max = self.length
        params.ctx_type = kind
        if other is not None:
            params.ctx_other = other
        context = self.api.llama_init_from_model(self.model, params)
        if not context:
            raise ValueError("llama.cpp cannot make a context")
        return context

    def _decode(
        self, context: Any, tokens: Sequence[int], embedded: np.ndarray | None, start: int = 0
    ) -> np.ndarray:
        """Logits of rows at positions start…; start 0 forgets what the context held."""
        api, count = self.api, len(tokens)
        if not start:
            api.llama_memory_clear(api.llama_get_memory(context), True)
        batch = api.llama_batch_init(count, self.width if embedded is not None else 0, 1)
        own = (api.llama_token * count)(*tokens)
        if embedded is None:
            ctypes.memmove(batch.token, own, ctypes.sizeof(own))
        else:
            rows = np.ascontiguousarray(embedded, np.float32)
            ctypes.memmove(batch.embd, rows.ctypes.data, rows.nbytes)
            batch.token = ctypes.cast(own, ctypes.POINTER(api.llama_token))
        batch.n_tokens = count
        for i in range(count):
            batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = (
                start + i,
                1,
                0,
                1,
            )
        status = api.llama_decode(context, batch)
        if embedded is not None:
            batch.token = None  # ours, not llama.cpp's to free
        api.llama_batch_free(batch)
        if status:
            raise ValueError(f"llama_decode: {status}")
        values = api.llama_get_logits(context)
        return np.ctypeslib.as_array(values, (count, self.size)).copy()


def _silent(level: int, text: bytes, data: object) -> None:
    """llama.cpp's log, dropped."""
