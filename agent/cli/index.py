"""`agent index` and `agent map`: what the index knows."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from agent.cli.common import (
    Parser,
    add_action,
    add_json,
    emit,
    err_console,
    load_settings,
    out_console,
    repo_root,
)
from agent.errors import ConfigError
from agent.sanitize import clean, one_line, plain

if TYPE_CHECKING:
    from tools.index import Index, IndexStats, PastCommit
    from tools.types import Hit, Symbol

__all__ = ["configure", "run"]

MAP_TOKENS = 2_000


def configure(parser: Parser, name: str) -> None:
    if name == "map":
        parser.add_argument("query", nargs="*", help="rank by this; else by centrality")
        parser.add_argument(
            "--tokens", type=int, default=MAP_TOKENS, help=f"budget (default {MAP_TOKENS})"
        )
    else:
        actions = parser.add_subparsers(dest="action", metavar="ACTION")
        for action, text, operand in (
            ("build", "bring the index up to date and say what it holds (the default)", ""),
            ("search", "definitions that match a question", "query"),
            ("locate", "definitions likely to be at fault for an issue, with the reasons", "query"),
            ("find", "definitions of a name", "query"),
            ("refs", "lines that use a name", "query"),
            ("callers", "definitions that call a name", "query"),
            ("callees", "definitions that a name's body calls", "query"),
            ("grep", "lines that match a regular expression", "query"),
            ("commits", "past commits with titles like a question, and what they changed", "query"),
            ("symbols", "definitions of a file", "query"),
        ):
            sub = add_action(actions, action, text)
            if operand:
                sub.add_argument(operand, nargs="+")
                sub.add_argument("-n", "--number", type=int, default=20, help="results (20)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from agent.app import open_app

    root = repo_root(args)
    index = open_app(load_settings(args, root), root).index()
    _glance(args, index)
    stats = _update(args, index)
    if args.command == "map":
        return _map(args, index)
    action = args.action or "build"
    if action == "build":
        return _stats(args, stats)
    query = " ".join(args.query).strip()
    if not query:
        raise ConfigError("the query is empty", remedy=f"agent index {action} WORDS")
    return _answer(args, index, action, query)


def _answer(args: argparse.Namespace, index: "Index", action: str, query: str) -> int:
    most: int = args.number
    if action in ("find", "callees", "symbols"):
        found = index.symbols(query) if action == "symbols" else index.find(query)
        if action == "callees":
            found = tuple(c for symbol in found for c in index.callees(symbol))
        return _symbols(args, found[:most] if action == "callees" else found)
    if action == "commits":
        return _commits(args, index.similar_commits(query, most))
    if action == "grep":
        try:
            return _hits(args, index.grep(query, limit=most))
        except ValueError as error:
            raise ConfigError(str(error), remedy="agent index grep 'def \\w+_total'") from error
    if action == "callers":
        return _hits(args, tuple(h for s in index.find(query) for h in index.callers(s))[:most])
    if action == "refs":
        return _hits(args, index.references(query)[:most])
    ask = index.localize if action == "locate" else index.search
    return _hits(args, ask(query, most))


def _commits(args: argparse.Namespace, commits: "tuple[PastCommit, ...]") -> int:
    if args.json:
        for commit in commits:
            emit(_plain(commit))
        return 0 if commits else 1
    console = out_console(args)
    for commit in commits:
        row = plain(commit.commit[:10], "bold")
        row.append_text(plain("  " + one_line(commit.title, 90)))
        row.append_text(plain("  " + one_line(", ".join(commit.paths), 120), "dim"))
        console.print(row, soft_wrap=True)
    return _none(bool(commits))


def _update(args: argparse.Namespace, index: "Index") -> "IndexStats":
    """Update with a bar on a terminal; a repository seen before takes milliseconds."""
    from rich.progress import Progress

    console = err_console(args)
    if args.quiet or not console.is_terminal or console.is_dumb_terminal:
        return index.update()
    with Progress(console=console, transient=True) as bars:
        bar = bars.add_task("index", total=None)
        return index.update(lambda done, total: bars.update(bar, completed=done, total=total))


def _glance(args: argparse.Namespace, index: "Index") -> None:
    """While a first index is built on a terminal: what a first look says, on standard error."""
    console = err_console(args)
    text = " ".join(getattr(args, "query", ()) or ()).strip()
    asked = args.command == "map" or args.action in ("search", "locate")
    if args.quiet or not console.is_terminal or not asked or not text or index.stored():
        return
    for hit in index.glance(text, 5):
        row = plain(one_line(f"at first sight  {hit.path}:{hit.line}"), "dim")
        row.append_text(plain("  " + one_line(hit.symbol or "", 80), "dim"))
        console.print(row, soft_wrap=True)


def _stats(args: argparse.Namespace, stats: "IndexStats") -> int:
    if args.json:
        emit(_plain(stats))
        return 0
    rows = [f"{stats.files:,} files, {stats.symbols:,} symbols in {stats.seconds:.2f} s"]
    rows.append(f"{stats.changed:,} changed, {stats.parsed:,} parsed, {stats.skipped:,} left out")
    if stats.rebuilt:
        rows.append(f"rebuilt: {one_line(stats.rebuilt)}")
    sys.stdout.write("\n".join(rows) + "\n")
    return 0


def _map(args: argparse.Namespace, index: "Index") -> int:
    if args.tokens < 1:
        raise ConfigError("--tokens must be at least 1")
    found = index.map(" ".join(args.query).strip() or None, args.tokens)
    if args.json:
        emit(_plain(found))
        return 0
    sys.stdout.write(clean(found.text).rstrip("\n") + "\n")
    if not args.quiet:
        for word, near in found.near:
            sys.stderr.write(one_line(f"nothing holds {word}: {near} is near", 160) + "\n")
        sys.stderr.write(f"{found.symbols} symbols, {found.tokens} of {args.tokens} tokens\n")
    return 0


def _hits(args: argparse.Namespace, hits: "tuple[Hit, ...]") -> int:
    if args.json:
        for hit in hits:
            emit(_plain(hit))
        return 0 if hits else 1
    console = out_console(args)
    for hit in hits:
        row = plain(one_line(f"{hit.path}:{hit.line}"), "bold")
        row.append_text(plain("  " + one_line(hit.symbol or "", 80), "cyan"))
        row.append_text(plain("  " + one_line("; ".join(hit.reasons), 120), "dim"))
        console.print(row, soft_wrap=True)
    return _none(bool(hits))


def _symbols(args: argparse.Namespace, symbols: "tuple[Symbol, ...]") -> int:
    if args.json:
        for symbol in symbols:
            emit(_plain(symbol))
        return 0 if symbols else 1
    console = out_console(args)
    for symbol in symbols:
        row = plain(one_line(f"{symbol.path}:{symbol.line}"), "bold")
        row.append_text(plain(f"  {symbol.kind}  ", "dim"))
        row.append_text(plain(one_line(symbol.signature, 160)))
        console.print(row, soft_wrap=True)
    return _none(bool(symbols))


def _none(found: bool) -> int:
    if not found:
        sys.stderr.write("nothing found\n")
    return 0 if found else 1


def _plain(value: object) -> Any:
    from agent.trajectory import jsonable

    return jsonable(value)
