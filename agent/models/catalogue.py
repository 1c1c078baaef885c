"""The models known to work: where their files are, what they need, how they like to be asked."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from agent.types import EditFormatName

__all__ = ["Entry", "Sampling", "catalogue", "edit_format", "find"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """The authors' advice; `top_k` and `min_p` 0 mean: not used."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model of the catalogue; catalogue.toml says what each fact means and its unit."""

    name: str
    title: str
    architecture: str
    repo: str
    """Hub repository; empty for the shipped model."""
    file: str
    """Pattern of the file's name in the repository, case ignored."""
    quantisation: str
    file_bytes: int
    parameters: float
    active: float
    experts: float
    layers: int
    context: int
    kv_bytes: int
    state_bytes: int
    mtp: bool
    recommend: bool
    edit_format: EditFormatName
    sampling: Sampling
    use: str


@cache
def catalogue() -> tuple[Entry, ...]:
    """All entries, the smallest of each family first."""
    text = resources.files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8")
    return tuple(_entry(raw) for raw in tomllib.loads(text)["model"])


def find(name: str) -> Entry | None:
    """The entry a name means: its own, or that of a file (`Qwen3.5-4B-UD-Q4_K_XL`, a path).

    The longest entry name that begins the file's stem wins. `-Instruct`, sizes and separators as
    publishers write them: `Qwen3-Coder-30B-A3B-Instruct-Q8_0.gguf` is qwen3-coder-30b-a3b.
    """
    stem = name.replace("\\", "/").rsplit("/", 1)[-1].lower().removesuffix(".gguf")
    stem = stem.removeprefix("qwen_").removeprefix("pointsman-")
    fitting = [
        e for e in catalogue() if stem == e.name or stem.startswith((f"{e.name}-", f"{e.name}."))
    ]
    return max(fitting, key=lambda e: len(e.name), default=None)


def edit_format(name: str) -> EditFormatName:
    """How a model is asked for edits; search/replace for those the catalogue does not know."""
    entry = find(name)
    return entry.edit_format if entry else "search_replace"


def _entry(raw: dict[str, Any]) -> Entry:
    return Entry(**{**raw, "sampling": Sampling(**raw["sampling"])})
