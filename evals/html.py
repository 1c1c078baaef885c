"""The report as a page: self-contained, no script, nothing fetched, light or dark as wanted."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files

from evals.plots import COLOURS, resolved_plot, spent_plot, tokens_plot
from evals.render import Part, Table, dollars, parts
from evals.report import ArmReport, Report, by_instance
from evals.result import Result

__all__ = ["as_html", "chip", "document", "page_name", "table_html"]

NUMBER = re.compile(r"^[$+−-]?[\d.,∞]+( ?(%|s|MB))?$")
LINE = 40
"""Characters up to which a cell is not broken into lines."""
PAGES = "instances"


def page_name(instance_id: str) -> str:
    """Of an instance's page, below the report; an id is a file name already."""
    return f"{PAGES}/{instance_id}.html"


def as_html(report: Report, *, pages: Iterable[str] = ()) -> str:
    """`pages`: ids of instances that have a page."""
    linked = frozenset(pages)
    body: list[str] = []
    for part in parts(report):
        if part.table and part.table.instances:
            body += _every_run(report, part, linked)
            continue
        body += _part(part)
        if part.kind == "code":
            body += [_cards(report.arms), _plots(report.arms)]
    return document("Evals", "\n".join(body))


def document(title: str, body: str) -> str:
    """A whole page around some HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_style()}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


@cache
def _style() -> str:
    return files("evals").joinpath("page.css").read_text("utf-8").replace("\n", "")


def _part(part: Part) -> list[str]:
    body = []
    tag = {"code": "pre", "text": "p"}.get(part.kind, part.kind)
    if part.text:
        kind = ' class="note"' if part.kind == "text" else ""
        body.append(f"<{tag}{kind}>{escape(part.text)}</{tag}>")
    if part.rows:
        body.append("<ul>" + "".join(f"<li>{escape(x)}</li>" for x in part.rows) + "</ul>")
    if part.table:
        body.append(table_html(part.table))
    return body


def table_html(table: Table, *, links: frozenset[str] = frozenset()) -> str:
    """Numbers to the right; a first cell that is an instance with a page becomes a link."""
    columns = zip(*table.rows, strict=True) if table.rows else [()] * len(table.head)
    sides = (bool(c) and all(map(NUMBER.match, c)) for c in columns)
    head = "".join(
        f"<th{' class=num' if right else ''}>{escape(h)}</th>"
        for h, right in zip(table.head, sides, strict=True)
    )
    rows = []
    for row in table.rows:
        first, *rest = row
        shown = [_linked(first, links), *(_cell(c) for c in rest)]
        rows.append("<tr>" + "".join(shown) + "</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(text: str) -> str:
    if text in ("resolved", "unresolved", "infra"):
        return f"<td>{chip(text, text)}</td>"
    kind = "num" if NUMBER.match(text) else "line" if len(text) <= LINE else ""
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"


def _linked(text: str, links: frozenset[str]) -> str:
    if text not in links:
        return f'<td class="line">{escape(text)}</td>'
    return f'<td class="line"><a href="{escape(page_name(text))}">{escape(text)}</a></td>'


def chip(kind: str, text: str) -> str:
    """A word with the colour of its meaning."""
    return f'<span class="chip {kind}">{escape(text)}</span>'


# --------------------------------------------------------------------------- top


def _cards(arms: Sequence[ArmReport]) -> str:
    cards = []
    for number, arm in enumerate(arms):
        found = arm.resolved
        share = f"{found.share:.0%}" if found.n else "–"
        interval = f"{found.k} of {found.n} resolved, {found.low:.0%} to {found.high:.0%}"
        said = f"{arm.verified.k} verified, {len(arm.false_verified)} falsely"
        spent = f"{dollars(arm.usd_micro)} · {arm.wall_p50:.0f} s median"
        cards.append(
            f'<div class="card" style="--c:var(--s{number % COLOURS})"><b>{escape(arm.arm)}</b>'
            f'<span class="big">{share}</span><small>{interval}</small>'
            f"<small>{said}</small><small>{escape(spent)}</small></div>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _plots(arms: Sequence[ArmReport]) -> str:
    drawn = (
        ("Resolved, with 95 % intervals", resolved_plot(arms)),
        ("What it costs", spent_plot(arms)),
        ("Tokens by kind of step", tokens_plot(arms)),
    )
    shown = [f"<figure><figcaption>{t}</figcaption>{svg}</figure>" for t, svg in drawn if svg]
    return f'<div class="plots">{"".join(shown)}</div>'


# --------------------------------------------------------------------------- every run

GLYPHS = (
    ("verified", "resolved", "●", "resolved, and the agent said verified"),
    ("offered", "resolved", "○", "resolved, offered as unverified"),
    ("no", "unresolved", "·", "not resolved"),
    ("false", "wrong", "✕", "verified, and refused by the grading"),
    ("infra", "infra", "△", "infrastructure failure"),
    ("none", "unresolved", "", "not run"),
)


def _every_run(report: Report, part: Part, linked: frozenset[str]) -> list[str]:
    assert part.table is not None
    shown = "".join(
        f'<span><span class="dot {kind}">{glyph}</span> {told}</span>'
        for _, kind, glyph, told in GLYPHS
        if glyph
    )
    return [
        f"<h2>{escape(part.text)}</h2>",
        f'<div class="legend">{shown}</div>',
        _grid(report, linked),
        "<details><summary>The same as a table, with reasons</summary>",
        table_html(part.table, links=linked),
        "</details>",
    ]


def _grid(report: Report, linked: frozenset[str]) -> str:
    names = [a.arm for a in report.arms]
    head = "".join(f"<th>{escape(h)}</th>" for h in ("instance", "group", *names))
    rows = []
    for runs in sorted(by_instance(report.results), key=lambda c: c[0].instance_id):
        cells = [_linked(runs[0].instance_id, linked), f"<td>{escape(runs[0].group)}</td>"]
        cells += [_marks([r for r in runs if r.arm == name]) for name in names]
        rows.append("<tr>" + "".join(cells) + "</tr>")
    return (
        f'<div class="scroll"><table class="grid"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _marks(runs: Sequence[Result]) -> str:
    marks = []
    for result in sorted(runs, key=lambda r: r.seed):
        _, kind, glyph, told = next(g for g in GLYPHS if g[0] == _ending(result))
        label = escape(f"{result.arm}: {told}; {result.wall_s:.0f} s")
        marks.append(f'<span class="dot {kind}" title="{label}">{glyph}</span>')
    return f"<td>{''.join(marks)}</td>"


def _ending(result: Result) -> str:
    if result.status == "infra":
        return "infra"
    if result.status == "resolved":
        return "verified" if result.verdict == "verified" else "offered"
    return "false" if result.false_verified else "no"
