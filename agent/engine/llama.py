"""The only importer of llama_cpp: model, context, batch, rollback and state on the C bindings.

llama.cpp aborts the process on several caller errors (more outputs than reserved, a batch larger
than the context's, a micro-batch not longer than the rollback window). Every such case is checked
here before the call, and the whole engine runs in a worker process of its own.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent.engine.views import rows_at
from agent.engine.weights import Weights, place
from agent.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Batch",
    "Context",
    "ContextOptions",
    "Model",
    "amx_present",
    "bindings",
    "build",
    "gbnf_of_schema",
    "gpu_build",
]

_KV_TYPES = {"f16": 1, "q8_0": 8}
_messages: list[str] = []
_keep: list[Any] = []
"""ctypes callbacks must outlive the library's use of them."""


@dataclass(frozen=True, slots=True)
class _Bindings:
    core: Any
    ext: Any


def bindings() -> _Bindings:
    """Load the library once. Raises EngineError when a needed symbol is missing."""
    if _keep:
        loaded: _Bindings = _keep[0]
        return loaded
    try:
        from llama_cpp import llama_cpp as core
        from llama_cpp import llama_cpp_ext as ext
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        raise EngineError(
            f"llama.cpp cannot be used: {error}",
            remedy="pip install 'llama-cpp-python==0.3.36' (the MTP functions are not in others)",
        ) from error
    library = _Bindings(core, ext)

    def on_log(level: int, text: bytes, _data: Any) -> None:
        if level in (3, 4):  # warnings and errors: they say why a load failed
            _messages.append(text.decode("utf-8", "replace").strip())
            del _messages[:-20]

    callback = core.llama_log_callback(on_log)
    core.llama_log_set(callback, ctypes.c_void_p(0))
    core.llama_backend_init()
    _keep.extend((library, callback))
    return library


def build() -> str:
    """Names the installed llama.cpp: a saved state is of use to no other."""
    from importlib.metadata import version

    return f"llama-cpp-python {version('llama-cpp-python')}"


def gpu_build() -> bool:
    """Whether the installed library was built for a GPU of any kind."""
    return bool(bindings().core.llama_supports_gpu_offload())


def gbnf_of_schema(schema: str) -> str:
    """llama.cpp's own conversion of a JSON schema; raises what its converter raises."""
    bindings()
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    converted: str = json_schema_to_gbnf(schema)
    return converted


def amx_present() -> bool:
    """Whether the CPU has AMX tiles: builds by gcc 12.2 crash there in multi-token decodes."""
    info = Path("/proc/cpuinfo")
    return info.exists() and " amx_tile" in info.read_text(encoding="utf-8", errors="replace")


def _reason() -> str:
    return "; ".join(_messages[-3:]) or "llama.cpp gave no reason"


class Model:
    """Weights and vocabulary of one GGUF file."""

    def __init__(
        self,
        path: Path,
        *,
        extra_buffers: bool | None = None,
        weights: Weights = Weights(),  # noqa: B008  (frozen)
    ) -> None:
        """`extra_buffers` None: repacked CPU kernels unless AMX is present (see amx_present)."""
        self.path, self.weights = path, weights
        self._lib = bindings().core
        _messages.clear()
        params = self._lib.llama_model_default_params()
        params.load_mtp = True
        params.use_extra_bufts = not amx_present() if extra_buffers is None else extra_buffers
        kept = place(params, weights, self._lib)
        self.handle = self._lib.llama_model_load_from_file(str(path).encode(), params)
        del kept
        if not self.handle:
            raise EngineError(f"{path.name} cannot be loaded: {_reason()}")
        self._vocab = self._lib.llama_model_get_vocab(self.handle)
        self.n_vocab: int = self._lib.llama_vocab_n_tokens(self._vocab)
        self.n_embd: int = self._lib.llama_model_n_embd(self.handle)
        self.n_ctx_train: int = self._lib.llama_model_n_ctx_train(self.handle)
        self.has_mtp: bool = self._lib.llama_model_n_layer_nextn(self.handle) > 0
        self.is_hybrid: bool = bool(
            self._lib.llama_model_is_hybrid(self.handle)
            or self._lib.llama_model_is_recurrent(self.handle)
        )
        self._pieces: dict[int, bytes] = {}
        self._ends: dict[int, bool] = {}

    def close(self) -> None:
        if self.handle:
            self._lib.llama_model_free(self.handle)
            self.handle = None

    @property
    def vocab(self) -> Any:
        return self._vocab

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids; with `special`, control tokens written in the text become those tokens."""
        data = text.encode("utf-8", "replace")
        capacity = len(data) + 8
        buffer = (ctypes.c_int32 * capacity)()
        n = self._lib.llama_tokenize(self._vocab, data, len(data), buffer, capacity, False, special)
        if n < 0:
            raise EngineError(f"a text of {len(data)} bytes could not be tokenised")
        return list(buffer[:n])

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; control tokens give their own text."""
        known = self._pieces.get(token)
        if known is None:
            buffer = ctypes.create_string_buffer(512)
            n = self._lib.llama_token_to_piece(self._vocab, token, buffer, 512, 0, True)
            known = self._pieces[token] = buffer.raw[: max(n, 0)]
        return known

    def is_control(self, token: int) -> bool:
        return bool(self._lib.llama_vocab_is_control(self._vocab, token))

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation (end of text, of turn)."""
        known = self._ends.get(token)
        if known is None:
            known = self._ends[token] = bool(self._lib.llama_vocab_is_eog(self._vocab, token))
        return known

    def end_token(self) -> int:
        """One that ends a generation. Raises EngineError where the vocabulary has none."""
        found = (self._lib.llama_vocab_eos(self._vocab), self._lib.llama_vocab_eot(self._vocab))
        if max(found) < 0:
            raise EngineError(f"{self.path.name} has no end token")
        return next(int(token) for token in found if token >= 0)

    def control_texts(self) -> tuple[str, ...]:
        found = (t for t in range(self.n_vocab) if self.is_control(t))
        return tuple(self.piece(t).decode("utf-8", "replace") for t in found)

    def chat_template(self) -> str | None:
        raw = self._lib.llama_model_chat_template(self.handle, None)
        return raw.decode("utf-8", "replace") if raw else None

    def metadata(self, key: str) -> str | None:
        buffer = ctypes.create_string_buffer(4096)
        n = self._lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, 4096)
        return buffer.value.decode("utf-8", "replace") if n >= 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextOptions:
    """How a context is sized. `rollback`: how many tokens a hybrid model can be rewound."""

    n_ctx: int
    kind: Literal["target", "mtp"] = "target"
    n_batch: int = 512
    sequences: int = 1
    rollback: int = 0
    outputs: int = 1
    threads: int | None = None
    kv_type: Literal["f16", "q8_0"] = "f16"


class Batch:
    """Input of one decode, in memory of our own; `embd` only for MTP contexts (token and row)."""

    def __init__(self, capacity: int, n_embd: int = 0) -> None:
        import numpy as np

        self.capacity = capacity
        self.size = self.outputs = 0
        self.token = np.zeros(capacity, dtype=np.int32)
        self.pos = np.zeros(capacity, dtype=np.int32)
        self.seq = np.zeros(capacity, dtype=np.int32)
        self.logits = np.zeros(capacity, dtype=np.int8)
        self.embd = np.zeros((capacity, n_embd), dtype=np.float32) if n_embd else None
        self._count = np.ones(capacity, dtype=np.int32)
        self._seq_rows = self.seq.ctypes.data + 4 * np.arange(capacity, dtype=np.uint64)
        core = bindings().core
        raw = core.llama_batch()
        raw.token = self.token.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        raw.pos = self.pos.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        raw.n_seq_id = self._count.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        rows = ctypes.cast(
            self._seq_rows.ctypes.data, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))
        )
        raw.seq_id = rows
        raw.logits = self.logits.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))
        if self.embd is not None:
            raw.embd = self.embd.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        self.raw = raw

    def set(
        self, tokens: Sequence[int], start: int, *, outputs: Literal["all", "last", "none"]
    ) -> None:
        """One run of consecutive tokens of sequence 0, from position `start`."""
        n = self._sized(len(tokens))
        self.token[:n] = tokens
        self.pos[:n] = range(start, start + n)
        self.seq[:n] = 0
        self.logits[:n] = outputs == "all"
        self.logits[n - 1] = outputs != "none"
        self.outputs = n if outputs == "all" else int(outputs == "last")

    def _sized(self, n: int) -> int:
        if n > self.capacity:
            raise EngineError(f"a batch of {n} tokens exceeds its capacity {self.capacity}")
        self.size = n
        return n

    def set_each(self, tokens: Sequence[int], position: int, sequences: Sequence[int]) -> None:
        """One token for each of several sequences, all at `position`, all with logits."""
        n = self._sized(len(tokens))
        self.token[:n] = tokens
        self.pos[:n] = position
        self.seq[:n] = sequences
        self.logits[:n] = 1
        self.outputs = n


class Context:
    """One llama.cpp context: its KV cache, recurrent states and outputs."""

    def __init__(self, model: Model, options: ContextOptions, other: "Context | None" = None):
        lib = bindings()
        self._core, self._ext = lib.core, lib.ext
        self.model, self.options = model, options
        if options.n_batch <= options.rollback + 1:  # llama.cpp asserts, i.e. aborts
            raise EngineError("the batch must be longer than the rollback window")
        if options.outputs < options.sequences:  # likewise
            raise EngineError("a context needs an output for each sequence")
        params = self._params(options, other)
        _messages.clear()
        self.handle = self._core.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise EngineError(f"no context of {options.n_ctx} tokens: {_reason()}")
        self._memory = self._core.llama_get_memory(self.handle)
        self.n_ctx: int = self._core.llama_n_ctx(self.handle)
        self.rollback: int = self._core.llama_n_rs_seq(self.handle)
        """Tokens recurrent layers can be rewound; 0 where the architecture cannot (qwen3next)."""
        self._outputs = 0
        self._checkpoint: Any = None

    def _params(self, options: ContextOptions, other: "Context | None") -> Any:
        params = self._core.llama_context_default_params()
        params.n_ctx = options.n_ctx
        params.n_batch = params.n_ubatch = options.n_batch
        params.n_seq_max = options.sequences
        params.n_rs_seq = options.rollback
        params.n_outputs_max = options.outputs
        params.kv_unified = True
        params.type_k = params.type_v = _KV_TYPES[options.kv_type]
        params.no_perf = True
        if options.threads:
            params.n_threads = params.n_threads_batch = options.threads
        if options.kind == "mtp":
            params.ctx_type = self._core.LLAMA_CONTEXT_TYPE_MTP
        if other is not None:
            params.ctx_other = other.handle
        return params

    def close(self) -> None:
        if self.handle:
            self._core.llama_free(self.handle)
            self.handle = None

    def enable_hidden_rows(self) -> None:
        """Keep the hidden row of every token of a decode (see hidden)."""
        self._ext.llama_set_embeddings_nextn(self.handle, True, False)

    def decode(self, batch: Batch) -> None:
        n, outputs = batch.size, batch.outputs
        if n > self.options.n_batch or outputs > self.options.outputs:  # else: process abort
            raise EngineError(f"{n} tokens with {outputs} outputs do not fit this context")
        if (self.options.kind == "mtp") != (batch.embd is not None):  # else: silent garbage
            raise EngineError("an MTP context needs hidden rows, and only it takes them")
        batch.raw.n_tokens = n
        status = self._core.llama_decode(self.handle, batch.raw)
        if status:
            raise EngineError(f"llama.cpp could not decode {n} tokens (status {status})")
        self._outputs = outputs

    def logits(self) -> "NDArray[np.float32]":
        """[outputs, vocabulary] of the last decode; a view that the next decode overwrites."""
        return rows_at(self._core.llama_get_logits(self.handle), self._outputs, self.model.n_vocab)

    def hidden(self, n: int) -> "NDArray[np.float32]":
        """[n, width]: the last decode's rows after the final norm; a view like logits."""
        rows = self._ext.llama_get_embeddings_nextn(self.handle)
        return rows_at(rows, n, self.model.n_embd)

    def remove(self, start: int, *, sequence: int = 0) -> bool:
        """Forget positions ≥ start. False: refused, and the state is as it was."""
        return bool(self._core.llama_memory_seq_rm(self._memory, sequence, start, -1))

    def copy(self, source: int, destination: int) -> None:
        """Make `destination` (emptied first) share `source`. Never while a rollback is pending."""
        self.empty(destination)
        self._core.llama_memory_seq_cp(self._memory, source, destination, -1, -1)

    def empty(self, sequence: int) -> None:
        """Forget one sequence whole; never refused."""
        self._core.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def clear(self) -> None:
        self._core.llama_memory_clear(self._memory, True)

    def set_checkpoint(self) -> None:
        """Remember the recurrent part of sequence 0, in a buffer that is used again: its size does
        not depend on how much has been decoded.
        """
        partial = self._core.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
        size = self._core.llama_state_seq_get_size_ext(self.handle, 0, partial)
        if self._checkpoint is None or len(self._checkpoint) != size:
            self._checkpoint = (ctypes.c_uint8 * size)()
        read = self._core.llama_state_seq_get_data_ext
        if not read(self.handle, self._checkpoint, size, 0, partial):
            raise EngineError("the recurrent state could not be saved")

    def back_to_checkpoint(self, length: int) -> None:
        """Become what `set_checkpoint` saw, when `length` tokens had been decoded."""
        partial = self._core.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
        state = self._checkpoint
        write = self._core.llama_state_seq_set_data_ext
        if state is None or not write(self.handle, state, len(state), 0, partial):
            raise EngineError("the recurrent state could not be restored")
        if not self.remove(length):  # what the attention layers hold beyond it
            raise EngineError("the context refused to go back to its checkpoint")

    def save(self, *, sequence: int = 0) -> bytes:
        """The state of one sequence (KV and recurrent)."""
        size = self._core.llama_state_seq_get_size(self.handle, sequence)
        buffer = (ctypes.c_uint8 * size)()
        n = self._core.llama_state_seq_get_data(self.handle, buffer, size, sequence)
        if n == 0:
            raise EngineError("the state of a sequence could not be saved")
        return bytes(memoryview(buffer)[:n])

    def restore(self, state: bytes, *, sequence: int = 0) -> None:
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        size = len(state)
        if not self._core.llama_state_seq_set_data(self.handle, buffer, size, sequence):
            raise EngineError("a saved state could not be restored")
