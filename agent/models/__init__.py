"""Model files: what one is, which are here, which are known, and whether one fits this machine.

Reads GGUF headers only; loading weights is the engine's business.
"""

import hashlib
import os
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from agent.errors import EngineError
from agent.models.header import Header, Tensor, read_header

__all__ = [
    "Entry",
    "Fit",
    "ModelInfo",
    "catalogue",
    "fit",
    "import_model",
    "inspect",
    "installed",
    "resolve",
    "sha256",
    "shipped",
]

MINI = "pointsman-mini.gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a GGUF header says. `quantisation` is the type most weights have."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model of the catalogue. Zero means: not known, or does not apply."""

    name: str
    title: str
    architecture: str
    context: int
    use: str
    parameters: float = 0.0
    """Billions."""
    active: float = 0.0
    kv_bytes: int = 0
    state_bytes: int = 0
    quantisation: str = ""
    file_bytes: int = 0
    source: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Whether a model fits into memory with a context; all in bytes."""

    fits: bool
    needed: int
    available: int
    formula: str


def inspect(path: Path) -> ModelInfo:
    """Facts of a model file. Raises EngineError: missing, not GGUF, cut off, damaged, no model."""
    header = read_header(path)
    architecture = header.values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise EngineError(f"{path.name} names no architecture")
    _check_complete(path, header)
    tensors = header.tensors
    blocks = _number(header, f"{architecture}.block_count")
    interval = _number(header, f"{architecture}.full_attention_interval")
    name = header.values.get("general.name")
    return ModelInfo(
        path=path,
        name=name if isinstance(name, str) and name else path.stem,
        architecture=architecture,
        parameters=sum(_elements(t) for t in tensors),
        context=_number(header, f"{architecture}.context_length"),
        has_mtp=any(t.name.endswith(".nextn.eh_proj.weight") for t in tensors),
        hybrid=any(".ssm_" in t.name for t in tensors),
        quantisation=_quantisation(tensors),
        size=header.file_size,
        kv_bytes=_kv_bytes(header, architecture, blocks, interval),
    )


def sha256(path: Path) -> str:
    """Hash of the whole file: seconds for large ones."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shipped() -> Path | None:
    """The model in the package; None where the package was built without it."""
    path = Path(str(resources.files(__package__))) / MINI
    return path if path.is_file() else None


def catalogue() -> tuple[Entry, ...]:
    """Models known to work."""
    text = resources.files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8")
    return tuple(Entry(**raw) for raw in tomllib.loads(text)["model"])


def installed(models_dir: Path) -> tuple[ModelInfo, ...]:
    """The shipped model and every readable one of the directory; damaged files are left out."""
    found = []
    for path in _candidates(models_dir):
        try:
            found.append(inspect(path))
        except EngineError:
            continue
    return tuple(found)


def resolve(name: str, models_dir: Path) -> Path | None:
    """The file of `mini`, a path to a GGUF, or a model in the directory; None if there is none.

    A name matches a file's stem, whole or as its beginning up to a separator: `qwen3.5-4b` finds
    `Qwen3.5-4B-Q4_K_M.gguf`.
    """
    if name == "mini":
        return shipped()
    if os.sep in name or name.endswith(".gguf"):
        for path in (Path(name).expanduser(), models_dir / name):
            if path.is_file():
                return path.resolve()
        return None
    wanted = name.lower()
    stems = [(path.stem.lower(), path) for path in _files(models_dir)]
    exact = [path for stem, path in stems if stem == wanted]
    begins = [p for stem, p in stems if stem.startswith(wanted) and not stem[len(wanted) :][:1].isalnum()]
    return next(iter([*exact, *begins]), None)


def import_model(path: Path, models_dir: Path) -> Path:
    """Make a file of the user's known by a link in the directory. Raises EngineError."""
    info = inspect(path)
    models_dir.mkdir(parents=True, exist_ok=True)
    link = models_dir / path.name
    if link.exists():
        if link.samefile(path):
            return link
        raise EngineError(f"{link} is there already", remedy="rename one of the two files")
    link.unlink(missing_ok=True)
    link.symlink_to(info.path.resolve())
    return link


def fit(info: ModelInfo, *, context: int, available: int | None = None) -> Fit:
    """Predict memory for a model on this machine. `available` None: what is free now."""
    if available is None:
        import psutil

        available = psutil.virtual_memory().available
    kv = info.kv_bytes * context
    needed = info.size + kv + _OVERHEAD
    parts = (f"file {info.size:,}", f"KV {info.kv_bytes:,} × {context:,} tokens", "256 MiB to work")
    formula = " + ".join(parts)
    return Fit(fits=needed <= available, needed=needed, available=available, formula=formula)


_OVERHEAD = 256 * 2**20


def _files(models_dir: Path) -> list[Path]:
    return sorted(models_dir.glob("*.gguf")) if models_dir.is_dir() else []


def _candidates(models_dir: Path) -> Iterator[Path]:
    mini = shipped()
    if mini:
        yield mini
    yield from _files(models_dir)


def _number(header: Header, key: str) -> int:
    value = header.values.get(key, 0)
    return value if isinstance(value, int) else 0


def _elements(tensor: Tensor) -> int:
    n = 1
    for size in tensor.shape:
        n *= size
    return n


def _check_complete(path: Path, header: Header) -> None:
    """The last tensor's end against the file's: a download that broke off is told as such."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    for tensor in header.tensors:
        try:
            block, size = GGML_QUANT_SIZES[GGMLQuantizationType(tensor.kind)]
        except (ValueError, KeyError) as error:
            raise EngineError(f"{path.name}: {tensor.name} has type {tensor.kind}") from error
        end = header.data_start + tensor.offset + _elements(tensor) // block * size
        if end > header.file_size:
            raise EngineError(
                f"{path.name} is cut off: {header.file_size:,} of at least {end:,} bytes",
                remedy="fetch the file again",
            )


def _quantisation(tensors: tuple[Tensor, ...]) -> str:
    from gguf.constants import GGMLQuantizationType

    weight: Counter[int] = Counter()
    for tensor in tensors:
        weight[tensor.kind] += _elements(tensor)
    return GGMLQuantizationType(weight.most_common(1)[0][0]).name if weight else "none"


def _kv_bytes(header: Header, architecture: str, blocks: int, interval: int) -> int:
    """f16 keys and values of the layers with full attention."""
    heads = _number(header, f"{architecture}.attention.head_count_kv")
    key = _number(header, f"{architecture}.attention.key_length")
    value = _number(header, f"{architecture}.attention.value_length")
    layers = -(-blocks // interval) if interval > 1 else blocks
    return layers * heads * (key + value) * 2
