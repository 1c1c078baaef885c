"""`agent eval report` and `agent eval compare`: what is on disk, summarised."""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.common import emit
from agent.errors import ConfigError
from evals.result import UNIT, Result, Unit, load_results

if TYPE_CHECKING:
    from evals.datasets import Instance
    from evals.report import Earlier, Report

__all__ = [
    "compare_command",
    "instances_in",
    "report_command",
    "summarised",
    "write_report",
]


def report_command(args: argparse.Namespace) -> int:
    from evals.render import as_json, as_markdown

    path = Path(args.run)
    report = summarised(path)
    if args.out:
        write_report(report, Path(args.out), run=path)
    else:
        sys.stdout.write(as_json(report) if args.json else as_markdown(report))
    return 0


def summarised(path: Path) -> "Report":
    """A run directory, a results.jsonl, or a directory of runs: the last, and a line of each other.

    Raises ConfigError where there are no results.
    """
    stored = _stored(path)
    if not stored:
        return _one(path)
    last, *others = stored
    report = _one(last)
    return replace(report, earlier=tuple(_line_of(run) for run in others))


def _stored(path: Path) -> list[Path]:
    """Committed runs, the newest first: by the day that run.json names, then by name."""
    if not path.is_dir() or (path / "units").is_dir() or (path / "results.jsonl").is_file():
        return []
    runs = [p.parent for p in path.glob("*/results.jsonl")]
    return sorted(runs, key=lambda p: (_described(p).get("date", ""), p.name), reverse=True)


def _described(directory: Path) -> dict[str, Any]:
    file = directory / "run.json"
    try:
        found = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file}: broken JSON: {error}") from error
    return dict(found)


def _one(path: Path) -> "Report":
    from evals.report import report

    results = load_results(path)
    described = _described(path if path.is_dir() else path.parent)
    planned = len(described.get("instances", ())) * len(described.get("arms", ()))
    return report(
        results,
        planned=planned * len(described.get("seeds", ())),
        command=described.get("command", "unknown"),
        date=described.get("date") or "undated",
        machine=described.get("machine", ""),
        order=[a["name"] for a in described.get("arms", ())],
        not_run=[(a, b) for a, b in described.get("not_run", ())],
        rejected=[(a, b) for a, b in described.get("rejected", ())],
    )


def _line_of(run: Path) -> "Earlier":
    from evals.report import Earlier

    found = _one(run)
    arms = tuple((a.arm, a.resolved) for a in found.arms)
    return Earlier(date=found.date, command=found.command, arms=arms)


def write_report(report: "Report", out: Path, *, run: Path) -> None:
    """Markdown, HTML with a page per instance, JSON and the results themselves."""
    from evals.html import as_html
    from evals.pages import write_pages
    from evals.render import as_json, as_markdown

    out.mkdir(parents=True, exist_ok=True)
    rows = "".join(json.dumps(asdict(r), ensure_ascii=True) + "\n" for r in report.results)
    pages = write_pages(report.results, out, run, instances_in(run))
    files = {
        "report.md": as_markdown(report),
        "report.html": as_html(report, pages=pages),
        "report.json": as_json(report),
        "results.jsonl": rows,
    }
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8", errors="replace")


def instances_in(run: Path) -> "Iterator[Instance]":
    """The instances whose units are still in a run directory, each once."""
    seen: set[str] = set()
    for file in sorted(run.glob(f"units/*/{UNIT}")):
        unit = Unit.from_json(file.read_text("utf-8"), where=str(file))
        if unit.instance.instance_id not in seen:
            seen.add(unit.instance.instance_id)
            yield unit.instance


# --------------------------------------------------------------------------- compare


def compare_command(args: argparse.Namespace) -> int:
    """1 where the first is too far below the second."""
    from evals.compare import compare, sentence

    found = compare(_side(args.first), _side(args.second))
    if args.json:
        emit({**asdict(found), "n": found.n, "says": sentence(found)})
    else:
        sys.stdout.write("\n".join(found.lines()) + "\n")
    return 1 if args.fail_below is not None and found.difference < args.fail_below else 0


def _side(text: str) -> tuple[Result, ...]:
    path, _, name = (text, "", "") if Path(text).exists() else text.rpartition(":")
    results = load_results(Path(path or name))
    chosen = tuple(r for r in results if not name or not path or r.arm == name)
    if not chosen:
        known = ", ".join(sorted({r.arm for r in results}))
        raise ConfigError(f"{text}: there is no arm {name!r}", remedy=f"there are {known}")
    return chosen
