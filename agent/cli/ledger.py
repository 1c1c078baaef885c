"""`agent ledger`: what was spent, and what the same work would have cost elsewhere."""

import argparse
import csv
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from agent.cli.common import (
    Parser,
    emit,
    out_console,
    show_table,
    usd,
)
from agent.cli.lines import seconds
from agent.cli.tally import tokens
from agent.errors import ConfigError
from agent.sanitize import one_line, plain

if TYPE_CHECKING:
    from agent.ledger import GroupBy, GroupTotals, Ledger, Row

__all__ = ["configure", "run"]


def configure(parser: Parser, name: str) -> None:
    parser.add_argument(
        "--by", default="model", metavar="KEYS",
        help="model, step, day, repo, location, provider, run; several with commas",
    )  # fmt: skip
    parser.add_argument("--since", default="", metavar="DAY", help="from YYYY-MM-DD on")
    parser.add_argument("--rows", action="store_true", help="every attempt, not sums")
    parser.add_argument("--run", metavar="RUN", dest="run_id", help="attempts of one run")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="JSON lines, money in micro-dollars")
    form.add_argument("--csv", action="store_true", help="CSV, money in micro-dollars")


def run(args: argparse.Namespace) -> int:
    from agent import paths
    from agent.ledger import Ledger

    _check_day(args.since)
    with Ledger(paths.ledger_path()) as ledger:
        if args.rows or args.run_id:
            return _rows(args, ledger.rows(run_id=args.run_id, since=args.since))
        by = cast("list[GroupBy]", [part.strip() for part in args.by.split(",") if part.strip()])
        return _sums(args, by, ledger.summary(by, since=args.since), ledger)


def _sums(
    args: argparse.Namespace,
    by: "list[GroupBy]",
    groups: "tuple[GroupTotals, ...]",
    ledger: "Ledger",
) -> int:
    flat = [_group(by, g) for g in groups]
    if args.json:
        for row in flat:
            emit(row)
        return 0
    if args.csv:
        return _csv(flat)
    if not groups:
        sys.stderr.write("nothing was asked of any model yet\n")
        return 0
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    for name in by:
        table.add_column(name, footer="total" if name == by[0] else "", overflow="fold")
    sums = (
        ("requests", f"{sum(g.requests for g in groups):,}"),
        ("cost", usd(sum(g.usd_micro for g in groups))),
        ("open", usd(sum(g.open_usd_micro for g in groups))),
        ("unpriced", str(sum(g.unpriced for g in groups))),
        ("tokens", f"{sum(tokens(g.usage) for g in groups):,}"),
        ("local", seconds(sum(g.local_s for g in groups))),
    )
    for title, footer in sums:
        table.add_column(title, footer=footer, justify="right", no_wrap=True)
    for g in groups:
        table.add_row(
            *(plain(one_line(k)) for k in g.key),
            f"{g.requests:,}",
            usd(g.usd_micro),
            usd(g.open_usd_micro),
            str(g.unpriced),
            f"{tokens(g.usage):,}",
            seconds(g.local_s),
        )
    show_table(args, table)
    console = out_console(args)
    for saving in ledger.savings():
        steps = f"{saving.steps} verified step" + ("" if saving.steps == 1 else "s")
        text = f"estimate: {steps} on {saving.model} ({saving.basis}) would have cost "
        text += f"{usd(saving.usd_micro)}; they cost {usd(saving.spent_usd_micro)}"
        console.print(plain(text, "dim"))
    return 0


def _rows(args: argparse.Namespace, rows: "tuple[Row, ...]") -> int:
    flat = [_attempt(row) for row in rows]
    if args.json:
        for values in flat:
            emit(values)
        return 0
    if args.csv:
        return _csv(flat)
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("row", "day", "state", "step", "where", "model", "tokens", "cost", "time"):
        table.add_column(title, overflow="fold")
    for row in rows:
        state = row.state + (" (orphaned)" if row.orphaned else "")
        money = row.usd_micro if row.state == "settled" else row.entry.reserved_usd_micro
        table.add_row(
            str(row.id),
            row.day,
            state,
            row.entry.step_kind,
            row.entry.location,
            plain(one_line(row.entry.model)),
            f"{tokens(row.usage):,}",
            "" if row.state == "released" else usd(money),
            seconds(row.duration_s),
        )
    show_table(args, table)
    return 0


def _group(by: "list[GroupBy]", g: "GroupTotals") -> dict[str, object]:
    usage = {k: v for k, v in asdict(g.usage).items() if k != "raw"}
    return {
        **dict(zip(by, g.key, strict=True)),
        "requests": g.requests,
        "usd_micro": g.usd_micro,
        "open_usd_micro": g.open_usd_micro,
        "unpriced": g.unpriced,
        **usage,
        "local_s": round(g.local_s, 3),
    }


def _attempt(row: "Row") -> dict[str, object]:
    usage = {k: v for k, v in asdict(row.usage).items() if k != "raw"}
    entry = asdict(row.entry)
    entry["route_reason"] = entry.pop("reason")
    return {
        "row": row.id,
        "state": row.state,
        "day": row.day,
        "reserved_at": row.reserved_at,
        "closed_at": row.closed_at,
        **entry,
        "usd_micro": row.usd_micro,
        **usage,
        "duration_s": row.duration_s,
        "reason": row.reason,
        "orphaned": row.orphaned,
    }


def _csv(flat: list[dict[str, object]]) -> int:
    if flat:
        writer = csv.DictWriter(sys.stdout, list(flat[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    return 0


def _check_day(day: str) -> None:
    from datetime import date

    try:
        if day:
            date.fromisoformat(day)
    except ValueError:
        raise ConfigError(f"--since {day!r} is not a day", remedy="write YYYY-MM-DD") from None
