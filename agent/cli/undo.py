"""`agent undo` and `agent redo`: the journal, for people."""

import argparse
import time
from typing import TYPE_CHECKING

from agent.cli.common import (
    Parser,
    add_json,
    emit,
    err_console,
    load_settings,
    repo_root,
    show_table,
)
from agent.sanitize import one_line, plain

if TYPE_CHECKING:
    from tools.journal import Entry, Record

__all__ = ["configure", "run"]


def configure(parser: Parser, name: str) -> None:
    parser.add_argument("entry", nargs="?", help=f"id of the change to {name}; else the last one")
    parser.add_argument("--list", action="store_true", help="list the changes in the journal")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from agent.app import open_app

    root = repo_root(args)
    app = open_app(load_settings(args, root), root)
    root = app.repo.root
    if args.list:
        return _list(args, app.journal.entries(root))
    if args.command == "undo":
        entry, verb = app.journal.undo(root, args.entry), "took back"
    else:
        entry, verb = app.journal.redo(root, args.entry), "applied again"
    if args.json:
        emit(_row(entry))
        return 0
    console = err_console(args)
    console.print(plain(f"{verb} {entry.id} (run {entry.run_id})", "bold"))
    for record in entry.files:
        console.print(plain(f"  {_change(record)}  {one_line(record.path)}"))
    again = "redo" if args.command == "undo" else "undo"
    console.print(plain(f"  next: agent {again} {entry.id}", "dim"))
    return 0


def _list(args: argparse.Namespace, entries: "tuple[Entry, ...]") -> int:
    from rich.table import Table

    if args.json:
        for entry in entries:
            emit(_row(entry))
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("id", "when", "state", "run", "files"):
        table.add_column(title, overflow="fold")
    for entry in reversed(entries):
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.time))
        names = ", ".join(one_line(p, 60) for p in entry.paths[:4])
        table.add_row(entry.id, when, entry.state, plain(entry.run_id), plain(names))
    show_table(args, table)
    return 0


def _row(entry: "Entry") -> dict[str, object]:
    from agent.trajectory import jsonable

    row: dict[str, object] = jsonable(entry)
    return row


def _change(record: "Record") -> str:
    if record.before is None:
        return "created "
    return "deleted " if record.after is None else "changed "
