"""Events to JSONL and back; what replay and resume are served from.

One line per event: `{"seq": 0, "t": 1.25, "type": "RunStarted", ...fields}`. `t` is seconds since
the run started. A line cut off by a crash is dropped on reading: everything before it is whole,
because a line is written and flushed before the next event is produced.
"""

import json
import os
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args

from agent import events
from agent.errors import ConfigError
from agent.events import CompletionRecorded, Event, RunFinished, RunStarted
from agent.types import Completion, Outcome, Task, Totals

FILE = "trajectory.jsonl"
DURABLE = (RunStarted, CompletionRecorded, RunFinished)
"""Events that must survive a power cut: what was asked, what was paid for, how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of `agent runs`."""

    run_id: str
    path: Path
    task: Task
    started: float
    """Seconds since the epoch."""
    finished: RunFinished | None
    """None: interrupted; `agent resume` takes it up."""


class Recorder:
    """Appends the events of one run to its trajectory file."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / FILE
        cut_off = path.is_file() and not path.read_bytes().endswith(b"\n")
        self._file = path.open("a", encoding="utf-8")
        if cut_off:  # by a crash: what follows must not be glued to it
            self._file.write("\n")
        self._seq = 0

    def write(self, event: Event, t: float) -> None:
        """Durable events reach the disk before this returns."""
        row = {"seq": self._seq, "t": round(t, 3), "type": type(event).__name__}
        row.update(jsonable(event))
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._file.flush()
        self._seq += 1
        if isinstance(event, DURABLE):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def jsonable(value: Any) -> Any:
    """Dataclasses to plain JSON values; paths to strings, lone surrogates escaped."""
    if is_dataclass(value) and not isinstance(value, type):
        return {k: jsonable(v) for k, v in asdict(value).items()}
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value


def read(path: Path) -> Iterator[Event]:
    """The events of a trajectory, in order. A line that a crash cut off is skipped (a resumed run
    goes on behind it), and so are unknown types, so that older versions can read newer files.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            event = decode(row)
            if event is not None:
                yield event


def decode(row: Mapping[str, Any]) -> Event | None:
    """One parsed line to its event; None for a type this version does not know."""
    cls = _types().get(str(row.get("type")))
    if cls is None:
        return None
    fields = {k: v for k, v in row.items() if k not in ("seq", "t", "type")}
    event: Event = _adapter(cast(Hashable, cls)).validate_python(fields)
    return event


def started(path: Path) -> RunStarted:
    """How a recorded run began. Raises ConfigError when the file is not a trajectory."""
    first = next(read(path), None) if path.is_file() else None
    if not isinstance(first, RunStarted):
        raise ConfigError(f"{path} is not a trajectory", remedy="agent runs")
    return first


def completion_to_json(completion: Completion) -> str:
    return json.dumps(jsonable(completion), ensure_ascii=False, sort_keys=True)


def completion_from_json(text: str) -> Completion:
    completion: Completion = _adapter(Completion).validate_python(json.loads(text))
    return completion


def applied(run_id: str, directory: Path, totals: Totals) -> RunFinished:
    """How a run ended whose patch is in the tree, since only verified patches are written there."""
    patch = directory / "patch.diff"
    outcome = Outcome(
        verdict="verified",
        reason="it was verified and applied before it was interrupted",
        diff=patch.read_text("utf-8", "surrogateescape") if patch.is_file() else "",
        exit_code=0,
        next_command="agent undo",
        applied=True,
    )
    return RunFinished(
        run_id=run_id,
        outcome=outcome,
        totals=totals,
        duration_s=0.0,
        model_s=0.0,
        test_s=0.0,
        test_runs=0,
    )


def recorded(path: Path) -> dict[str, Completion]:
    """Completions of a trajectory by request fingerprint."""
    return {
        event.fingerprint: completion_from_json(event.completion_json)
        for event in read(path)
        if isinstance(event, CompletionRecorded)
    }


def summaries(runs_dir: Path) -> tuple[RunSummary, ...]:
    """Every run below a directory, newest first."""
    if not runs_dir.is_dir():
        return ()
    found = (summary(d) for d in runs_dir.iterdir() if (d / FILE).is_file())
    return tuple(sorted((s for s in found if s), key=lambda s: s.started, reverse=True))


def summary(directory: Path) -> RunSummary | None:
    """None when the file holds no start event."""
    path = directory / FILE
    started: RunStarted | None = None
    finished: RunFinished | None = None
    for event in read(path):
        if isinstance(event, RunStarted):
            started, finished = event, None  # a resumed run starts again in the same file
        elif isinstance(event, RunFinished):
            finished = event
    if started is None:
        return None
    # The run id begins with its UTC start time; the file's own times change when it is resumed.
    return RunSummary(
        run_id=started.run_id,
        path=path,
        task=started.task,
        started=started_at(started.run_id),
        finished=finished,
    )


def started_at(run_id: str) -> float:
    """The epoch seconds in a run id such as `20261120-143015-a1b2c3`."""
    from datetime import UTC, datetime

    return datetime.strptime(run_id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()


def new_run_id() -> str:
    """UTC start time and six random hex digits: sorts by time, unique across processes."""
    import secrets
    from datetime import UTC, datetime

    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


@cache
def _types() -> dict[str, type[Any]]:
    return {cls.__name__: cls for cls in get_args(events.Event)}


@cache
def _adapter(cls: Hashable) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cast(Any, cls))
