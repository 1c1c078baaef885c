"""`agent config`: every setting with its origin; `agent paths`: where things are kept."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.common import (
    Parser,
    add_action,
    add_json,
    emit,
    find_root,
    load_settings,
    repo_root,
    show_table,
    start_directory,
    trust_key,
    usd,
)
from agent.errors import ConfigError
from agent.sanitize import clean, one_line, plain

if TYPE_CHECKING:
    from agent.config import Loaded
    from agent.settings_keys import Key

__all__ = ["configure", "run"]


def configure(parser: Parser, name: str) -> None:
    if name == "paths":
        add_json(parser)
        return
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for action, text in (
        ("list", "every setting, its value and where it comes from (the default)"),
        ("get", "one value"),
        ("set", "write one value to your own settings file"),
        ("trust", "agree to a file of this repository: .pointsman.toml, AGENTS.md, CLAUDE.md"),
        ("untrust", "forget what was trusted in this repository"),
    ):
        sub = add_action(actions, action, text)
        if action in ("get", "set"):
            sub.add_argument("name", help="dotted, as in the file: budget.run_usd")
        if action == "set":
            sub.add_argument("value")
        if action == "trust":
            sub.add_argument("file", nargs="?", help="relative to the root: AGENTS.md")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    if args.command == "paths":
        return _paths(args)
    action = args.action or "list"
    return {"list": _list, "get": _get, "set": _set, "trust": _trust, "untrust": _untrust}[action](
        args
    )


def _list(args: argparse.Namespace) -> int:
    from rich.table import Table

    from agent.settings_keys import KEYS

    loaded = load_settings(args, find_root(start_directory(args)))
    if args.json:
        for key in KEYS:
            emit(_row(key, loaded))
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("setting", "value", "from", "where"):
        table.add_column(title, overflow="fold")
    for key in KEYS:
        origin = loaded.origins[key.field]
        style = "dim" if origin.source == "default" else "bold"
        value = plain(_shown(key, loaded), style)
        table.add_row(plain(key.name, "cyan"), value, origin.source, plain(origin.where))
    show_table(args, table)
    for notice in loaded.notices:
        sys.stderr.write(f"note: {one_line(notice, 400)}\n")
    return 0


def _get(args: argparse.Namespace) -> int:
    from agent.config import nearest
    from agent.settings_keys import by_name

    key = by_name().get(args.name)
    if key is None:
        raise ConfigError(
            f"unknown key {args.name!r}{nearest(args.name, by_name())}", remedy="agent config"
        )
    loaded = load_settings(args, find_root(start_directory(args)))
    if args.json:
        emit(_row(key, loaded))
    else:
        sys.stdout.write(clean(_shown(key, loaded)) + "\n")
    return 0


def _set(args: argparse.Namespace) -> int:
    from agent.config_edit import set_value

    file = set_value(args.name, args.value)
    sys.stderr.write(f"{args.name} set in {clean(str(file))}\n")
    return 0


def _trust(args: argparse.Namespace) -> int:
    from agent.config import PROJECT_FILE
    from agent.paths import state_dir
    from agent.trust import TrustStore

    root = repo_root(args)
    name = args.file or PROJECT_FILE
    content = _to_trust(root, name)
    # What is trusted is shown first: trust is in exactly these bytes.
    sys.stdout.write(clean(content.decode("utf-8", "replace")))
    TrustStore(state_dir() / "trust").trust(trust_key(root), name, content)
    sys.stderr.write(f"trusted until {one_line(name)} changes\n")
    return 0


def _to_trust(root: Path, name: str) -> bytes:
    """The file's bytes. Raises ConfigError for one that trust means nothing for, or none."""
    from agent.chat.rules import NAMES
    from agent.config import PROJECT_FILE, read_project
    from tools.files import Tree

    if name == PROJECT_FILE:
        content = read_project(root)
    elif name.rpartition("/")[2] in NAMES:
        with Tree(root) as tree:
            content = tree.read(name)
    else:
        known = ", ".join((PROJECT_FILE, *NAMES))
        raise ConfigError(f"{one_line(name)} is nothing to be trusted", remedy=f"one of {known}")
    if content is None:
        raise ConfigError(f"{root} has no {one_line(name)}")
    return content


def _untrust(args: argparse.Namespace) -> int:
    from agent.paths import state_dir
    from agent.trust import TrustStore

    count = TrustStore(state_dir() / "trust").revoke(trust_key(repo_root(args)))
    sys.stderr.write(f"{count} decision{'' if count == 1 else 's'} forgotten\n")
    return 0


def _row(key: "Key", loaded: "Loaded") -> dict[str, object]:
    origin = loaded.origins[key.field]
    value = getattr(loaded.settings, key.field)
    return {
        "name": key.name,
        "value": _shown(key, loaded) if key.secret else value,
        "unit": "usd_micro" if key.field.endswith("_usd_micro") else None,
        "source": origin.source,
        "where": origin.where,
        "env": key.variables[0] if key.variables else None,
        "help": key.help,
    }


def _shown(key: "Key", loaded: "Loaded") -> str:
    from agent.config import masked

    value = getattr(loaded.settings, key.field)
    if key.secret:
        return masked(value)
    if key.field.endswith("_usd_micro"):
        return "none" if value is None else usd(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(v if isinstance(v, str) else str(v[0]) for v in value) or "none"
    return "not set" if value is None else str(value)


def _paths(args: argparse.Namespace) -> int:
    from rich.table import Table

    from agent import paths

    found: dict[str, Path] = {
        "settings": paths.user_config(),
        "ledger": paths.ledger_path(),
        "models": paths.models_dir(),
        "cache": paths.cache_dir(),
        "state": paths.state_dir(),
        "data": paths.data_dir(),
        "runtime": paths.runtime_dir(),
    }
    root = find_root(start_directory(args))
    if root is not None:
        key = paths.repo_key(_common_dir(root))
        found |= {
            "repository": root,
            "index": paths.index_dir(key),
            "journal": paths.journal_dir(key),
            "runs": paths.runs_dir(key),
        }
    if args.json:
        emit({name: str(path) for name, path in found.items()})
        return 0
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, path in found.items():
        table.add_row(plain(name, "cyan"), plain(str(path)), plain(_state(path), "dim"))
    show_table(args, table)
    return 0


def _common_dir(root: Path) -> Path:
    """The git common directory without running git: worktrees point to it from their files."""
    git = root / ".git"
    if git.is_dir():
        return git
    pointer = git.read_text(encoding="utf-8", errors="surrogateescape").strip()
    private = (root / pointer.removeprefix("gitdir:").strip()).resolve()
    common = private / "commondir"
    if not common.is_file():
        return private
    return (private / common.read_text(encoding="utf-8").strip()).resolve()


def _state(path: Path) -> str:
    return "" if path.exists() else "not made yet"
