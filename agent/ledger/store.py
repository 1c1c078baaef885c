"""The ledger: one row per HTTP attempt or local generation, reserved before it is sent.

    row = ledger.reserve(entry, budgets)      # committed: a crash from here on loses nothing
    ledger.settle(row, usage=..., usd_micro=..., duration_s=...)    # or release(), or unknown()

Check-then-add loses calls under kill -9 and overspends when two processes race; a reservation of
the worst case inside one immediate transaction does neither.
"""

import json
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import Literal

from agent.errors import BudgetExceeded, LedgerError
from agent.ledger import report
from agent.ledger.schema import migrate
from agent.ledger.values import (
    Budgets,
    Entry,
    Estimate,
    GroupBy,
    GroupTotals,
    Row,
    Saving,
    StepRecord,
)
from agent.types import DecodeStats, Location, StepKind, Totals, Usage

__all__ = ["Ledger"]

_BUSY_S = 30.0
_WAL_SAFE = (3, 51, 3)
"""Earlier SQLite can corrupt a WAL database when the log is reset."""

_SPENT = """COALESCE(SUM(CASE state WHEN 'settled' THEN COALESCE(usd_micro, 0)
            WHEN 'released' THEN 0 ELSE COALESCE(reserved_usd_micro, 0) END), 0)"""


class Ledger:
    """An SQLite file. Every method raises LedgerError if it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = RLock()
        self._pid, self._started = os.getpid(), process_identity(os.getpid())
        with self._errors():
            _private_directory(path.parent)
            self._db = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            path.chmod(0o600)
            self._db.row_factory = sqlite3.Row
            journal = "WAL" if sqlite3.sqlite_version_info >= _WAL_SAFE else "TRUNCATE"
            self._db.execute(f"PRAGMA journal_mode = {journal}")
            self._db.execute("PRAGMA synchronous = FULL")
            migrate(self._db)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ attempts

    def reserve(self, entry: Entry, budgets: Budgets, *, now: float | None = None) -> int:
        """Commit the worst case of an attempt; the row id. Nothing may be sent before this.

        Raises BudgetExceeded, naming the budget, its limit and what is used, if it does not fit.
        """
        at = datetime.now().timestamp() if now is None else now
        day = datetime.fromtimestamp(at).date().isoformat()
        with self._transaction():
            self._check(entry, budgets, day)
            cursor = self._db.execute(
                """INSERT INTO attempt (state, reserved_at, day, run_id, repo_key, step_id,
                   step_kind, request_id, attempt, location, provider, model, pid, pid_started,
                   reserved_usd_micro, reason)
                   VALUES ('reserved', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                (
                    at, day, entry.run_id, entry.repo_key, entry.step_id,
                    entry.step_kind, entry.request_id, entry.attempt, entry.location,
                    entry.provider, entry.model, self._pid, self._started,
                    entry.reserved_usd_micro, entry.reason,
                ),
            )  # fmt: skip
        return int(cursor.lastrowid or 0)

    def settle(
        self,
        row: int,
        *,
        usage: Usage,
        usd_micro: int | None,
        duration_s: float,
        decode: DecodeStats | None = None,
    ) -> None:
        """The attempt was answered and its usage is known. `usd_micro` None: price unknown."""
        stats = None if decode is None else json.dumps(asdict(decode))
        self._close(
            row,
            """state = 'settled', usd_micro = ?, input = ?, cache_read = ?, cache_write_5m = ?,
               cache_write_1h = ?, output = ?, thinking = ?, raw = ?, decode = ?, duration_s = ?""",
            (
                usd_micro, usage.input, usage.cache_read, usage.cache_write_5m,
                usage.cache_write_1h, usage.output, usage.thinking, usage.raw, stats, duration_s,
            ),
        )  # fmt: skip

    def release(self, row: int, *, reason: str, duration_s: float = 0.0) -> None:
        """Certainly not billed: the reservation no longer counts."""
        self._close(
            row, "state = 'released', reason = ?, duration_s = ?", (reason[:500], duration_s)
        )

    def unknown(self, row: int, *, reason: str, duration_s: float = 0.0) -> None:
        """Perhaps billed: the worst case goes on counting."""
        self._close(
            row, "state = 'unknown', reason = ?, duration_s = ?", (reason[:500], duration_s)
        )

    def close_orphans(self) -> tuple[int, ...]:
        """Close reservations of processes that are gone to `unknown`; their row ids."""
        with self._transaction():
            orphans = tuple(r["id"] for r in self._open_rows() if _gone(r))
            self._db.executemany(
                "UPDATE attempt SET state = 'unknown', closed_at = ?, reason = ? WHERE id = ?",
                [
                    (datetime.now().timestamp(), "its process ended before it did", i)
                    for i in orphans
                ],
            )
        return orphans

    def used(self, scope: Literal["run", "day", "month"], key: str) -> int:
        """Micro-dollars settled, reserved and unknown. `key`: run id, `YYYY-MM-DD`, `YYYY-MM`."""
        month = "day BETWEEN ?1 || '-01' AND ?1 || '-31'"  # a range: the index serves it
        where = {"run": "run_id = ?1", "day": "day = ?1", "month": month}[scope]
        return int(self._one(f"SELECT {_SPENT} FROM attempt WHERE {where}", (key,))[0])

    # ------------------------------------------------------------------ evidence

    def record_outcome(
        self,
        *,
        run_id: str,
        step_id: str,
        step_kind: StepKind,
        location: Location,
        model: str,
        succeeded: bool,
        request_id: str | None = None,
    ) -> None:
        """A step's attempt was judged by execution: what the router learns from.

        With a request id it counts once: a resumed run judges its recorded answers again.
        """
        with self._transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO outcome (at, run_id, step_id, step_kind, location, model,"
                " succeeded, request_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (_now(), run_id, step_id, step_kind, location, model, int(succeeded), request_id),
            )

    def history(self) -> tuple[StepRecord, ...]:
        """Outcomes by location and step kind."""
        found = self._all(
            "SELECT location, step_kind, SUM(succeeded) AS won, COUNT(*) AS n FROM outcome"
            " GROUP BY location, step_kind ORDER BY location, step_kind"
        )
        return tuple(
            StepRecord(
                location=r["location"],
                step_kind=r["step_kind"],
                succeeded=r["won"],
                failed=r["n"] - r["won"],
            )
            for r in found
        )

    def record_estimates(
        self, *, run_id: str, step_id: str, frontier: Estimate, cheapest: Estimate
    ) -> None:
        """A step was verified: what one hosted request would have cost. Once per step."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO estimate (at, run_id, step_id, basis, model, usd_micro,"
                " input, output) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (_now(), run_id, step_id, basis, e.model, e.usd_micro, e.input_tokens,
                     e.output_tokens)
                    for basis, e in (("frontier", frontier), ("cheapest", cheapest))
                ],
            )  # fmt: skip

    # ------------------------------------------------------------------ reading

    def rows(
        self, *, run_id: str | None = None, since: str = "", limit: int = -1
    ) -> tuple[Row, ...]:
        """Rows, oldest first. `since` is a day, `YYYY-MM-DD`; `limit` keeps the newest."""
        found = self._all(
            "SELECT * FROM (SELECT * FROM attempt WHERE (?1 IS NULL OR run_id = ?1) AND day >= ?2"
            " ORDER BY id DESC LIMIT ?3) ORDER BY id",
            (run_id, since, limit),
        )
        return tuple(_row(r) for r in found)

    def totals(self, run_id: str) -> Totals:
        """What a run has used so far."""
        return report.totals(self._all, run_id)

    def summary(
        self, by: Sequence[GroupBy] = ("model",), *, since: str = ""
    ) -> tuple[GroupTotals, ...]:
        """Sums per group, dearest first. `since` is a day, `YYYY-MM-DD`."""
        return report.summary(self._all, by, since=since)

    def savings(self, run_id: str | None = None) -> tuple[Saving, ...]:
        """Estimates for verified steps, of one run or of all."""
        return report.savings(self._all, run_id)

    # ------------------------------------------------------------------ inside

    def _check(self, entry: Entry, budgets: Budgets, day: str) -> None:
        worst = entry.reserved_usd_micro
        if worst == 0 or not budgets.any:
            return
        if worst is None:
            raise BudgetExceeded(
                f"the price of {entry.model} is unknown, so no budget can hold it",
                remedy="set its price in the configuration, or run without a budget",
            )
        scopes: tuple[tuple[Literal["run", "day", "month"], str, int | None], ...] = (
            ("run", entry.run_id, budgets.run_usd_micro),
            ("day", day, budgets.day_usd_micro),
            ("month", day[:7], budgets.month_usd_micro),
        )
        for name, key, limit in scopes:
            if limit is None:
                continue
            used = self.used(name, key)
            if used + worst > limit:
                raise BudgetExceeded(
                    f"the {name} budget of {_usd(limit)} does not hold this request:"
                    f" {_usd(used)} used, up to {_usd(worst)} more",
                    remedy="raise the budget, or let the step run locally",
                )

    def _close(self, row: int, assignments: str, values: tuple[object, ...]) -> None:
        with self._transaction():
            changed = self._db.execute(
                f"UPDATE attempt SET {assignments}, closed_at = ? WHERE id = ?",
                (*values, _now(), row),
            )
            if changed.rowcount != 1:
                raise LedgerError(f"row {row} is not in the ledger {self.path}")

    def _open_rows(self) -> list[sqlite3.Row]:
        return self._all("SELECT * FROM attempt WHERE state = 'reserved'")

    def _one(self, sql: str, values: tuple[object, ...] = ()) -> sqlite3.Row:
        return self._all(sql, values)[0]

    def _all(self, sql: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        with self._errors(), self._lock:
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors(), self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(
                f"the ledger {self.path} cannot be used: {error}",
                remedy=f"make {self.path.parent} writable and free disk space, or set another"
                " state directory; nothing is sent without a ledger",
            ) from error


def process_identity(pid: int) -> str:
    """Names a process for good: a reused pid is another process.

    On Linux by ticks since boot: times of the day move when somebody sets the clock.
    Raises psutil.NoSuchProcess if there is none.
    """
    import psutil

    if not sys.platform.startswith("linux"):
        return f"{psutil.Process(pid).create_time():.6f}"
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise psutil.NoSuchProcess(pid) from error
    fields = stat.rpartition(")")[2].split()  # the command name before it may hold anything
    if fields[0] == "Z":
        raise psutil.NoSuchProcess(pid)
    return f"{boot}:{fields[19]}"


def _gone(row: sqlite3.Row) -> bool:
    import psutil

    try:
        return process_identity(row["pid"]) != str(row["pid_started"])
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _row(r: sqlite3.Row) -> Row:
    entry = Entry(
        run_id=r["run_id"], repo_key=r["repo_key"], step_id=r["step_id"],
        step_kind=r["step_kind"], request_id=r["request_id"], attempt=r["attempt"],
        location=r["location"], provider=r["provider"], model=r["model"],
        reserved_usd_micro=r["reserved_usd_micro"],
    )  # fmt: skip
    return Row(
        id=r["id"], state=r["state"], entry=entry, day=r["day"], reserved_at=r["reserved_at"],
        closed_at=r["closed_at"], usd_micro=r["usd_micro"],
        usage=Usage(
            input=r["input"], cache_read=r["cache_read"], cache_write_5m=r["cache_write_5m"],
            cache_write_1h=r["cache_write_1h"], output=r["output"], thinking=r["thinking"],
            raw=r["raw"],
        ),
        decode=None if r["decode"] is None else DecodeStats(**json.loads(r["decode"])),
        duration_s=r["duration_s"], reason=r["reason"],
        orphaned=r["state"] == "reserved" and _gone(r),
    )  # fmt: skip


def _private_directory(path: Path) -> None:
    if not path.is_dir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _now() -> float:
    return datetime.now().timestamp()


def _usd(micro: int) -> str:
    return f"${micro / 1e6:.4f}" if micro % 10_000 else f"${micro / 1e6:.2f}"
