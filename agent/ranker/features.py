"""What the ranker sees of a candidate. Pure: text in, numbers out; nothing is run.

`NAMES` lists every feature. Groups: where (suspicion, ties), how (operator, shape of the change),
how usual (log-probability before and after, in the repository and in general), names (similarity,
uses left and gained, words of the task), and meaning (None tests, arity, operands that are equal).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log1p, log2

from agent.ranker.context import KEYWORDS, Context, FileText, parts
from agent.ranker.tokens import grams, identifiers, tokens
from tools.types import Candidate

__all__ = ["NAMES", "OPERATORS", "features"]

OPERATORS = tuple(
    "comparison arithmetic augmented bool-op negate integer truth bound-drop bound-step function "
    "method self await near-name range loop-exit mutable-default accumulate condition-drop "
    "operand-swap precedence branch-swap none-test number result-step sign string variable "
    "attribute slice argument-swap argument-drop default-value keyword wrapper-drop instance-type "
    "return-value return-missing delete reorder indent branch-kind handler parameter-default "
    "closure comparison-far arithmetic-far operand condition-extend variable-attribute subscript "
    "callee argument-add wrapper-add call duplicate guard default-fill leave-after step-after "
    "decorator copy mini".split()
)
_KINDS = ("if", "while", "return", "for", "def", "raise", "assign", "augment", "call", "other")
_KIND_WORDS = {"elif": "if", "else": "if", "yield": "return", "except": "raise", "class": "def"}
_DENSE = tuple(
    "rank ties share file_first symbol_rank direct tier1 tier2 removed added insertion deletion "
    "lines name_for_name mark_for_mark number_for_number string_for_string "
    "local_change local_old local_new general_change general_old general_new known_new known_old "
    "line_known line_in_function old_line_known twin similarity subnames added_told removed_told "
    "literal_told uses_new uses_old first_use last_use foreign parameter_new parameter_old "
    "equal_operands_new equal_operands_old none_new none_old not_new not_old leaves "
    "small_number by_one arity_better arity_worse in_while new_in_line".split()
)
NAMES = (
    *_DENSE,
    *(f"kind={k}" for k in _KINDS),
    *(f"operator={o}" for o in OPERATORS),
)
_AUGMENT = re.compile(r"^(?:[-+*/%@&|^]|//|\*\*|>>|<<)=$")
_MARKS = frozenset("< <= > >= == != + - * / // % ** & | ^ << >> and or is in not".split())


@dataclass
class _Change:
    """A candidate as two rows of tokens and what differs between them."""

    old: list[str]
    new: list[str]
    head: int
    tail: int

    @property
    def removed(self) -> list[str]:
        return self.old[self.head : len(self.old) - self.tail]

    @property
    def added(self) -> list[str]:
        return self.new[self.head : len(self.new) - self.tail]


def _change(candidate: Candidate) -> _Change:
    old, new = tokens(candidate.before), tokens(candidate.after)
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return _Change(old, new, head, tail)


def features(context: Context, candidate: Candidate) -> list[float]:
    """One number per name of `NAMES`."""
    change = _change(candidate)
    found: dict[str, float] = {}
    found |= _where(context, candidate)
    found |= _how(candidate, change)
    found |= _usual(context, candidate, change)
    found |= _names(context, candidate, change)
    found |= _meaning(context, candidate, change)
    row = [found[n] for n in _DENSE]
    kind = _kind(change.old)
    row += [float(k == kind) for k in _KINDS]
    row += [float(o == candidate.operator) for o in OPERATORS]
    return row


def _where(context: Context, candidate: Candidate) -> dict[str, float]:
    score = candidate.suspicion
    above = sum(s > score + 1e-6 for s in context.scores)
    place = candidate.path, candidate.line
    symbol = context.symbol_at.get(place)
    return {
        "rank": log2(1 + above),
        "ties": log2(1 + context.ties[round(score, 6)]),
        "share": score / context.top,
        "file_first": float(candidate.path == context.first_path),
        "symbol_rank": log2(1 + context.symbols.get((candidate.path, symbol), 30)),
        "direct": float(place in context.lines),
    }


def _how(candidate: Candidate, change: _Change) -> dict[str, float]:
    gone, come = change.removed, change.added
    one = len(gone) == 1 and len(come) == 1
    return {
        "tier1": float(candidate.tier == 1),
        "tier2": float(candidate.tier >= 2),
        "removed": log1p(len(gone)),
        "added": log1p(len(come)),
        "insertion": float(not gone),
        "deletion": float(not come),
        "lines": float(candidate.after.count("\n") - candidate.before.count("\n")),
        "name_for_name": float(one and _name(gone[0]) and _name(come[0])),
        "mark_for_mark": float(one and gone[0] in _MARKS and come[0] in _MARKS),
        "number_for_number": float(one and gone[0][0].isdigit() and come[0][0].isdigit()),
        "string_for_string": float(one and gone[0][-1] in "\"'" and come[0][-1] in "\"'"),
    }


def _usual(context: Context, candidate: Candidate, change: _Change) -> dict[str, float]:
    old = ["\n", "\n", *change.old, "\n"]
    new = ["\n", "\n", *change.new, "\n"]
    first = change.head + 2
    old_end = min(len(old) - change.tail + 1, len(old))
    new_end = min(len(new) - change.tail + 1, len(new))
    own = grams(old[1:])
    was, known_old = context.local.log_probability(old, first, old_end, own)
    now, known_new = context.local.log_probability(new, first, new_end, own)
    old, new = context.plain(old), context.plain(new)
    was_general = context.general.log_probability(old, first, old_end)
    now_general = context.general.log_probability(new, first, new_end)
    old_count, new_count = max(old_end - first, 1), max(new_end - first, 1)
    file = context.files[candidate.path]
    around = file.around(candidate.line)
    before = {x.strip() for x in candidate.before.splitlines()}
    fresh = [x.strip() for x in candidate.after.splitlines() if x.strip() not in before]
    stale = before - {x.strip() for x in candidate.after.splitlines()} - {""}
    at = candidate.line - 1
    beside = {x.strip() for x in (*file.lines[max(at - 1, 0) : at], *_next(file, candidate))}
    return {
        "local_change": _clip((now - was) / 5),
        "local_old": was / old_count,
        "local_new": now / new_count,
        "general_change": _clip((now_general - was_general) / 5),
        "general_old": was_general / old_count,
        "general_new": now_general / new_count,
        "known_new": known_new / new_count,
        "known_old": known_old / old_count,
        "line_known": log1p(sum(file.line_counts[x] for x in fresh)),
        "line_in_function": float(
            around is not None and any(around.line_counts[x] for x in fresh if len(x) > 6)
        ),
        "old_line_known": float(any(file.line_counts[x] > 1 for x in stale if len(x) > 6)),
        "twin": float(any(x in beside for x in fresh if x)),
    }


def _next(file: FileText, candidate: Candidate) -> list[str]:
    return file.lines[candidate.end_line : candidate.end_line + 1]


def _names(context: Context, candidate: Candidate, change: _Change) -> dict[str, float]:
    gone = [n for n in identifiers(change.removed) if n not in KEYWORDS]
    come = [n for n in identifiers(change.added) if n not in KEYWORDS]
    around = context.files[candidate.path].around(candidate.line)
    uses = around.uses if around is not None else Counter[str]()
    parameters = around.parameters if around is not None else frozenset()
    new, lost = set(come) - set(gone), set(gone) - set(come)
    left = Counter(uses)
    left.subtract(gone)
    left.update(come)
    told = context.told
    literals = [t for t in change.added if t[0].isdigit() or t[-1] in "\"'"]
    return {
        "similarity": _similar(gone[0], come[0]) if len(gone) == len(come) == 1 else 0.0,
        "subnames": _shared(gone, come),
        "added_told": _part(new, told),
        "removed_told": _part(lost, told),
        "literal_told": float(any(t.strip("\"'") in told for t in literals)),
        "uses_new": log1p(sum(uses[n] for n in new)),
        "uses_old": log1p(sum(uses[n] for n in lost)),
        # `uses` counts the definition too.
        "first_use": float(any(uses[n] == 1 for n in new)),
        "last_use": float(any(left[n] <= 1 for n in lost if uses[n] > 1)),
        "foreign": float(any(uses[n] == 0 for n in new)),
        "parameter_new": float(bool(new & parameters)),
        "parameter_old": float(bool(lost & parameters)),
        "new_in_line": float(any(n in change.old for n in new)),
    }


def _meaning(context: Context, candidate: Candidate, change: _Change) -> dict[str, float]:
    gone, come = change.removed, change.added
    file = context.files[candidate.path]
    around = file.around(candidate.line)
    loops = around.loops if around is not None else ()
    worse, better = _arity(file, change.old), _arity(file, change.new)
    numbers = [t for t in come if t[0].isdigit()]
    return {
        "equal_operands_new": float(_equal_operands(change.new) > _equal_operands(change.old)),
        "equal_operands_old": float(_equal_operands(change.old) > _equal_operands(change.new)),
        "none_new": float("None" in come),
        "none_old": float("None" in gone),
        "not_new": float("not" in come),
        "not_old": float("not" in gone),
        "leaves": float(any(w in come for w in ("return", "break", "continue", "raise"))),
        "small_number": float(any(t in ("0", "1", "2") for t in numbers)),
        "by_one": float(_by_one(gone, come)),
        "arity_better": float(better < worse),
        "arity_worse": float(better > worse),
        "in_while": float(any(a <= candidate.line <= b for a, b in loops)),
    }


def _arity(file: FileText, row: Sequence[str]) -> int:
    """Calls of functions of this file with a number of arguments they do not take."""
    wrong = 0
    for at, (name, bracket) in enumerate(pairwise(row)):
        if bracket != "(" or name not in file.arity or (at and row[at - 1] in ("def", "class")):
            continue
        depth, count, some, star = 1, 0, False, False
        for token in row[at + 2 :]:
            depth += (token in "([{") - (token in ")]}")
            if depth == 0:
                break
            star = star or (depth == 1 and token in ("*", "**"))
            count += depth == 1 and token == ","
            some = token != ","
        least, most = file.arity[name]
        wrong += not star and not least <= count + some <= most
    return wrong


def _equal_operands(row: Sequence[str]) -> int:
    marks = _MARKS - {"+", "*", "not"} | {"="}
    return sum(
        row[i] in marks and row[i - 1] == row[i + 1] and (_name(row[i - 1]))
        for i in range(1, len(row) - 1)
        if (i < 2 or row[i - 2] != ".") and (i + 2 >= len(row) or row[i + 2] not in ".([")
    )


def _by_one(gone: Sequence[str], come: Sequence[str]) -> bool:
    if len(gone) != 1 or len(come) != 1 or not (gone[0].isdigit() and come[0].isdigit()):
        return False
    return abs(int(gone[0][:9]) - int(come[0][:9])) == 1


def _kind(row: Sequence[str]) -> str:
    if not row:
        return "other"
    word = _KIND_WORDS.get(row[0], row[0])
    if word in _KINDS:
        return word
    depth = 0
    for token in row:
        depth += (token in "([{") - (token in ")]}")
        if depth == 0 and token == "=":
            return "assign"
        if depth == 0 and _AUGMENT.match(token):
            return "augment"
    return "call" if _name(row[0]) and "(" in row else "other"


def _name(token: str) -> bool:
    return (token[0].isalpha() or token[0] == "_") and token[-1] not in "\"'"


def _similar(one: str, two: str) -> float:
    from rapidfuzz.fuzz import ratio

    return ratio(one.lower(), two.lower()) / 100


def _shared(gone: Sequence[str], come: Sequence[str]) -> float:
    a = {p for n in gone for p in parts(n)}
    b = {p for n in come for p in parts(n)}
    return len(a & b) / len(a | b) if a and b else 0.0


def _part(names: set[str], told: frozenset[str]) -> float:
    """How far names occur in the task: whole names count, parts of them count half."""
    if not names:
        return 0.0
    found = 0.0
    for name in names:
        if name in told:
            found += 1.0
        elif any(p in told for p in parts(name)):
            found += 0.5
    return found / len(names)


def _clip(value: float) -> float:
    return max(-4.0, min(4.0, value))
