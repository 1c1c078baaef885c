"""`agent runs`, `agent diff`, `agent resume`: what was done, and taking it up again."""

import argparse
import sys
import time
from typing import TYPE_CHECKING

from agent.cli.common import (
    Parser,
    add_json,
    emit,
    load_settings,
    out_console,
    repo_root,
    show_table,
    usd,
)
from agent.cli.interrupt import Interrupt
from agent.cli.work import add_run_options, drive, tell, write_diff
from agent.errors import ConfigError
from agent.sanitize import one_line, plain

if TYPE_CHECKING:
    from agent.app import App
    from agent.trajectory import RunSummary

__all__ = ["configure", "run"]

RESUMABLE = (3, 5, 130)
"""Exit codes after which a run may be taken up again: budget, infrastructure, interruption."""


def configure(parser: Parser, name: str) -> None:
    if name == "runs":
        parser.add_argument("-n", "--number", type=int, default=20, help="how many (default 20)")
        add_json(parser)
        return
    parser.add_argument("run_id", nargs="?", metavar="RUN", help="see agent runs; else the last")
    if name == "diff":
        parser.add_argument("--stat", action="store_true", help="files and line counts only")
    else:
        add_json(parser)
        add_run_options(parser)


def run(args: argparse.Namespace) -> int:
    from agent.app import open_app

    root = repo_root(args)
    loaded = load_settings(args, root)
    with Interrupt() as cancel:
        app = open_app(loaded, root, cancel=cancel)
        if args.command == "runs":
            return _list(args, app.runs())
        if args.command == "diff":
            return _diff(args, app)
        tell(args, loaded)
        return drive(app.resume(_resumable(args.run_id, app)), args)


def _list(args: argparse.Namespace, found: "tuple[RunSummary, ...]") -> int:
    from rich.table import Table

    chosen = found[: max(args.number, 0)]
    if args.json:
        for summary in chosen:
            emit(_row(summary))
        return 0
    if not chosen:
        sys.stderr.write("no run of this repository yet\n")
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("run", "when", "goal", "ended", "cost", "task"):
        table.add_column(title, overflow="fold", no_wrap=title in ("run", "when"))
    for summary in chosen:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(summary.started))
        end = summary.finished
        table.add_row(
            plain(summary.run_id),
            when,
            summary.task.goal,
            plain(_ended(summary)),
            usd(end.totals.usd_micro) if end else "",
            plain(one_line(summary.task.text, 60)),
        )
    show_table(args, table)
    return 0


def _diff(args: argparse.Namespace, app: "App") -> int:
    from agent.cli.diffs import changed, diff_text

    summary = _chosen(args.run_id, app)
    end = summary.finished
    diff = end.outcome.diff if end else ""
    kept = summary.path.parent / "patch.diff"
    if not diff and kept.is_file():
        diff = kept.read_text(encoding="utf-8", errors="surrogateescape")
    if not diff:
        raise ConfigError(
            f"run {summary.run_id} made no patch", remedy="agent runs shows which did"
        )
    console = out_console(args)
    if args.stat:
        for path, plus, minus in changed(diff):
            console.print(plain(f"{one_line(path)}  +{plus} -{minus}"))
    elif console.is_terminal:
        console.print(diff_text(diff))
    else:
        write_diff(diff)
    return 0


def _chosen(run_id: str | None, app: "App") -> "RunSummary":
    found = app.runs()
    if run_id is None:
        if not found:
            raise ConfigError("no run of this repository yet", remedy='agent fix "what is wrong"')
        return found[0]
    matches = [s for s in found if s.run_id == run_id or s.run_id.endswith(run_id)]
    if len(matches) != 1:
        raise ConfigError(f"there is no run {run_id!r}", remedy="agent runs")
    return matches[0]


def _resumable(run_id: str | None, app: "App") -> str:
    """The run to take up: the named one, else the newest that did not end by itself."""
    if run_id is not None:
        return _chosen(run_id, app).run_id
    for summary in app.runs():
        end = summary.finished
        if end is None or end.outcome.exit_code in RESUMABLE:
            return summary.run_id
    raise ConfigError("no run was interrupted", remedy="agent runs")


def _ended(summary: "RunSummary") -> str:
    if summary.finished is None:
        return "interrupted"
    outcome = summary.finished.outcome
    return f"{outcome.verdict.replace('_', ' ')} ({outcome.exit_code})"


def _row(summary: "RunSummary") -> dict[str, object]:
    from agent.trajectory import jsonable

    end = summary.finished
    return {
        "run_id": summary.run_id,
        "started": summary.started,
        "trajectory": str(summary.path),
        "task": jsonable(summary.task),
        "outcome": jsonable(end.outcome) if end else None,
        "totals": jsonable(end.totals) if end else None,
        "duration_s": end.duration_s if end else None,
    }
