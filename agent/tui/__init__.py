"""The conversation in the terminal. `run` is all that others need; Textual is loaded by it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.tui.words import Setup

__all__ = ["run"]

CRASHED = 5


def run(setup: "Setup", root: Path) -> int:
    """Open the TUI on the repository at `root` and return the exit code when the user leaves."""
    from agent.tui.app import ChatApp
    from agent.tui.session import Session

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
