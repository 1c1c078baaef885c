"""Writing the user's own settings file: one key at a time, comments kept, checked first."""

import os
from pathlib import Path

from agent.errors import ConfigError
from agent.settings_keys import by_name

__all__ = ["set_value"]


def set_value(name: str, text: str, *, path: Path | None = None) -> Path:
    """Set `name` (dotted) in the user's file, readable by its owner only; returns the file.

    Raises ConfigError for an unknown name, a bad value, or a key that no file may hold.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    from agent.config import nearest
    from agent.paths import user_config

    key = by_name().get(name)
    if key is None:
        raise ConfigError(f"unknown key {name!r}{nearest(name, by_name())}", remedy="agent config")
    if not key.in_file or name == "prices":
        raise ConfigError(f"{name} cannot be set this way", remedy="see agent config --help")
    value = _typed(text)
    try:
        key.parse(value)
    except ValueError:
        value = text
        try:
            key.parse(value)
        except ValueError as error:
            raise ConfigError(f"{name}: {error}") from error
    file = path or user_config()
    try:
        document = tomlkit.parse(file.read_text(encoding="utf-8") if file.exists() else "")
    except TOMLKitError as error:
        raise ConfigError(f"{file}: {error}") from error
    table = document
    *outer, last = name.split(".")
    for part in outer:
        table = table.setdefault(part, tomlkit.table())
    table[last] = value
    _write(file, tomlkit.dumps(document))
    return file


def _typed(text: str) -> object:
    """`3` is a number, `true` a boolean, `["a"]` a list; anything else is a string."""
    import tomllib

    try:
        value: object = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text
    return value


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    scratch.touch(mode=0o600)
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(file)
