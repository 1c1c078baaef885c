"""Files of the models directory: links to the user's own, and models in several parts."""

import re
from pathlib import Path

from agent.errors import EngineError

__all__ = ["family", "is_later_part", "link", "parts"]

_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)


def family(name: str) -> str:
    """What the names of all parts of a model begin with; a whole file's own name."""
    return _PART.sub("", name)


def is_later_part(path: Path) -> bool:
    """Whether it is a part, and not the first: a model is loaded by the name of its first."""
    found = _PART.search(path.name)
    return found is not None and int(found[1]) != 1


def parts(path: Path) -> list[Path]:
    """A model's files, given the first. Raises EngineError: not the first, or one is missing."""
    found = _PART.search(path.name)
    if found is None:
        return [path]
    if is_later_part(path):
        raise EngineError(f"{path.name} is not the first part", remedy="name the one with 00001-of")
    count, stem = found[2], family(path.name)
    every = [path.with_name(f"{stem}-{i:05d}-of-{count}.gguf") for i in range(1, int(count) + 1)]
    missing = next((p.name for p in every if not p.is_file()), None)
    if missing:
        raise EngineError(f"{missing} is missing beside {path.name}")
    return every


def link(path: Path, models_dir: Path) -> Path:
    """Make a file known in the directory. Raises EngineError: the name is another file's."""
    made = models_dir / path.name
    if made.exists():
        if made.samefile(path):
            return made
        raise EngineError(f"{made} is there already", remedy="rename one of the two files")
    made.unlink(missing_ok=True)
    made.symlink_to(path.resolve())
    return made
