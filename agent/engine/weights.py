"""Where a model's weights and cache lie: how many layers on the GPU, experts in RAM, KV type.

On a library built for CPUs all of it lies in RAM whatever is asked. Layers on the GPU are split
over several cards by llama.cpp, in proportion to their free memory.
"""

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agent.errors import EngineError

__all__ = ["Weights", "place"]

_EXPERTS = rb"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
"""llama.cpp's own pattern of routed experts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """`gpu_layers` None: as many as there are."""

    gpu_layers: int | None = None
    experts_in_ram: bool = False
    kv_type: Literal["f16", "q8_0"] = "f16"


class _Override(ctypes.Structure):
    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


def place(params: Any, weights: Weights, core: Any) -> Any:
    """Set the model parameters; what is returned must live until the model is loaded."""
    if weights.gpu_layers is not None:
        params.n_gpu_layers = weights.gpu_layers
    if not weights.experts_in_ram:
        return None
    overrides = (_Override * 2)(_Override(_EXPERTS, _ram(core)), _Override(None, None))
    params.tensor_buft_overrides = ctypes.cast(overrides, ctypes.c_void_p)
    return overrides


def _ram(core: Any) -> int:
    """The buffer type of ordinary memory."""
    folder = Path(core.__file__).parent / "lib"
    names = ("libggml-base.so", "libggml-base.dylib")
    found = next((folder / name for name in names if (folder / name).exists()), None)
    if found is None:
        raise EngineError("llama.cpp's base library is not where it was: experts cannot be placed")
    buffer_type = ctypes.CDLL(str(found)).ggml_backend_cpu_buffer_type
    buffer_type.restype = ctypes.c_void_p
    address: int = buffer_type()
    return address
