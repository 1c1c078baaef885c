"""Sums over the ledger: what a run used, what models, days, repositories cost, what was saved."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import get_args

from agent.errors import ConfigError
from agent.ledger.values import GroupBy, GroupTotals, Saving
from agent.types import Totals, Usage

__all__ = ["savings", "summary", "totals"]

Query = Callable[[str, tuple[object, ...]], list[sqlite3.Row]]

_COLUMNS: dict[GroupBy, str] = {
    "model": "model",
    "step": "step_kind",
    "day": "day",
    "repo": "repo_key",
    "location": "location",
    "provider": "provider",
    "run": "run_id",
}

# A reserved or unknown row counts at its worst case; an unpriced one is counted, never as zero.
_SUMS = """
COUNT(*) AS requests,
COALESCE(SUM(CASE WHEN state = 'settled' THEN usd_micro END), 0) AS usd,
COALESCE(SUM(CASE WHEN state = 'reserved' THEN reserved_usd_micro END), 0) AS reserved,
COALESCE(SUM(CASE WHEN state IN ('reserved', 'unknown') THEN reserved_usd_micro END), 0) AS open,
COALESCE(SUM((state = 'settled' AND usd_micro IS NULL)
          OR (state IN ('reserved', 'unknown') AND reserved_usd_micro IS NULL)), 0) AS unpriced,
COALESCE(SUM(input), 0) AS input, COALESCE(SUM(cache_read), 0) AS cache_read,
COALESCE(SUM(cache_write_5m), 0) AS cache_write_5m,
COALESCE(SUM(cache_write_1h), 0) AS cache_write_1h,
COALESCE(SUM(output), 0) AS output, COALESCE(SUM(thinking), 0) AS thinking,
COALESCE(SUM(CASE WHEN location = 'local' THEN duration_s END), 0) AS local_s,
COALESCE(SUM(CASE WHEN location = 'local' THEN input + cache_read + cache_write_5m
             + cache_write_1h + output + thinking END), 0) AS tokens_local
"""


def totals(query: Query, run_id: str) -> Totals:
    """What a run has used so far. `reserved_usd_micro` holds what is reserved or unknown."""
    row = query(f"SELECT {_SUMS} FROM attempt WHERE run_id = ?", (run_id,))[0]
    usage = _usage(row)
    return Totals(
        usd_micro=row["usd"],
        unpriced=row["unpriced"],
        reserved_usd_micro=row["open"],
        local_s=row["local_s"],
        tokens_in=usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h,
        tokens_out=usage.output + usage.thinking,
        tokens_local=row["tokens_local"],
        requests=row["requests"],
    )


def summary(
    query: Query, by: Sequence[GroupBy] = ("model",), *, since: str = ""
) -> tuple[GroupTotals, ...]:
    """Sums per group, dearest first. `since` is a day, `YYYY-MM-DD`.

    Raises ConfigError for a grouping there is not.
    """
    unknown = [name for name in by if name not in _COLUMNS]
    if unknown or not by:
        raise ConfigError(
            f"the ledger cannot be grouped by {', '.join(unknown) or 'nothing'}",
            remedy=f"choose from: {', '.join(get_args(GroupBy))}",
        )
    columns = ", ".join(_COLUMNS[name] for name in by)
    found = query(
        f"SELECT {columns}, {_SUMS} FROM attempt WHERE day >= ? GROUP BY {columns}"
        f" ORDER BY usd DESC, requests DESC, {columns}",
        (since,),
    )
    return tuple(
        GroupTotals(
            key=tuple(str(r[i]) for i in range(len(by))),
            requests=r["requests"],
            usd_micro=r["usd"],
            open_usd_micro=r["open"],
            unpriced=r["unpriced"],
            usage=_usage(r),
            local_s=r["local_s"],
        )
        for r in found
    )


def savings(query: Query, run_id: str | None = None) -> tuple[Saving, ...]:
    """Estimates for verified steps, beside what those very steps cost. Rejected tries count as
    cost, never as savings."""
    found = query(
        """SELECT basis, model, COUNT(*) AS steps, SUM(usd_micro) AS usd,
           SUM(usd_micro IS NULL) AS unpriced,
           SUM((SELECT COALESCE(SUM(CASE a.state WHEN 'settled' THEN COALESCE(a.usd_micro, 0)
                WHEN 'released' THEN 0 ELSE COALESCE(a.reserved_usd_micro, 0) END), 0)
                FROM attempt a WHERE a.run_id = e.run_id AND a.step_id = e.step_id)) AS spent
           FROM estimate e WHERE (?1 IS NULL OR run_id = ?1)
           GROUP BY basis, model ORDER BY basis DESC, model""",
        (run_id,),
    )
    return tuple(
        Saving(
            basis=r["basis"],
            model=r["model"],
            steps=r["steps"],
            usd_micro=None if r["unpriced"] else r["usd"],
            spent_usd_micro=r["spent"],
        )
        for r in found
    )


def _usage(row: sqlite3.Row) -> Usage:
    return Usage(
        input=row["input"],
        cache_read=row["cache_read"],
        cache_write_5m=row["cache_write_5m"],
        cache_write_1h=row["cache_write_1h"],
        output=row["output"],
        thinking=row["thinking"],
    )
