"""Products with rows of a GGUF file's tensor, in the file's own quantisation, by ggml on the CPU.

The libraries are those that come with llama-cpp-python (the version is pinned, see llama.py).
"""

import ctypes
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.engine.llama import bindings
from agent.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Rows", "StoredTensor", "find_tensor"]

_F32 = 0
_SLACK = 1 << 20
"""Bytes for the descriptions of three tensors and a graph."""


class _InitParams(ctypes.Structure):
    _fields_ = (
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


class _GgufParams(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))


_POINTER, _INT, _LONG, _SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_size_t
_BASE: dict[str, tuple[Any, ...]] = {
    "ggml_init": (_POINTER, _InitParams),
    "ggml_free": (None, _POINTER),
    "ggml_new_tensor_2d": (_POINTER, _POINTER, _INT, _LONG, _LONG),
    "ggml_mul_mat": (_POINTER, _POINTER, _POINTER, _POINTER),
    "ggml_get_data": (_POINTER, _POINTER),
    "ggml_new_graph": (_POINTER, _POINTER),
    "ggml_build_forward_expand": (None, _POINTER, _POINTER),
    "ggml_row_size": (_SIZE, _INT, _LONG),
    "ggml_backend_graph_compute": (_INT, _POINTER, _POINTER),
    "ggml_backend_free": (None, _POINTER),
    "gguf_init_from_file": (_POINTER, ctypes.c_char_p, _GgufParams),
    "gguf_free": (None, _POINTER),
    "gguf_find_tensor": (_LONG, _POINTER, ctypes.c_char_p),
    "gguf_get_tensor_type": (_INT, _POINTER, _LONG),
    "gguf_get_tensor_size": (_SIZE, _POINTER, _LONG),
    "gguf_get_tensor_offset": (_SIZE, _POINTER, _LONG),
    "gguf_get_data_offset": (_SIZE, _POINTER),
}
_CPU: dict[str, tuple[Any, ...]] = {
    "ggml_backend_cpu_init": (_POINTER,),
    "ggml_backend_cpu_set_n_threads": (None, _POINTER, _INT),
}


class _Library:
    """The functions above, with their types."""

    def __init__(self) -> None:
        folder = Path(bindings().core.__file__).parent / "lib"
        for library, functions in (("ggml-base", _BASE), ("ggml-cpu", _CPU)):
            loaded = ctypes.CDLL(str(_file(folder, library)))
            for name, (result, *arguments) in functions.items():
                try:
                    function = getattr(loaded, name)
                except AttributeError as error:
                    raise EngineError(f"{library} lacks {name}") from error
                function.restype, function.argtypes = result, arguments
                setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


_loaded: list[_Library] = []


def _library() -> _Library:
    if not _loaded:
        _loaded.append(_Library())
    return _loaded[0]


def _file(folder: Path, library: str) -> Path:
    suffix = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
    for name in (f"lib{library}.{suffix}", f"{library}.{suffix}"):
        if (folder / name).exists():
            return folder / name
    raise EngineError(f"{library} does not lie beside llama.cpp")


class StoredTensor:
    """Where a matrix lies in a GGUF file: rows of `row_bytes` from `offset`, of a ggml `kind`."""

    def __init__(self, path: Path, *, kind: int, offset: int, size: int, width: int) -> None:
        self.path, self.kind, self.offset, self.width = path, kind, offset, width
        self.row_bytes: int = _library().ggml_row_size(kind, width)
        self.rows = size // self.row_bytes


def find_tensor(path: Path, names: Sequence[str], width: int) -> StoredTensor | None:
    """The first of `names` that the file holds; None without one (a file in several parts)."""
    library = _library()
    file = library.gguf_init_from_file(str(path).encode(), _GgufParams(True, None))
    if not file:
        return None
    try:
        for name in names:
            at = library.gguf_find_tensor(file, name.encode())
            if at >= 0:
                offset = library.gguf_get_data_offset(file)
                return StoredTensor(
                    path,
                    kind=library.gguf_get_tensor_type(file, at),
                    offset=offset + library.gguf_get_tensor_offset(file, at),
                    size=library.gguf_get_tensor_size(file, at),
                    width=width,
                )
        return None
    finally:
        library.gguf_free(file)


class Rows:
    """Some rows of a matrix, in memory of their own, to be multiplied with a vector."""

    def __init__(self, tensor: StoredTensor, count: int) -> None:
        import numpy as np

        self._library = library = _library()
        self.count, self._row = count, tensor.row_bytes
        nbytes = count * tensor.row_bytes + 4 * (count + tensor.width) + _SLACK
        self._context = library.ggml_init(_InitParams(nbytes, None, False))
        self._backend = library.ggml_backend_cpu_init()
        if not self._context or not self._backend:
            raise EngineError(f"no memory for {count} rows of the head")
        # One thread: handing out work costs more than the one or two milliseconds this takes.
        library.ggml_backend_cpu_set_n_threads(self._backend, 1)
        matrix = library.ggml_new_tensor_2d(self._context, tensor.kind, tensor.width, count)
        vector = library.ggml_new_tensor_2d(self._context, _F32, tensor.width, 1)
        product = library.ggml_mul_mat(self._context, matrix, vector)
        self._graph = library.ggml_new_graph(self._context)
        library.ggml_build_forward_expand(self._graph, product)
        self._data: int = library.ggml_get_data(matrix)
        ctypes.memset(self._data, 0, count * self._row)
        self._vector = _floats(library.ggml_get_data(vector), tensor.width, np)
        self._product = _floats(library.ggml_get_data(product), count, np)

    def close(self) -> None:
        if self._context:
            self._library.ggml_backend_free(self._backend)
            self._library.ggml_free(self._context)
            self._context = None

    def put(self, at: int, data: bytes) -> None:
        """Set the rows from `at` on, as they are stored."""
        if len(data) % self._row or at + len(data) // self._row > self.count:
            raise EngineError("rows that do not fit the head")
        ctypes.memmove(self._data + at * self._row, data, len(data))

    def times(self, vector: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """A number for each row; a view that the next call overwrites."""
        self._vector[:] = vector
        if self._library.ggml_backend_graph_compute(self._backend, self._graph):
            raise EngineError("the product with the rows of the head failed")
        return self._product


def _floats(address: int, n: int, np: Any) -> "NDArray[np.float32]":
    raw = memoryview((ctypes.c_float * n).from_address(address)).cast("B")
    flat: NDArray[np.float32] = np.frombuffer(raw, dtype=np.float32)
    return flat
