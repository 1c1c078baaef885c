"""Which directories of the repository its own packages are imported from."""

import configparser
import tomllib
from pathlib import Path
from typing import Any


def source_directories(root: Path) -> tuple[Path, ...]:
    """Existing directories below `root`, to come first on `sys.path`.

    Configured ones (pytest's `pythonpath`, setuptools' `package-dir` and `find.where`, hatch and
    poetry package directories), then `src`, then the root itself.
    """
    names = [*_from_pyproject(root), *_from_setup_cfg(root), "src", "."]
    found = []
    for name in names:
        path = (root / name).resolve()
        if path.is_dir() and (path == root.resolve() or root.resolve() in path.parents):
            found.append(path)
    return tuple(dict.fromkeys(found))


def _from_pyproject(root: Path) -> list[str]:
    file = root / "pyproject.toml"
    try:
        data: dict[str, Any] = tomllib.loads(file.read_text("utf-8", "replace"))
    except (OSError, tomllib.TOMLDecodeError):
        return []
    names = _words(_at(data, "tool", "pytest", "ini_options", "pythonpath"))
    names += _words(_at(data, "tool", "pytest", "pythonpath"))
    names += _words(_at(data, "tool", "setuptools", "package-dir", ""))
    names += _words(_at(data, "tool", "setuptools", "packages", "find", "where"))
    names += _words(_at(data, "tool", "pdm", "build", "package-dir"))
    packages = _at(data, "tool", "hatch", "build", "targets", "wheel", "packages")
    names += [str(Path(name).parent) for name in _words(packages)]
    poetry = _at(data, "tool", "poetry", "packages")
    entries = poetry if isinstance(poetry, list) else []
    names += [e["from"] for e in entries if isinstance(e, dict) and isinstance(e.get("from"), str)]
    return names


def _from_setup_cfg(root: Path) -> list[str]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string((root / "setup.cfg").read_text("utf-8", "replace"))
    except (OSError, configparser.Error):
        return []
    lines = parser.get("options", "package_dir", fallback="").splitlines()
    names = [
        value.strip() for key, _, value in (x.partition("=") for x in lines) if not key.strip()
    ]
    names += parser.get("options.packages.find", "where", fallback="").split()
    return [name for name in names if name]


def _at(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.split()
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
