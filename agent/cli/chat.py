"""`agent chat`, also plain `agent` on a terminal: the conversation in the TUI."""

import argparse
import sys
from importlib import import_module
from typing import Any

from agent.cli.common import Parser, load_settings, repo_root
from agent.cli.work import add_run_options, tell
from agent.errors import ConfigError

__all__ = ["configure", "run"]


def configure(parser: Parser, name: str) -> None:
    add_run_options(parser)


def run(args: argparse.Namespace) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(
            "chat needs a terminal", remedy='in scripts: agent fix "what is wrong" --json'
        )
    root = repo_root(args)
    loaded = load_settings(args, root)
    tell(args, loaded)
    code: int = _tui().run(loaded, root)
    return code


def _tui() -> Any:
    try:
        return import_module("agent.tui")
    except ModuleNotFoundError as error:
        if error.name != "agent.tui":
            raise
        raise ConfigError("this version has no chat", remedy='agent fix "what is wrong"') from error
