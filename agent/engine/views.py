"""llama.cpp's output rows as arrays, without a copy."""

import ctypes
from typing import TYPE_CHECKING, Any

from agent.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Views"]


class Views:
    """Of one context. The buffer mostly stays where it is, and to make a view takes 20 µs: each
    shape's last one is kept."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, int], tuple[int, NDArray[np.float32]]] = {}

    def __call__(self, pointer: Any, rows: int, columns: int) -> "NDArray[np.float32]":
        """[rows, columns] at `pointer` (to floats). Raises EngineError where it is null."""
        import numpy as np

        if not pointer:
            raise EngineError("llama.cpp gave no output rows")
        address = ctypes.addressof(pointer.contents)
        known = self._made.get((rows, columns))
        if known and known[0] == address:
            return known[1]
        raw = memoryview((ctypes.c_float * (rows * columns)).from_address(address)).cast("B")
        view: NDArray[np.float32] = np.frombuffer(raw, dtype=np.float32).reshape(rows, columns)
        self._made[rows, columns] = address, view
        return view
