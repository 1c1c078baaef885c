"""A page per instance: the issue, and for each run its plan, patch, tests, requests and story."""

import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from evals.datasets.instance import Instance
from evals.html import chip, document, page_name, table_html
from evals.render import Table, dollars, why
from evals.report import by_instance
from evals.result import Result

__all__ = ["instance_page", "write_pages"]

KEPT = ("trajectory.jsonl", "ledger.json", "test_output.txt", "log.txt")
"""Files of a unit, linked where the run directory still has them."""
PATCH_CHARS = 60_000


def write_pages(
    results: Sequence[Result], target: Path, run: Path, instances: Iterable[Instance] = ()
) -> tuple[str, ...]:
    """Pages below `target`; ids of those that have one. `run`: where the units are."""
    known = {i.instance_id: i for i in instances}
    written = []
    for runs in by_instance(results):
        name = runs[0].instance_id
        path = target / page_name(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        links = {r.key: _links(r, run, path.parent) for r in runs}
        page = instance_page(runs, known.get(name), links)
        path.write_text(page, encoding="utf-8", errors="replace")  # patches hold any bytes
        written.append(name)
    return tuple(written)


def _links(result: Result, run: Path, page: Path) -> tuple[tuple[str, str], ...]:
    """(name, address relative to the page) of what is left of a unit."""
    unit = run / "units" / result.key
    found = []
    for name in KEPT:
        file = unit / name
        if file.is_file():
            found.append((name, os.path.relpath(file.resolve(), page.resolve())))
    return tuple(found)


def instance_page(
    runs: Sequence[Result],
    instance: Instance | None,
    links: Mapping[str, Sequence[tuple[str, str]]],
) -> str:
    """All runs of one instance, by arm and seed."""
    first = runs[0]
    body = [
        '<p class="meta"><a href="../report.html">← all instances</a></p>',
        f"<h1>{escape(first.instance_id)}</h1>",
        f'<p class="meta">{escape(first.group)}</p>',
    ]
    if instance is not None:
        body += ["<h2>Issue</h2>", f"<pre>{escape(instance.problem_statement.strip())}</pre>"]
        body += _folded("The gold patch", _diff(instance.patch)) if instance.patch else []
    for result in sorted(runs, key=lambda r: (r.arm, r.seed)):
        body += _run(result, links.get(result.key, ()))
    return document(first.instance_id, "\n".join(body))


def _run(result: Result, links: Sequence[tuple[str, str]]) -> list[str]:
    seed = f", seed {result.seed}" if result.seed else ""
    kind = "wrong" if result.false_verified else result.status
    body = [
        f"<h2>{escape(result.arm)}{seed} {chip(kind, result.status)}</h2>",
        f"<p>{escape(_told(result))}</p>",
        table_html(_figures(result)),
    ]
    if result.plan:
        body += ["<h3>Plan</h3>", "<ol>"]
        body += [f"<li>{escape(line)}</li>" for line in result.plan]
        body.append("</ol>")
    body += ["<h3>Patch</h3>"]
    body += [_diff(result.patch)] if result.patch else ['<p class="soft">No patch.</p>']
    if result.left_out:
        body.append(f"<p>Left out before grading: {escape(', '.join(result.left_out))}</p>")
    if result.still_failing:
        body.append("<h3>Tests that should pass and do not</h3><ul>")
        body += [f"<li><code>{escape(i)}</code></li>" for i in result.still_failing]
        body.append("</ul>")
    if result.rows:
        body += ["<h3>Ledger</h3>", table_html(_ledger(result))]
    if result.story:
        lines = "".join(f"<li>{escape(line)}</li>" for line in result.story)
        body += _folded("What happened", f'<ol class="story">{lines}</ol>')
    return body + _replay(result, links)


def _told(result: Result) -> str:
    said = f"The agent: {result.verdict or 'no verdict'} (exit {result.exit_code})."
    return f"{said} {why(result) or 'All tests it is graded by pass.'}"


def _figures(result: Result) -> Table:
    head = (
        *("failing tests fixed", "passing tests kept", "cost", "wall", "models", "tests"),
        *("test runs", "memory", "change"),
    )
    row = (
        _of(result, result.fail_to_pass, result.fail_to_pass_total),
        _of(result, result.pass_to_pass, result.pass_to_pass_total),
        dollars(result.usd_micro),
        f"{result.wall_s:.1f} s",
        f"{result.model_s:.1f} s",
        f"{result.test_s:.1f} s",
        str(result.test_runs),
        f"{result.memory_mb} MB" if result.memory_mb else "–",
        f"{result.files_changed} files, +{result.lines_added} −{result.lines_removed}",
    )
    return Table(head=head, rows=(row,))


def _of(result: Result, done: int, total: int) -> str:
    return f"{done} of {total}" if result.patch else "no patch to grade"


def _ledger(result: Result) -> Table:
    head = ("step", "location", "model", "state", "in", "cached", "out", "cost", "seconds")
    rows = tuple(
        (
            *(r.step_kind, r.location, r.model, r.state, str(r.tokens_in), str(r.cached)),
            *(str(r.tokens_out), dollars(r.usd_micro), f"{r.seconds:.2f}"),
        )
        for r in result.rows
    )
    return Table(head=head, rows=rows)


def _replay(result: Result, links: Sequence[tuple[str, str]]) -> list[str]:
    if not links:
        return []
    shown = " · ".join(f'<a href="{escape(where)}">{escape(n)}</a>' for n, where in links)
    again = f"agent eval replay RUN {result.key}"
    return [f"<p>{shown}</p>", f"<p>Again, without any model: <code>{escape(again)}</code></p>"]


def _folded(title: str, html: str) -> list[str]:
    return [f"<details><summary>{escape(title)}</summary>{html}</details>"]


def _diff(text: str) -> str:
    kinds = {"+": "add", "-": "del", "@": "hunk"}
    lines = []
    for line in text[:PATCH_CHARS].rstrip("\n").split("\n"):
        kind = "" if line.startswith(("+++ ", "--- ")) else kinds.get(line[:1], "")
        shown = escape(line)
        lines.append(f'<span class="{kind}">{shown}</span>' if kind else shown)
    return f"<pre>{chr(10).join(lines)}</pre>"
