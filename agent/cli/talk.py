"""`agent chat` without a screen: one question from a script, the list, what is still to be applied.

The answer goes to stdout, what happens on the way to stderr. Nobody can be asked, so what would
need an approval is denied, said so, and ends with exit code 4.
"""

import argparse
import sys
import time
from typing import TYPE_CHECKING

from agent.cli.common import Parser, add_json, emit, load_settings, repo_root, show_table, usd
from agent.cli.interrupt import Interrupt
from agent.cli.work import as_row, read_issue, tell, write_diff
from agent.errors import ConfigError
from agent.sanitize import clean, one_line, plain

if TYPE_CHECKING:
    from agent.app import App
    from agent.chat.conversation import Conversation
    from agent.events import Event, TurnFinished

__all__ = ["add_options", "run", "wanted"]


def add_options(parser: Parser) -> None:
    talk = parser.add_argument_group("without a screen")
    talk.add_argument(
        "-p",
        "--print",
        metavar="TEXT",
        dest="text",
        help="ask this, print the answer; - reads stdin",
    )
    talk.add_argument("--list", action="store_true", help="conversations of this repository")
    talk.add_argument("--apply", metavar="ID", help="write a conversation's pending changes")
    talk.add_argument("--show", metavar="ID", help="print a conversation's pending changes")
    add_json(parser)
    parser.add_argument(
        "--mode", choices=("ask", "accept-edits", "plan", "auto"),
        help="what needs an approval (scripts: plan, accept-edits or auto)",
    )  # fmt: skip


def wanted(args: argparse.Namespace) -> bool:
    """Whether the command is one of those that need no screen."""
    return bool(args.text or args.list or args.apply or args.show)


def run(args: argparse.Namespace) -> int:
    from agent.app import open_app

    root = repo_root(args)
    loaded = load_settings(args, root)
    with Interrupt() as cancel:
        app = open_app(loaded, root, cancel=cancel)
        if args.list:
            return _list(args, app)
        if args.apply or args.show:
            return _settle(args, app)
        args.issue = None
        text, shortened = read_issue(args)
        tell(args, loaded, shortened)
        wanted_one = getattr(args, "conversation", None)
        ident = None if wanted_one is None else find(app, wanted_one or "last")
        with app.talks.conversation(ident) as talk:
            return _ask(args, app, talk, text)


def find(app: "App", words: str) -> str:
    """A conversation's id by its end, or `last`. Raises ConfigError when it is not one."""
    known = app.talks.conversations()
    if words == "last" and known:
        return known[0].id
    matches = [c.id for c in known if c.id.endswith(words)]
    if len(matches) != 1:
        what = (
            "no conversation here yet" if not known else f"no conversation {one_line(words, 40)!r}"
        )
        raise ConfigError(what, remedy="agent chat --list")
    return matches[0]


def _ask(args: argparse.Namespace, app: "App", talk: "Conversation", text: str) -> int:
    from agent.events import TurnFinished

    end: TurnFinished | None = None
    streamed = False
    for event in app.talks.chat(talk, text, mode=args.mode):
        if args.json:
            emit(as_row(event))
        else:
            streamed = _show(args, event) or streamed
        if isinstance(event, TurnFinished):
            end = event
    assert end is not None
    if not args.json:
        _close(args, end, talk, streamed)
    # A script must not take for done what was only refused.
    return end.exit_code or (4 if end.denied else 0)


def _show(args: argparse.Namespace, event: "Event") -> bool:
    """On a terminal the answer as it comes; for people what happens. Whether text was written."""
    from agent import events as ev

    if isinstance(event, ev.TextDelta):
        if sys.stdout.isatty():
            sys.stdout.write(clean(event.text))
            sys.stdout.flush()
            return True
        return False
    line = ""
    if isinstance(event, ev.ToolStarted):
        line = f"· {event.summary}"
    elif isinstance(event, ev.ToolFinished):
        line = f"  {event.summary}"
    elif isinstance(event, ev.Notice):
        line = f"note: {event.message}"
    elif isinstance(event, ev.ApprovalAnswered) and event.answer == "no":
        line = f"  denied: {event.reason}"
    elif isinstance(event, ev.Compacted):
        line = f"· made short: {event.before_tokens:,} → {event.after_tokens:,} tokens"
    if line and not args.quiet:
        if sys.stdout.isatty():
            sys.stdout.write("\n")
        sys.stderr.write(one_line(line, 160) + "\n")
    return False


def _close(
    args: argparse.Namespace, end: "TurnFinished", talk: "Conversation", streamed: bool
) -> None:
    if streamed:
        sys.stdout.write("\n")
    elif end.text:
        sys.stdout.write(clean(end.text).rstrip("\n") + "\n")
        sys.stdout.flush()
    if end.status != "answered":
        sys.stderr.write(f"error: {one_line(end.reason, 400)}\n")
        if end.next_command:
            sys.stderr.write(f"  next: {one_line(end.next_command)}\n")
    if end.pending_diff:
        sys.stderr.write(f"  changes wait: agent chat --apply {talk.id}\n")
    if not args.quiet:
        cost = usd(end.totals.usd_micro)
        sys.stderr.write(f"  {cost} · {end.duration_s:.0f} s · agent chat --resume {talk.id}\n")


def _list(args: argparse.Namespace, app: "App") -> int:
    from rich.table import Table

    from agent.trajectory import jsonable

    found = app.talks.conversations()
    if args.json:
        for one in found:
            emit(jsonable(one))
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("conversation", "last", "turns", "state", "title"):
        table.add_column(name, no_wrap=True)
    for one in found:
        table.add_row(
            one.id,
            time.strftime("%m-%d %H:%M", time.localtime(one.last)),
            str(one.turns),
            "interrupted" if one.interrupted else "",
            plain(one_line(one.title, 60)),
        )
    show_table(args, table)
    return 0


def _settle(args: argparse.Namespace, app: "App") -> int:
    from tools import patch

    with app.talks.conversation(find(app, args.apply or args.show)) as talk:
        if args.show:
            write_diff(patch.diff(app.talks.pending(talk)))
            return 0
        entry = app.talks.apply(talk)
    names = ", ".join(one_line(p, 60) for p in entry.paths)
    sys.stderr.write(f"applied: {names}\n  next: agent undo\n")
    return 0
