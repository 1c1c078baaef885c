"""Tables of the ledger. Migrations are only ever appended; each runs once, in a transaction."""

import sqlite3

__all__ = ["CLOSED", "MIGRATIONS", "migrate"]

CLOSED = ("settled", "released", "unknown")

_ATTEMPT = """
CREATE TABLE attempt (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  state TEXT NOT NULL CHECK (state IN ('reserved', 'settled', 'released', 'unknown')),
  reserved_at REAL NOT NULL,
  day TEXT NOT NULL,
  run_id TEXT NOT NULL, repo_key TEXT NOT NULL, step_id TEXT NOT NULL, step_kind TEXT NOT NULL,
  request_id TEXT NOT NULL, attempt INTEGER NOT NULL,
  location TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
  pid INTEGER NOT NULL, pid_started TEXT NOT NULL,
  reserved_usd_micro INTEGER CHECK (reserved_usd_micro >= 0),
  closed_at REAL,
  usd_micro INTEGER CHECK (usd_micro >= 0),
  input INTEGER NOT NULL DEFAULT 0, cache_read INTEGER NOT NULL DEFAULT 0,
  cache_write_5m INTEGER NOT NULL DEFAULT 0, cache_write_1h INTEGER NOT NULL DEFAULT 0,
  output INTEGER NOT NULL DEFAULT 0, thinking INTEGER NOT NULL DEFAULT 0,
  raw TEXT NOT NULL DEFAULT '{}',
  decode TEXT,
  duration_s REAL NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT ''
) STRICT
"""

# What was committed before sending never changes; a closed row never changes at all.
_GUARDS = (
    """CREATE TRIGGER attempt_begins_reserved BEFORE INSERT ON attempt
       WHEN NEW.state <> 'reserved'
       BEGIN SELECT RAISE(ABORT, 'a ledger row begins as reserved'); END""",
    """CREATE TRIGGER attempt_never_deleted BEFORE DELETE ON attempt
       BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER attempt_closes_once BEFORE UPDATE ON attempt
       WHEN OLD.state <> 'reserved' OR NEW.state = 'reserved'
       BEGIN SELECT RAISE(ABORT, 'a ledger row closes once'); END""",
    """CREATE TRIGGER attempt_reservation_is_fixed BEFORE UPDATE ON attempt
       WHEN NEW.id IS NOT OLD.id OR NEW.reserved_at IS NOT OLD.reserved_at
         OR NEW.day IS NOT OLD.day OR NEW.run_id IS NOT OLD.run_id
         OR NEW.repo_key IS NOT OLD.repo_key OR NEW.step_id IS NOT OLD.step_id
         OR NEW.step_kind IS NOT OLD.step_kind OR NEW.request_id IS NOT OLD.request_id
         OR NEW.attempt IS NOT OLD.attempt OR NEW.location IS NOT OLD.location
         OR NEW.provider IS NOT OLD.provider OR NEW.model IS NOT OLD.model
         OR NEW.pid IS NOT OLD.pid OR NEW.pid_started IS NOT OLD.pid_started
         OR NEW.reserved_usd_micro IS NOT OLD.reserved_usd_micro
       BEGIN SELECT RAISE(ABORT, 'a reservation is fixed'); END""",
)

_OUTCOMES = """
CREATE TABLE outcome (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL, run_id TEXT NOT NULL, step_id TEXT NOT NULL, step_kind TEXT NOT NULL,
  location TEXT NOT NULL, model TEXT NOT NULL,
  succeeded INTEGER NOT NULL CHECK (succeeded IN (0, 1))
) STRICT
"""

_ESTIMATES = """
CREATE TABLE estimate (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL, run_id TEXT NOT NULL, step_id TEXT NOT NULL,
  basis TEXT NOT NULL CHECK (basis IN ('frontier', 'cheapest')),
  model TEXT NOT NULL, usd_micro INTEGER, input INTEGER NOT NULL, output INTEGER NOT NULL,
  UNIQUE (run_id, step_id, basis)
) STRICT
"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        _ATTEMPT,
        *_GUARDS,
        "CREATE INDEX attempt_run ON attempt (run_id)",
        "CREATE INDEX attempt_day ON attempt (day)",
    ),
    (_OUTCOMES, _ESTIMATES),
    (
        "ALTER TABLE outcome ADD COLUMN request_id TEXT",
        "CREATE UNIQUE INDEX outcome_once ON outcome (run_id, request_id)",
    ),
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to the newest schema. Two processes may do this at once.

    Raises sqlite3.DatabaseError if the file is of a later version than this one knows.
    """
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise sqlite3.DatabaseError(
            f"its schema is {version}, this version knows {len(MIGRATIONS)}"
        )
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(_version(connection), len(MIGRATIONS)):
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
