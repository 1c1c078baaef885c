"""Directories of tasks: a swebench-5 task repository, or tasks of one's own in the same form.

    [tasks/]NAME/
        task.yaml | task.json    the short fields: instance_id, repo, base_commit, version, …
        tests.json               {"FAIL_TO_PASS": […], "PASS_TO_PASS": […]}; or in task.*
        problem_statement.md     the issue
        hints.md  gold.patch  test.patch  eval.sh
        tree/                    the code with all its tests; or `source_dir`, `source_bundle`

Only task.* and the issue are needed where the lists and the patch are told in task.*; an absent
`instance_id` is the directory's name.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.errors import ConfigError
from evals.datasets.rows import Loaded, Placed, collected

__all__ = ["is_task_directory", "read_tasks"]

METADATA = ("task.yaml", "task.json")
TEXTS = {
    "patch": "gold.patch",
    "test_patch": "test.patch",
    "problem_statement": "problem_statement.md",
    "hints_text": "hints.md",
    "eval_script": "eval.sh",
}
EMPTY = ("patch", "test_patch", "base_commit", "PASS_TO_PASS")
"""May be absent in a task of one's own."""
TESTS = "tests.json"
TREE = "tree"


def is_task_directory(path: Path) -> bool:
    return bool(_directories(path))


def read_tasks(path: Path) -> Loaded:
    """Every task below a directory, by name. Broken ones are in `rejected`."""
    return collected(_placed(path), path)


def _placed(path: Path) -> Iterator[Placed]:
    for directory in _directories(path):
        where = str(directory)
        try:
            row = _row(directory)
        except ConfigError as error:
            yield where, error
        else:
            yield where, row


def _directories(path: Path) -> list[Path]:
    root = path / "tasks" if (path / "tasks").is_dir() else path
    found = [d for d in root.iterdir() if any((d / name).is_file() for name in METADATA)]
    return sorted(found)


def _row(directory: Path) -> dict[str, Any]:
    row = _metadata(directory)
    for field, name in TEXTS.items():
        file = directory / name
        if file.is_file():
            row[field] = _text(file)
    tests = directory / TESTS
    if tests.is_file():
        told = _parsed(tests)
        if not isinstance(told, dict):
            raise ConfigError(f"{tests}: expected an object with FAIL_TO_PASS and PASS_TO_PASS")
        row.update({k: told[k] for k in ("FAIL_TO_PASS", "PASS_TO_PASS") if k in told})
    row.setdefault("instance_id", directory.name)
    tree = directory / TREE
    for key in ("source_dir", "source_bundle"):
        if isinstance(row.get(key), str):
            row[key] = os.path.abspath(directory / row[key])  # noqa: PTH100 - takes any text
    if tree.is_dir():
        row.setdefault("source_dir", str(tree.resolve()))
    if row.get("source_dir") or row.get("source_bundle"):
        row.setdefault("repo", row["instance_id"])
        for name in EMPTY:
            row.setdefault(name, [] if name == "PASS_TO_PASS" else "")
    return {k: str(v) if k == "version" else v for k, v in row.items()}


def _metadata(directory: Path) -> dict[str, Any]:
    file = next(directory / name for name in METADATA if (directory / name).is_file())
    row = _parsed(file)
    if not isinstance(row, dict):
        raise ConfigError(f"{file}: expected fields with values")
    return row


def _parsed(file: Path) -> Any:
    text = _text(file)
    if file.suffix == ".json":
        try:
            return json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ConfigError(f"{file}: broken JSON: {error}") from error
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{file}{line}: broken YAML: {error}") from error


def _text(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            return stream.read()  # a patch keeps its line ends
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
