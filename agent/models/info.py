"""What a model file is, by its GGUF header; loading weights is the engine's business."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from agent.errors import EngineError
from agent.models.header import Header, Tensor, read_header

__all__ = ["ModelInfo", "inspect", "sha256"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a GGUF header says. `quantisation` is the type most weights have; sizes in bytes."""

    path: Path
    name: str
    architecture: str
    parameters: int
    context: int
    """Tokens the model was made for."""
    has_mtp: bool
    """By its tensors, not its name: some files declare a head they lack."""
    hybrid: bool
    """Has recurrent layers: cannot be rewound freely."""
    quantisation: str
    size: int
    """Bytes of the file."""
    kv_bytes: int
    """f16 KV cache per token of context."""
    layers: int
    """Without the MTP layer."""
    state_bytes: int
    """One recurrent state of all layers; 0 for attention only."""
    active_bytes: int
    """Weights read for a token."""
    expert_bytes: int
    """Weights in routed experts; `active_expert_bytes` of them are read for a token."""
    active_expert_bytes: int


def inspect(path: Path) -> ModelInfo:
    """Facts of a model file. Raises EngineError: missing, not GGUF, cut off, damaged, no model."""
    header = read_header(path)
    architecture = header.values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise EngineError(f"{path.name} names no architecture")
    sizes = _sizes(path, header)
    tensors = header.tensors
    name = header.values.get("general.name")
    facts = _Facts(header, architecture)
    experts = sum(n for t, n in sizes.items() if "_exps." in t)
    used = experts * facts["expert_used_count"] // max(facts["expert_count"], 1)
    return ModelInfo(
        path=path,
        name=name if isinstance(name, str) and name else path.stem,
        architecture=architecture,
        parameters=sum(_elements(t) for t in tensors),
        context=facts["context_length"],
        has_mtp=any(t.name.endswith(".nextn.eh_proj.weight") for t in tensors),
        hybrid=any(".ssm_" in t.name for t in tensors),
        quantisation=_quantisation(tensors),
        size=header.file_size,
        kv_bytes=_kv_bytes(facts),
        layers=facts["block_count"] - facts["nextn_predict_layers"],
        state_bytes=_state_bytes(facts, sum(t.name.endswith(".ssm_a") for t in tensors)),
        active_bytes=_read_once(sizes) - experts + used,
        expert_bytes=experts,
        active_expert_bytes=used,
    )


def sha256(path: Path) -> str:
    """Hash of the whole file: seconds for large ones."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Facts:
    """Whole numbers of an architecture's metadata; 0 where there is none."""

    def __init__(self, header: Header, architecture: str) -> None:
        self._values, self._architecture = header.values, architecture

    def __getitem__(self, key: str) -> int:
        value = self._values.get(f"{self._architecture}.{key}", 0)
        return value if isinstance(value, int) else 0


def _elements(tensor: Tensor) -> int:
    n = 1
    for size in tensor.shape:
        n *= size
    return n


def _sizes(path: Path, header: Header) -> dict[str, int]:
    """Bytes of each tensor. The last one's end is held against the file's: a download that broke
    off is told as such."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    sizes: dict[str, int] = {}
    for tensor in header.tensors:
        try:
            block, size = GGML_QUANT_SIZES[GGMLQuantizationType(tensor.kind)]
        except (ValueError, KeyError) as error:
            raise EngineError(f"{path.name}: {tensor.name} has type {tensor.kind}") from error
        sizes[tensor.name] = _elements(tensor) // block * size
        end = header.data_start + tensor.offset + sizes[tensor.name]
        if end > header.file_size:
            raise EngineError(
                f"{path.name} is cut off: {header.file_size:,} of at least {end:,} bytes",
                remedy="fetch the file again",
            )
    return sizes


def _read_once(sizes: dict[str, int]) -> int:
    """All weights but those a plain step does not touch: the MTP layer's own, and the embedding,
    of which one row is read, unless it is the output matrix too."""
    rows_only = sizes.get("token_embd.weight", 0) if "output.weight" in sizes else 0
    mtp_blocks = {t.split(".nextn.")[0] + "." for t in sizes if ".nextn." in t}
    mtp = sum(n for t, n in sizes.items() if t.startswith(tuple(mtp_blocks)))
    mtp_experts = sum(
        n for t, n in sizes.items() if t.startswith(tuple(mtp_blocks)) and "_exps." in t
    )
    return sum(sizes.values()) - rows_only - (mtp - mtp_experts)


def _quantisation(tensors: tuple[Tensor, ...]) -> str:
    from gguf.constants import GGMLQuantizationType

    weight: Counter[int] = Counter()
    for tensor in tensors:
        weight[tensor.kind] += _elements(tensor)
    return GGMLQuantizationType(weight.most_common(1)[0][0]).name if weight else "none"


def _kv_bytes(facts: _Facts) -> int:
    """f16 keys and values of the layers with full attention, the MTP layer among them."""
    heads = facts["attention.head_count_kv"]
    head = facts["embedding_length"] // max(facts["attention.head_count"], 1)
    key = facts["attention.key_length"] or head
    value = facts["attention.value_length"] or head
    blocks, interval = facts["block_count"], facts["full_attention_interval"]
    layers = -(-blocks // interval) if interval > 1 else blocks
    return layers * heads * (key + value) * 2


def _state_bytes(facts: _Facts, layers: int) -> int:
    """f32: per recurrent layer a matrix for each head, and what the convolution looks back on."""
    inner, state = facts["ssm.inner_size"], facts["ssm.state_size"]
    channels = inner + 2 * facts["ssm.group_count"] * state
    return layers * 4 * (inner * state + max(facts["ssm.conv_kernel"] - 1, 0) * channels)
