"""When the garbage collector runs: rarely by itself, thoroughly while nobody types.

Painting makes many objects that live as long as the conversation. With Python's own thresholds the
collector walked through all of them, 40 ms at a time, seventeen times in fifteen seconds of
streamed text, and freed nothing (`python -m evals.bench.tui`).
"""

import gc

__all__ = ["calm", "collect"]

YOUNG = 10_000
"""Objects between two walks through the youngest: 3 to 4 ms each."""
NEVER = 1_000_000
DUE, OVERDUE = 10, 200
"""Walks through the youngest after which all is walked through: while nobody types; anyway. The
second bounds what cycles can hold back to two million objects' worth."""
QUIET_S = 1.0
"""Since the last key."""


def calm() -> None:
    """For the whole process: from here on `collect` looks after all but the youngest objects."""
    gc.freeze()  # what is imported stays
    gc.set_threshold(YOUNG, NEVER, NEVER)


def collect(quiet_s: float) -> bool:
    """Walk through everything if that is due; `quiet_s`: since the last key. Whether it was."""
    walks = gc.get_count()[1]
    due = walks >= OVERDUE or (walks >= DUE and quiet_s >= QUIET_S)
    if due:
        gc.collect()
    return due
