"""SWE-bench rows in files: JSONL, JSON, Parquet. Bad rows are named by file and line."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import ConfigError
from evals.datasets.instance import Instance, from_row

__all__ = ["SUFFIXES", "Loaded", "collected", "load_instances", "read_rows"]

SUFFIXES = (".jsonl", ".json", ".parquet")
Placed = tuple[str, Any | ConfigError]
"""Where a row is, and the row or why it cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What can be used, and what cannot: (instance id or place, reason)."""

    instances: tuple[Instance, ...]
    rejected: tuple[tuple[str, str], ...]


def read_rows(path: Path) -> Loaded:
    """Every row of a file; broken ones, and ids that occur again, are in `rejected`.

    Relative `source_dir` and `source_bundle` are relative to the file. Raises ConfigError if the
    file cannot be read at all or holds no rows.
    """
    if path.suffix == ".parquet":
        placed = _parquet(path)
    else:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
        placed = _list(path, text) if path.suffix == ".json" else _lines(path, text)
    found = collected(placed, path.parent)
    if not found.instances and not found.rejected:
        raise ConfigError(f"{path}: there are no rows")
    return found


def load_instances(path: Path) -> tuple[Instance, ...]:
    """The same, where every row must be good. Raises ConfigError for the first that is not."""
    found = read_rows(path)
    if found.rejected:
        raise ConfigError(found.rejected[0][1])
    return found.instances


def collected(placed: Iterable[Placed], base: Path) -> Loaded:
    """Rows as instances, in order. Paths of sources are relative to `base`."""
    good: dict[str, Instance] = {}
    rejected = []
    for where, row in placed:
        try:
            if isinstance(row, ConfigError):
                raise row
            instance = from_row(_rooted(row, base), where=where)
            if instance.instance_id in good:
                raise ConfigError(f"{where}: instance_id {instance.instance_id} occurs twice")
        except ConfigError as error:
            rejected.append((where, str(error)))
        else:
            good[instance.instance_id] = instance
    return Loaded(instances=tuple(good.values()), rejected=tuple(rejected))


def _lines(path: Path, text: str) -> Iterator[Placed]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}:{number}"
            yield where, _json(line, where)


def _list(path: Path, text: str) -> Iterator[Placed]:
    rows = _json(text, str(path))
    if isinstance(rows, ConfigError):
        raise rows
    if not isinstance(rows, list):
        raise ConfigError(f"{path}: expected a list of rows")
    yield from ((f"{path}: row {n}", row) for n, row in enumerate(rows, 1))


def _parquet(path: Path) -> Iterator[Placed]:
    """In batches: the published sets are hundreds of megabytes with all columns."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ConfigError(
            f"{path}: Parquet needs pyarrow", remedy="pip install 'pointsman[eval]'"
        ) from error
    number = 0
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except (OSError, ArrowException) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        return ConfigError(f"{where}: broken JSON: {error}")


def _rooted(row: Any, base: Path) -> Any:
    if not isinstance(row, Mapping):
        return row
    named = {k: row.get(k) for k in ("source_dir", "source_bundle")}
    paths = {k: str(base / v) for k, v in named.items() if v and isinstance(v, str)}
    return {**row, **paths}
