"""Finds the lines a model meant: exact, then but for trailing blanks, then but for indentation,
then nearly, each only if there is one such place."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from tools.errors import AmbiguousMatch, NoMatch

__all__ = ["Match", "find", "nearest", "rewritten"]

THRESHOLD = 88.0
"""rapidfuzz ratio (0-100) of the whole block below which nothing is near enough."""
MARGIN = 4.0
"""How much better than the next best place it has to be."""
_LINE_FLOOR = 60.0
"""No line of a near match may be less alike than this: a block differs by slips, not by a line."""
_QUOTED = 24
_MAX_WINDOWS = 20_000
_BLANKS = re.compile(r"[ \t]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Lines `start..start+count` (0-based). `indent` maps the model's indentation to the file's."""

    start: int
    count: int
    indent: Callable[[str], str]


def find(lines: Sequence[str], wanted: Sequence[str], path: str) -> Match:
    """The one place where `wanted` is. Raises NoMatch or AmbiguousMatch, worded for a model."""
    rungs = (_exact, _but_trailing, _but_indentation)
    for rung in rungs:
        places = rung(lines, wanted)
        if len(places) > 1:
            where = ", ".join(str(m.start + 1) for m in places[:8])
            raise AmbiguousMatch(
                f"{path}: the SEARCH lines are there {len(places)} times, at lines {where}."
                " Add the lines around the place you mean, so that they are there once."
            )
        if places:
            return places[0]
    near = _nearly(lines, wanted)
    if near is not None:
        return near
    raise NoMatch(
        f"{path}: the SEARCH lines are not in the file. {nearest(lines, wanted)}"
        " Copy the lines exactly as they are in the file."
    )


def rewritten(
    lines: Sequence[str], match: Match, search: Sequence[str], replace: Sequence[str]
) -> tuple[str, ...]:
    """The new lines. What SEARCH and REPLACE have in common stays as the file has it, so that a
    slip in copying is not written into the file."""
    there = lines[match.start : match.start + match.count]
    result: list[str] = []
    matcher = SequenceMatcher(None, list(search), list(replace), autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            result += there[a:b]
        else:
            result += [match.indent(line) if line.strip() else line for line in replace[c:d]]
    return tuple(result)


def nearest(lines: Sequence[str], wanted: Sequence[str]) -> str:
    """A sentence and a numbered quotation of the most similar lines of the file."""
    if not lines:
        return "The file is empty."
    scored = _scores(lines, wanted)
    best = max(range(len(scored)), key=lambda i: scored[i]) if scored else 0
    count = min(max(len(wanted), 1), _QUOTED)
    if scored and scored[best] < 30.0:
        return f"Nothing in its {len(lines)} lines is like them."
    quoted = "\n".join(f"{best + i + 1}: {t}" for i, t in enumerate(lines[best : best + count]))
    return f"The nearest lines are:\n{quoted}\n"


def _exact(lines: Sequence[str], wanted: Sequence[str]) -> list[Match]:
    return _windows(lines, wanted, str)


def _but_trailing(lines: Sequence[str], wanted: Sequence[str]) -> list[Match]:
    return _windows(lines, wanted, str.rstrip)


def _windows(
    lines: Sequence[str], wanted: Sequence[str], view: Callable[[str], str]
) -> list[Match]:
    seen, looked = [view(t) for t in lines], [view(t) for t in wanted]
    return [
        Match(start=i, count=len(looked), indent=str)
        for i in range(len(seen) - len(looked) + 1)
        if seen[i] == looked[0] and seen[i : i + len(looked)] == looked
    ]


def _but_indentation(lines: Sequence[str], wanted: Sequence[str]) -> list[Match]:
    """Places where the text is the same and every line is off by the same indentation."""
    stripped = [t.strip() for t in lines]
    looked = [t.strip() for t in wanted]
    found = []
    for i in range(len(lines) - len(looked) + 1):
        if stripped[i : i + len(looked)] == looked:
            indent = _shift(lines[i : i + len(looked)], wanted)
            if indent is not None:
                found.append(Match(start=i, count=len(looked), indent=indent))
    return found


def _shift(there: Sequence[str], wanted: Sequence[str]) -> Callable[[str], str] | None:
    """How indentation maps: one prefix more or less on every line, else level by level."""
    pairs = {
        (_indentation(w), _indentation(t))
        for t, w in zip(there, wanted, strict=True)
        if t.strip() and w.strip()
    }
    if not pairs:
        return str
    mine, theirs = min(pairs)
    more = theirs.removesuffix(mine) if theirs.endswith(mine) else None
    if more is not None and all(t == more + m for m, t in pairs):
        return lambda line: more + line
    less = mine.removesuffix(theirs) if mine.endswith(theirs) else None
    if less is not None and all(m == less + t for m, t in pairs):
        return lambda line: line.removeprefix(less)
    levels = dict(pairs)
    if len(levels) < len(pairs):
        return None  # one indentation of the model stands for two of the file
    return _by_level(levels)


def _by_level(levels: dict[str, str]) -> Callable[[str], str]:
    """Tabs for spaces, four for two: known levels map exactly, deeper ones keep what they add."""

    def indent(line: str) -> str:
        own = _indentation(line)
        known = max((k for k in levels if own.startswith(k)), key=len, default=None)
        if known is None:
            return line
        extra = own[len(known) :]
        unit_mine, unit_theirs = _unit(levels)
        if extra and unit_mine and not len(extra) % len(unit_mine):
            extra = unit_theirs * (len(extra) // len(unit_mine))
        return levels[known] + extra + line[len(own) :]

    return indent


def _unit(levels: dict[str, str]) -> tuple[str, str]:
    """What one level adds, on the model's side and on the file's."""
    known = sorted(levels, key=len)
    if len(known) > 1:
        low, high = known[0], known[1]
        return high[len(low) :], levels[high].removeprefix(levels[low])
    return (known[0], levels[known[0]]) if known[0] else ("    ", "    ")


def _nearly(lines: Sequence[str], wanted: Sequence[str]) -> Match | None:
    """The best window, if it is good enough, clearly the best, and no line of it is far off."""
    from rapidfuzz import fuzz

    scored = _scores(lines, wanted)
    if not scored:
        return None
    best = max(range(len(scored)), key=lambda i: scored[i])
    count = len(wanted)
    rival = max((s for i, s in enumerate(scored) if abs(i - best) >= count), default=0.0)
    beside = max((s for i, s in enumerate(scored) if 0 < abs(i - best) < count), default=0.0)
    if scored[best] < THRESHOLD or scored[best] - max(rival, beside) < MARGIN:
        return None
    there = lines[best : best + count]
    pairs = zip(there, wanted, strict=True)
    if any(fuzz.ratio(t.strip(), w.strip()) < _LINE_FLOOR for t, w in pairs):
        return None
    alike = [(t, w) for t, w in zip(there, wanted, strict=True) if t.strip() and w.strip()]
    indent = _shift([t for t, _ in alike], [w for _, w in alike])
    return None if indent is None else Match(start=best, count=count, indent=indent)


def _scores(lines: Sequence[str], wanted: Sequence[str]) -> list[float]:
    """Similarity of each window of as many lines, indentation apart."""
    from rapidfuzz import fuzz

    count = len(wanted)
    looked = "\n".join(t.strip() for t in wanted)
    stripped = [t.strip() for t in lines]
    windows = min(max(len(lines) - count + 1, 0), _MAX_WINDOWS)
    return [
        fuzz.ratio(looked, "\n".join(stripped[i : i + count]), score_cutoff=25.0)
        for i in range(windows)
    ]


def _indentation(line: str) -> str:
    match = _BLANKS.match(line)
    return match[0] if match else ""
