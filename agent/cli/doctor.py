"""`agent doctor`: what is installed, what is missing, and the next command for each gap."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.cli.checks import Check, run_checks
from agent.cli.common import (
    Parser,
    add_json,
    emit,
    err_console,
    find_root,
    out_console,
    show_table,
    start_directory,
)
from agent.sanitize import clean, plain

__all__ = ["configure", "run"]

_MARK = {"ok": ("✔", "green"), "note": ("·", "dim"), "warn": ("!", "yellow"), "fail": ("✘", "red")}


def configure(parser: Parser, name: str) -> None:
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    root = find_root(start_directory(args))
    found: list[Check] = []
    for check in _watched(args, lambda: run_checks(args, root)):
        found.append(check)
        if args.json:
            emit({"name": check.name, "state": check.state, "detail": check.detail,
                  "next": check.next})  # fmt: skip
    if not args.json:
        _print(args, found, root)
    return 1 if any(c.state == "fail" for c in found) else 0


def _watched(args: argparse.Namespace, make: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """The checks, with a spinner where somebody looks: loading llama.cpp takes a second."""
    console = err_console(args)
    if args.quiet or not console.is_terminal or console.is_dumb_terminal:
        yield from make()
        return
    with console.status("looking"):
        yield from list(make())


def _print(args: argparse.Namespace, found: list[Check], root: Path | None) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in found:
        mark, style = _MARK[check.state]
        table.add_row(plain(mark, style), plain(check.name, "bold"), plain(check.detail))
        if check.next:
            table.add_row("", "", plain(f"→ {check.next}", "cyan"))
    show_table(args, table)
    failed = sum(c.state == "fail" for c in found)
    warned = sum(c.state == "warn" for c in found)
    where = f" in {clean(str(root))}" if root else ""
    out_console(args).print(plain(f"\n{failed} failed, {warned} warnings{where}", "bold"))
