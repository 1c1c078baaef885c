"""The result of one unit, and the unit itself: plain values, stored as JSON."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from agent.errors import ConfigError
from evals.arms import Flags
from evals.datasets.instance import Instance, from_row
from evals.grade import prediction_row

__all__ = [
    "RESULT",
    "UNIT",
    "Result",
    "Spent",
    "Tokens",
    "Unit",
    "Verdict",
    "load_results",
    "load_unit_result",
    "model_name",
    "write_json",
    "write_predictions",
]

RESULT = "result.json"
UNIT = "unit.json"
Verdict = Literal["resolved", "unresolved", "infra"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What a result depends on: (instance, arm, seed) and the limits.

    `seed` goes into every request to a model; steps that decode greedily or by beam have no use for
    it unless a temperature is set.
    """

    instance: Instance
    arm: str
    flags: Flags
    seed: int = 0
    max_wall_s: float = 240.0
    """The agent's own limit; time-outs under load are false failures, so be generous."""
    zero_token_s: float = 90.0

    @property
    def key(self) -> str:
        return f"{self.instance.instance_id}.{self.arm}.{self.seed}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str, *, where: str) -> "Unit":
        row: dict[str, Any] = json.loads(text)
        row["instance"] = from_row(row["instance"], where=where)
        row["flags"] = tuple((str(k), v) for k, v in row["flags"])
        return cls(**row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens of the requests of one kind of step at one location."""

    location: str
    step_kind: str
    requests: int
    tokens_in: int
    cached: int
    tokens_out: int
    drafted: int
    accepted: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """One row of the ledger, as the page of an instance shows it."""

    step_kind: str
    location: str
    model: str
    state: str
    tokens_in: int
    cached: int
    tokens_out: int
    usd_micro: int | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One unit, run and graded. `status` infra: neither resolved nor unresolved."""

    instance_id: str
    arm: str
    seed: int
    stratum: str
    tests_visible: bool
    status: Verdict
    reason: str = ""
    """Why it is not resolved, or what failed."""
    verdict: str = ""
    """The agent's own: verified, unverified, not_solved."""
    exit_code: int = -1
    exit_reason: str = ""
    evidence: tuple[str, ...] = ()
    patch: str = ""
    left_out: tuple[str, ...] = ()
    fail_to_pass: int = 0
    fail_to_pass_total: int = 0
    pass_to_pass: int = 0
    pass_to_pass_total: int = 0
    usd_micro: int | None = 0
    """None: a price is unknown."""
    tokens: tuple[Tokens, ...] = ()
    wall_s: float = 0.0
    model_s: float = 0.0
    test_s: float = 0.0
    grading_s: float = 0.0
    test_runs: int = 0
    steps: int = 0
    files_changed: int = 0
    lines_added: int = 0
    lines_removed: int = 0
    sandbox: str = ""
    version: str = ""
    memory_mb: int = 0
    """Peak of the largest process of the unit."""
    plan: tuple[str, ...] = ()
    story: tuple[str, ...] = ()
    """What happened, a line each."""
    rows: tuple[Spent, ...] = ()
    still_failing: tuple[str, ...] = ()
    """The first of the tests that should pass and do not."""

    @property
    def key(self) -> str:
        """Of its unit, in the run directory."""
        return f"{self.instance_id}.{self.arm}.{self.seed}"

    @property
    def group(self) -> str:
        """Stratum and visibility of the tests: always told apart."""
        tests = "tests visible" if self.tests_visible else "tests hidden"
        return f"{self.stratum or 'no stratum'}, {tests}"

    @property
    def false_verified(self) -> bool:
        """The agent said verified, and the grading says it is not so."""
        return self.verdict == "verified" and self.status == "unresolved"

    @property
    def overhead_s(self) -> float:
        """What was spent neither in tests nor in models."""
        return max(self.wall_s - self.test_s - self.model_s, 0.0)

    @classmethod
    def from_row(cls, row: dict[str, Any], *, where: str) -> "Result":
        """Unknown fields are ignored, missing ones take their default. Raises ConfigError."""
        known = {f.name for f in fields(cls)}
        values = {k: v for k, v in row.items() if k in known}
        try:
            values["tokens"] = tuple(Tokens(**t) for t in values.get("tokens", ()))
            values["rows"] = tuple(Spent(**t) for t in values.get("rows", ()))
            for name in ("evidence", "left_out", "plan", "story", "still_failing"):
                values[name] = tuple(values.get(name, ()))
            return cls(**values)
        except TypeError as error:
            raise ConfigError(f"{where}: not a result: {error}") from error


def load_results(path: Path) -> tuple[Result, ...]:
    """Results of a run directory, or of a `.jsonl` file, by arm, instance and seed.

    Raises ConfigError naming the file and line.
    """
    if path.is_dir() and not (path / "units").is_dir() and (path / "results.jsonl").is_file():
        path = path / "results.jsonl"
    found = []
    if path.is_dir():
        for file in sorted(path.glob(f"units/*/{RESULT}")):
            found.append(Result.from_row(_json(_read(file), str(file)), where=str(file)))
    elif path.is_file():
        for number, line in enumerate(_read(path).split("\n"), 1):
            where = f"{path}:{number}"
            if line.strip():
                found.append(Result.from_row(_json(line, where), where=where))
    if not found:
        raise ConfigError(f"{path}: there are no results", remedy="agent eval run")
    return tuple(sorted(found, key=lambda r: (r.arm, r.instance_id, r.seed)))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all: a kill leaves the old file or none."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    with staged.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=True, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)


def _json(text: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where}: broken JSON: {error}") from error
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: not a result")
    return row


def load_unit_result(path: Path) -> Result | None:
    """A finished unit's result; None if there is none or it cannot be read."""
    try:
        return Result.from_row(_json(path.read_text("utf-8"), str(path)), where=str(path))
    except (OSError, UnicodeDecodeError, ConfigError):
        return None


def model_name(arm: str, seed: int) -> str:
    """An arm and seed as `model_name_or_path` of a prediction."""
    return f"pointsman-{arm}" + (f"-seed{seed}" if seed else "")


def write_predictions(results: Iterable[Result], directory: Path) -> None:
    """One file per arm and seed, as the official harness takes them."""
    directory.mkdir(parents=True, exist_ok=True)
    ordered = sorted(results, key=lambda r: (r.arm, r.seed, r.instance_id))
    for (arm, seed), group in groupby(ordered, key=lambda r: (r.arm, r.seed)):
        name = model_name(arm, seed)
        rows = "".join(
            prediction_row(r.instance_id, name, r.patch) for r in group if r.status != "infra"
        )
        staged = directory / f".{name}"
        staged.write_text(rows, encoding="utf-8")
        staged.replace(directory / f"{name}.jsonl")
