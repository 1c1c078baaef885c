"""`agent chat`, also plain `agent` on a terminal: the conversation in the TUI."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli import talk
from agent.cli.common import Parser, load_settings, repo_root, usd
from agent.cli.lines import lines, seconds
from agent.cli.summary import rows
from agent.cli.tally import Tally
from agent.cli.work import add_run_options
from agent.errors import ConfigError

if TYPE_CHECKING:
    from agent.config import Loaded
    from agent.tui.words import Setup

__all__ = ["configure", "run", "setup_for"]


def configure(parser: Parser, name: str) -> None:
    talk.add_options(parser)
    parser.add_argument(
        "--resume", metavar="ID", nargs="?", const="", dest="conversation",
        help="go on with a conversation: the last one, or one of /sessions",
    )  # fmt: skip
    parser.add_argument(
        "--inline", action="store_true", help="keep the terminal's scrollback; no other screen"
    )
    parser.add_argument(
        "--reduced-motion", action="store_true",
        help="nothing blinks, seconds pass in steps (REDUCED_MOTION=1 works too)",
    )  # fmt: skip
    add_run_options(parser)


def run(args: argparse.Namespace) -> int:
    if talk.wanted(args):
        return talk.run(args)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(
            "chat needs a terminal", remedy='in scripts: agent chat --print "question" (--json)'
        )
    if os.environ.get("TERM", "dumb") in ("dumb", ""):
        raise ConfigError(
            "this terminal cannot move its cursor (TERM is dumb or not set)",
            remedy='agent fix "what is wrong"',
        )
    if args.no_color:
        os.environ["NO_COLOR"] = "1"
    from agent import tui

    root = repo_root(args)
    return tui.run(setup_for(args, root), root)


def setup_for(args: argparse.Namespace, root: Path) -> "Setup":
    """The settings, how to change them in the session, and the wording of events."""
    from agent.tui.words import Setup, Words

    def reload(flags: Mapping[str, object]) -> "Loaded":
        return load_settings(argparse.Namespace(**{**vars(args), **flags}), root)

    words = Words(lines=lines, tally=Tally, closing=rows, usd=usd, seconds=seconds)
    calm = getattr(args, "reduced_motion", False) or os.environ.get("REDUCED_MOTION", "") == "1"
    return Setup(
        loaded=load_settings(args, root),
        reload=reload,
        words=words,
        screen="inline" if getattr(args, "inline", False) else "whole",
        motion="reduced" if calm else "usual",
        resume=getattr(args, "conversation", None),
    )
