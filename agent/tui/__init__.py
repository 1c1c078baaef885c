"""The conversation in the terminal. `run` is all that others need; Textual is loaded by it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.tui.session import Session
    from agent.tui.words import Setup

__all__ = ["run", "show"]

CRASHED = 5


def run(setup: "Setup", root: Path) -> int:
    """Open the TUI on the repository at `root` and return the exit code when the user leaves."""
    from agent.tui.session import Session

    return show(Session(setup, root))


def show(session: "Session") -> int:
    """The same for a session that exists. Settings of the process are changed: for a process of
    its own."""
    from agent.tui import collector
    from agent.tui.app import ChatApp

    collector.calm()
    app = ChatApp(session)
    inline = session.setup.screen == "inline"
    try:
        code = app.run(inline=inline)
    finally:
        session.close()
    if inline and app.talk.text:
        sys.stdout.write(f"{app.talk.text}\n")
    if code is None:  # Textual ended it and showed why
        return CRASHED if app.return_code else 0
    return code
