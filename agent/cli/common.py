"""What commands share: the parser, settings from flags, the repository's root, consoles, JSON."""

import argparse
import json
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from agent.errors import ConfigError
from tools.errors import RepoError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from agent.config import Loaded

__all__ = [
    "Parser",
    "add_action",
    "add_json",
    "emit",
    "err_console",
    "find_root",
    "load_settings",
    "make_parser",
    "out_console",
    "repo_root",
    "show_table",
    "start_directory",
    "trust_key",
    "usd",
]

PIPE_WIDTH = 1000
"""Columns of a table that nobody looks at on a screen: wide enough not to cut data."""


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are ours: one cause, one remedy, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message, remedy=f"{self.prog} --help")


def make_parser(name: str, help_text: str) -> Parser:
    """A parser with the options that every command takes."""
    parser = Parser(
        prog=f"agent {name}",
        description=help_text[:1].upper() + help_text[1:] + ".",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(directory=None, quiet=False, no_color=False, debug=False, json=False)
    _shared_options(parser)
    return parser


def add_action(actions: "argparse._SubParsersAction[Parser]", name: str, text: str) -> Parser:
    """A sub-command, with the options of every command and `--json`."""
    parser = actions.add_parser(
        name, help=text, description=text[:1].upper() + text[1:] + ".", allow_abbrev=False
    )
    _shared_options(parser)
    add_json(parser)
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="JSON lines on stdout"
    )


def _shared_options(parser: argparse.ArgumentParser) -> None:
    """Without defaults: those of a sub-command would overwrite what stood before its name."""
    group = parser.add_argument_group("options of every command")
    none = argparse.SUPPRESS
    group.add_argument(
        "-C", "--directory", metavar="DIR", default=none, help="work as if started there"
    )
    group.add_argument(
        "-q", "--quiet", action="store_true", default=none, help="no progress on stderr"
    )
    group.add_argument("--no-color", action="store_true", default=none, help="no colour")
    group.add_argument(
        "--debug", action="store_true", default=none, help="show where an error was raised"
    )


def start_directory(args: argparse.Namespace) -> Path:
    """Where the command works: `-C`, else the current directory. Raises RepoError if it is none."""
    path = Path(args.directory) if args.directory else Path.cwd()
    if not path.is_dir():
        raise RepoError(f"{path} is not a directory")
    return path.resolve()


def find_root(start: Path) -> Path | None:
    """The nearest directory upwards that holds `.git` (a directory, or a file in worktrees)."""
    for path in (start, *start.parents):
        if (path / ".git").exists():
            return path
    return None


def repo_root(args: argparse.Namespace) -> Path:
    """The root of the repository the command works on. Raises RepoError with a remedy."""
    start = start_directory(args)
    if all((start / name).exists() for name in ("HEAD", "objects", "refs")):
        raise RepoError(
            f"{start} is a bare repository or the inside of .git: no files to work on",
            remedy=f"git clone {start} work && cd work",
        )
    root = find_root(start)
    if root is not None:
        return root
    raise RepoError(
        f"{start} is not inside a git repository",
        remedy="git init && git add -A && git commit -m start",
    )


def trust_key(root: Path) -> str:
    """The key under which trust in files of this work tree is kept."""
    from agent.paths import repo_key

    return repo_key(root / ".git")


def load_settings(args: argparse.Namespace, root: Path | None) -> "Loaded":
    """Settings from every source; an argument named like a field is a flag."""
    from agent.config import Settings, load
    from agent.paths import state_dir
    from agent.trust import TrustStore

    store = TrustStore(state_dir() / "trust")
    key = trust_key(root) if root else ""
    names = {f.name for f in fields(Settings)}
    return load(
        {k: v for k, v in vars(args).items() if k in names},
        os.environ,
        root,
        trusted=lambda content: store.is_trusted(key, content),
    )


def err_console(args: argparse.Namespace) -> "Console":
    """For people. Nothing printed through it is read as markup, emoji code or highlight."""
    return _console(args, sys.stderr.isatty(), stderr=True)


def out_console(args: argparse.Namespace) -> "Console":
    """For data shown as a table. In a pipe it is wide, so that nothing is cut."""
    return _console(args, sys.stdout.isatty(), stderr=False)


def _console(args: argparse.Namespace, tty: bool, *, stderr: bool) -> "Console":
    from rich.console import Console

    wide = None if tty or os.environ.get("COLUMNS") else PIPE_WIDTH
    return Console(
        stderr=stderr,
        width=None if stderr else wide,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=False,
        no_color=True if getattr(args, "no_color", False) else None,
    )


def show_table(args: argparse.Namespace, table: "Table") -> None:
    """A table on stdout. In a pipe its rows end where their text ends."""
    console = out_console(args)
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    rows = captured.get().splitlines()
    sys.stdout.write("".join(f"{row.rstrip()}\n" for row in rows))


def emit(value: object) -> None:
    """One JSON value as one line on stdout, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def usd(micro: int | None) -> str:
    """Micro-dollars for people. Unknown is said, never shown as nothing."""
    if micro is None:
        return "unknown"
    if micro and abs(micro) < 10_000:
        return f"${micro / 1e6:.6f}".rstrip("0")
    return f"${micro / 1e6:,.2f}" if micro % 10_000 == 0 else f"${micro / 1e6:,.4f}"
