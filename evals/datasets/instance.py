"""An instance: SWE-bench's row, and what we need besides to run it without an image.

Field names are the official ones, so that rows pass through unchanged.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from agent.errors import ConfigError

__all__ = ["Instance", "from_row"]

LONGEST_ID = 180
"""In bytes: files are named by it, and by arm and seed besides."""
TUPLES = ("FAIL_TO_PASS", "PASS_TO_PASS", "test_files", "requires", "pythonpath", "hidden_tests")
PATCHES = ("patch", "test_patch")
"""May hold bytes that are no text, as surrogates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One task. `source_dir` holds the tree with all of its tests, those of `test_patch` too;
    `source_bundle` holds the base commit as it is, to which `test_patch` is applied."""

    instance_id: str
    repo: str
    base_commit: str
    patch: str
    """The gold patch; never shown to an agent."""
    test_patch: str
    problem_statement: str
    FAIL_TO_PASS: tuple[str, ...]
    PASS_TO_PASS: tuple[str, ...]
    hints_text: str = ""
    created_at: str = ""
    version: str = ""
    environment_setup_commit: str = ""
    # Ours.
    test_cmd: str = "python -m pytest"
    test_files: tuple[str, ...] = ()
    """Restored before grading, besides what looks like a test."""
    requires: tuple[str, ...] = ()
    """Distributions the tests need besides pytest."""
    pythonpath: tuple[str, ...] = ()
    source_dir: str = ""
    source_bundle: str = ""
    """A git bundle that holds `base_commit`."""
    tests_visible: bool = True
    hidden_tests: tuple[str, ...] = ()
    """Ids whose functions are taken out of the agent's tree; empty with hidden tests: those of
    FAIL_TO_PASS."""
    stratum: str = ""
    origin: str = ""
    """Where a mined fix was found; never shown to an agent."""
    # swebench 5.
    image: str = ""
    """Holds the base commit at /testbed and the environment of its tests; used where the row has no
    source of its own."""
    eval_script: str = ""
    log_parser: str = ""
    eval_type: str = ""


def from_row(row: Mapping[str, Any], *, where: str) -> Instance:
    """A parsed row as an Instance. Unknown fields are ignored: rows of newer datasets have more.

    Raises ConfigError naming the place and the field.
    """
    if not isinstance(row, Mapping):
        raise ConfigError(f"{where}: a row must be an object, not {type(row).__name__}")
    values: dict[str, Any] = {}
    for field in fields(Instance):
        needed = field.default is MISSING
        value = row.get(field.name)
        if value is None:
            if needed:
                raise ConfigError(f"{where}: the field {field.name!r} is missing")
            continue
        values[field.name] = _value(field.name, value, where)
    # In SWE-bench's rows the tests of test_patch are what the agent must not see.
    values.setdefault("tests_visible", not values["test_patch"].strip())
    instance = Instance(**values)
    for name, directory in (
        ("instance_id", instance.instance_id),
        ("repo", instance.repo.replace("/", "__")),
    ):
        if not _names_a_directory(directory):
            raise ConfigError(f"{where}: {name} {directory[:80]!r} cannot name a directory")
    if not instance.FAIL_TO_PASS:
        raise ConfigError(f"{where}: FAIL_TO_PASS of {instance.instance_id} is empty")
    return instance


def _names_a_directory(name: str) -> bool:
    plain = name.isprintable() and not set(name) & set("/\\")
    return plain and 0 < len(name.encode()) <= LONGEST_ID and name[0] not in ". -"


def _value(name: str, value: object, where: str) -> object:
    if name in TUPLES:
        return _list(name, value, where)
    if name == "tests_visible":
        if not isinstance(value, bool):
            raise ConfigError(f"{where}: {name} must be true or false")
        return value
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {name} must be a string, not {type(value).__name__}")
    if name not in PATCHES:
        _checked(name, value, where)
    return value


def _checked(name: str, text: str, where: str) -> None:
    """Half a character can be written nowhere, and NUL ends a path or an argument."""
    if "\0" in text:
        raise ConfigError(f"{where}: {name} has a NUL in it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{where}: {name} is no Unicode text: {error.reason}") from error


def _list(name: str, value: object, where: str) -> tuple[str, ...]:
    """A list of strings, or one written as a JSON string, as the official sets have it."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{where}: {name} is no JSON list: {error}") from error
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise ConfigError(f"{where}: {name} must be a list of strings")
    for word in value:
        _checked(name, word, where)
        if not word.strip() or word.startswith("-"):
            raise ConfigError(f"{where}: {name} holds {word[:80]!r}, which names nothing")
    return tuple(value)
