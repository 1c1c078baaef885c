"""The report's plots as inline SVG: three plain ones, for which nobody need install matplotlib.

Colours are the page's variables, so that plots follow its light and dark theme. Every mark has its
figure as text beside it or as a title.
"""

from collections.abc import Sequence
from html import escape
from math import isfinite

from evals.report import ArmReport, Rate

__all__ = ["COLOURS", "resolved_plot", "spent_plot", "tokens_plot"]

COLOURS = 8
"""How many series colours the page's style defines; further ones start again."""
WIDTH, LEFT, RIGHT, ROW = 640, 150, 70, 26
LABEL = (100.0, 14.0)
"""Room that an arm's name takes beside its point."""


def resolved_plot(arms: Sequence[ArmReport]) -> str:
    """A dot with its interval per arm, for all instances and then for each group."""
    blocks: list[tuple[str, list[tuple[int, str, Rate]]]] = [
        ("all instances", [(i, a.arm, a.resolved) for i, a in enumerate(arms)])
    ]
    labels = list(dict.fromkeys(g.label for a in arms for g in a.groups))
    for label in labels if len(labels) > 1 else ():
        rows = [(i, a.arm, g.resolved) for i, a in enumerate(arms) for g in a.groups]
        kept = [r for r, g in zip(rows, _labels(arms), strict=True) if g == label]
        blocks.append((label, kept))
    body: list[str] = []
    y = 8.0
    for label, found in blocks:
        y += 18
        body.append(_text(0, y, label, cls="strong"))
        for colour, name, value in found:
            y += ROW
            body += _whisker(y, colour, name, value)
        y += 14
    axis = _axis(y, [(x / 4, f"{x * 25} %") for x in range(5)])
    return _svg(y + 26, [*axis, *body], "Resolved rate by arm, with 95 % intervals")


def _labels(arms: Sequence[ArmReport]) -> list[str]:
    return [g.label for a in arms for g in a.groups]


def _whisker(y: float, colour: int, name: str, value: Rate) -> list[str]:
    told = f"{name}: {value.k} of {value.n}, {value.low:.0%} to {value.high:.0%}"
    paint = f'style="--c:var(--s{colour % COLOURS})"'
    middle = y - 4
    return [
        _text(LEFT - 10, y, name, anchor="end"),
        f'<g class="mark" {paint}><title>{escape(told)}</title>'
        f'<line x1="{_x(value.low):.1f}" x2="{_x(value.high):.1f}" y1="{middle}" y2="{middle}"/>'
        f'<circle cx="{_x(value.share):.1f}" cy="{middle}" r="5"/></g>',
        _text(WIDTH - RIGHT + 10, y, f"{value.k}/{value.n}"),
    ]


def spent_plot(arms: Sequence[ArmReport]) -> str:
    """Cost of an instance against resolved; time instead of dollars where nothing was paid."""
    paid = any(a.usd_micro for a in arms)
    points = []
    for colour, arm in enumerate(arms):
        spent = (arm.usd_micro or 0) / 1e6 / max(arm.n, 1) if paid else arm.wall_p50
        points.append((spent, arm.resolved.share, colour, arm.arm))
    most = max((p[0] for p in points), default=0.0) * 1.15 or 1.0
    height, top = 260, 20
    label = "dollars per instance" if paid else "seconds per instance (median); no money was spent"
    ceiling = next(
        c for c in (0.2, 0.4, 0.6, 0.8, 1.0) if c >= max((p[1] for p in points), default=0)
    )
    body = [_text(LEFT, height + 40, label)]
    for step in range(5):
        y = top + (height - top) * (1 - step / 4)
        body.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        body.append(_text(LEFT - 10, y + 4, f"{ceiling * step / 4:.0%}", anchor="end"))
        x = LEFT + (WIDTH - RIGHT - LEFT) * step / 4
        tick = f"${most * step / 4:.3g}" if paid else f"{most * step / 4:.0f} s"
        body.append(_text(x, height + 18, tick, anchor="middle"))
    places = [(_x(p[0] / most), top + (height - top) * (1 - p[1] / ceiling)) for p in points]
    heights = _apart(places)
    for (spent, share, colour, name), (x, y), beside in zip(points, places, heights, strict=True):
        unit = f"${spent:.4f}" if paid else f"{spent:.1f} s"
        told = escape(f"{name}: {share:.0%} resolved, {unit} an instance")
        body.append(
            f'<g class="mark" style="--c:var(--s{colour % COLOURS})"><title>{told}</title>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6"/></g>'
        )
        side = "end" if x > WIDTH - RIGHT - 60 else "start"
        body.append(_text(x + (-10 if side == "end" else 10), beside + 4, name, anchor=side))
    body.append(_text(0, 12, "resolved", cls="strong"))
    return _svg(height + 48, body, f"Resolved against {label}")


def _apart(places: Sequence[tuple[float, float]]) -> list[float]:
    """Heights at which labels beside these points do not lie on each other, in the same order."""
    taken: list[tuple[float, float]] = []
    for x, y in places:
        while any(abs(x - a) < LABEL[0] and abs(y - b) < LABEL[1] for a, b in taken):
            y -= 2.0
        taken.append((x, y))
    return [y for _, y in taken]


def tokens_plot(arms: Sequence[ArmReport]) -> str:
    """Bars per arm, a piece per step kind and location."""
    kinds = list(dict.fromkeys(f"{f.step_kind}, {f.location}" for a in arms for f in a.flows))
    if not kinds:
        return ""
    most = max(sum(f.tokens for f in a.flows) for a in arms) or 1
    body: list[str] = []
    y = 4.0
    for arm in arms:
        y += ROW
        body.append(_text(LEFT - 10, y, arm.arm, anchor="end"))
        x = float(LEFT)
        for flow in arm.flows:
            colour = kinds.index(f"{flow.step_kind}, {flow.location}") % COLOURS
            wide = (WIDTH - RIGHT - LEFT) * flow.tokens / most
            told = escape(f"{arm.arm}, {flow.step_kind}, {flow.location}: {flow.tokens:,} tokens")
            body.append(
                f'<rect class="bar" style="--c:var(--s{colour})" x="{x:.1f}" y="{y - 14}"'
                f' width="{max(wide - 1, 1):.1f}" height="18"><title>{told}</title></rect>'
            )
            x += wide
        body.append(_text(x + 8, y, _short(sum(f.tokens for f in arm.flows))))
    y += 16
    for number, kind in enumerate(kinds):
        y += 20
        body.append(
            f'<rect class="bar" style="--c:var(--s{number % COLOURS})" x="{LEFT}" y="{y - 10}"'
            ' width="12" height="12"/>'
        )
        body.append(_text(LEFT + 20, y, kind))
    return _svg(y + 12, body, "Tokens by arm, kind of step and location")


def _short(tokens: float) -> str:
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if tokens >= size:
            return f"{tokens / size:.1f}{unit}"
    return f"{tokens:.0f}"


def _x(share: float) -> float:
    share = min(max(share, 0.0), 1.0) if isfinite(share) else 1.0
    return LEFT + (WIDTH - RIGHT - LEFT) * share


def _axis(bottom: float, ticks: Sequence[tuple[float, str]]) -> list[str]:
    lines = []
    for share, label in ticks:
        x = _x(share)
        lines.append(f'<line class="grid" x1="{x}" x2="{x}" y1="14" y2="{bottom}"/>')
        lines.append(_text(x, bottom + 16, label, anchor="middle"))
    return lines


def _text(x: float, y: float, text: str, *, anchor: str = "start", cls: str = "") -> str:
    kind = f' class="{cls}"' if cls else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'


def _svg(height: float, body: Sequence[str], label: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH} {height:.0f}"'
        f' width="{WIDTH}" height="{height:.0f}">{"".join(body)}</svg>'
    )
