"""The conversation in the terminal. `run` is all that others need; Textual is loaded by it."""

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.tui.words import Setup

__all__ = ["run"]

CRASHED = 5
COLLECT_EVERY = 50_000
"""Objects between two collections. Painting makes many that live as long as the conversation: with
Python's 700 a collector that finds nothing to free took half of the time to stream text, and a key
waited 40 ms for its paint, not 22 (medians, `python -m evals.bench.tui` on a busy machine)."""


def run(setup: "Setup", root: Path) -> int:
    """Open the TUI on the repository at `root` and return the exit code when the user leaves."""
    from agent.tui.app import ChatApp
    from agent.tui.session import Session

    gc.freeze()  # what is imported stays
    gc.set_threshold(COLLECT_EVERY, 20, 20)
    session = Session(setup, root)
    app = ChatApp(session)
    try:
        code = app.run(inline=setup.screen == "inline")
    finally:
        session.close()
    if setup.screen == "inline" and app.talk.text:
        sys.stdout.write(f"{app.talk.text}\n")
    if code is None:  # Textual ended it and showed why
        return CRASHED if app.return_code else 0
    return code
