"""Model files: what one is, which are here, which are known, whether one fits, how to get one.

catalogue.py knows models, info.py reads headers, machine.py and fit.py judge, pull.py fetches.
"""

import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from agent.errors import EngineError
from agent.models.catalogue import Entry, Sampling, catalogue, edit_format, find
from agent.models.files import is_later_part, link, parts
from agent.models.fit import Fit, Load, best, fit, load_of
from agent.models.info import ModelInfo, inspect, sha256
from agent.models.machine import Gpu, Machine, gpu_install_command, gpus, look

__all__ = [
    "Entry",
    "Fit",
    "Gpu",
    "Load",
    "Machine",
    "ModelInfo",
    "Sampling",
    "best",
    "catalogue",
    "damaged",
    "edit_format",
    "find",
    "fit",
    "gpu_install_command",
    "gpus",
    "import_model",
    "inspect",
    "installed",
    "load_of",
    "look",
    "resolve",
    "sha256",
    "shipped",
]

MINI = "pointsman-mini.gguf"


def shipped() -> Path | None:
    """The model in the package; None where the package was built without it."""
    path = Path(str(resources.files(__package__))) / MINI
    return path if path.is_file() else None


def installed(models_dir: Path) -> tuple[ModelInfo, ...]:
    """The shipped model and every readable one of the directory; damaged files are left out."""
    found = []
    for path in _candidates(models_dir):
        try:
            found.append(inspect(path))
        except EngineError:
            continue
    return tuple(found)


def damaged(models_dir: Path) -> tuple[tuple[Path, str], ...]:
    """Files of the directory that cannot be used, and why: cut off, no model, a dead link."""
    found = []
    for path in _files(models_dir):
        try:
            inspect(path)
        except EngineError as error:
            found.append((path, str(error)))
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
    begins = [
        p for stem, p in stems if stem.startswith(wanted) and not stem[len(wanted) :][:1].isalnum()
    ]
    return next(iter([*exact, *begins]), None)


def import_model(path: Path, models_dir: Path) -> Path:
    """Make a file of the user's known by a link in the directory, with all its parts.

    Raises EngineError: not a model for text, a part missing or not the first, a name taken.
    """
    every = parts(path)
    info = inspect(path)
    if info.architecture in _NOT_TEXT:
        raise EngineError(f"{path.name} holds no language model ({info.architecture})")
    models_dir.mkdir(parents=True, exist_ok=True)
    first, *_ = [link(part, models_dir) for part in every]
    return first


_NOT_TEXT = ("clip", "mmproj")
"""Picture and sound encoders, published beside models."""


def _files(models_dir: Path) -> list[Path]:
    found = sorted(models_dir.glob("*.gguf")) if models_dir.is_dir() else []
    return [path for path in found if not is_later_part(path)]


def _candidates(models_dir: Path) -> Iterator[Path]:
    mini = shipped()
    if mini:
        yield mini
    yield from _files(models_dir)
