"""What the issue says in words: "f(x) returns 1 but should return 2"."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from agent.reproduce.text import exception_named, value_after, values_equal

__all__ = ["Claim", "claims", "expected_value"]

_CALL = re.compile(r"`{1,2}(?:>>> )?([^`\n]*\([^`\n]*\)[^`\n]*)`{1,2}")
_BARE_CALL = re.compile(r"(?<![`\w.])([A-Za-z_][\w.]*\()")
_ACTUAL = (
    r"(?:returns?|returned|gives?|gave|yields?|produces?|evaluates to|results? in|outputs?|prints?"
    r"|is|was|got|get|shows?|==|->|=>)"
)
_WANTED = (
    r"(?:should (?:have )?(?:be|been|return(?:ed)?|given?|yield(?:ed)?|equal|produced?"
    r"|print(?:ed)?|evaluate to|result in)|must (?:be|return|give)|ought to (?:be|return)"
    r"|instead of|rather than"
    r"|expect(?:ed|s|ing)?(?: (?:result|output|value|behaviou?r|it|this))?"
    r"(?: (?:to be|to return|to get|to equal|is|was|would be))?|I(?:'d| would)? expect(?:ed)?"
    r"|correct (?:result|answer|value|output) (?:is|would be|should be))"
)
_WANT_AT = re.compile(rf"{_WANTED}[ \t]*:?[ \t]*", re.I)
_NOT_WANTED = re.compile(r"(?:unexpected|not expected|expected one|as expected)", re.I)
_RAISES = re.compile(
    r"\b(?:raises?|raised|throws?|threw|crash(?:es|ed)? with|fails? with|dies with|errors? with)\b",
    re.I,
)
_SHOULD_RAISE = re.compile(
    r"(?:should|must|expected to|ought to|expect(?:ed)?(?: it)? to) (?:have )?"
    r"(?:raised?|throw|fail with)",
    re.I,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A call and what the issue says of it; exactly one of the last three is set."""

    call: ast.expr
    expected: ast.expr | None = None
    raises: str = ""
    """An exception it raises and should not."""
    should_raise: str = ""
    surety: float = 0.8


def claims(text: str) -> Iterator[Claim]:
    """Calls with a stated expectation, in order of appearance."""
    for call, after in _calls(text):
        claim = _claim(call, after)
        if claim is not None:
            yield claim


def _calls(text: str) -> Iterator[tuple[ast.expr, str]]:
    """Each call with the sentence or two that follow it, up to the next call."""
    found: list[tuple[int, int, ast.expr]] = []
    for match in _CALL.finditer(text):
        # A value such as `Decimal("1")` is no subject: it comes right after a verb.
        value = _parse(match[1])
        if value is not None and not _is_object(text[: match.start()]):
            found.append((match.start(), match.end(), value))
    covered = [(a, b) for a, b, _ in found]
    for match in _BARE_CALL.finditer(text):
        if not any(a <= match.start() < b for a, b in covered):
            end = _closing(text, match.end() - 1)
            value = _parse(text[match.start() : end]) if end else None
            if value is not None and not _is_object(text[: match.start()]):
                found.append((match.start(), end, value))
    found.sort(key=lambda x: x[0])
    for index, (_, end, value) in enumerate(found):
        stop = found[index + 1][0] if index + 1 < len(found) else len(text)
        start = found[index][0]
        asked = re.search(r"\bexpect(?:ed)?\s*$", text[:start][-20:], re.I)
        lead = "expected" if asked and text[end : end + 4] == " to " else ""
        yield value, lead + text[end : min(stop, end + 300)]


def _is_object(before: str) -> bool:
    verbs = re.compile(rf"(?:{_ACTUAL}|{_WANTED})\s*:?\s*$", re.I)
    subject = re.compile(r"(?:I |we )?(?:expect(?:ed)?|get)\s*:?\s*$", re.I)
    tail = before[-60:]
    return bool(verbs.search(tail)) and not subject.search(tail)


def _closing(text: str, start: int) -> int:
    depth, at, quote = 0, start, ""
    while at < min(len(text), start + 300):
        char = text[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return 0


def _parse(text: str) -> ast.expr | None:
    """A call, or a comparison or subscript of one, with arguments that are real values."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not any(isinstance(n, ast.Call) for n in ast.walk(node)):
        return None
    shown = any(isinstance(n, ast.Constant) and n.value is Ellipsis for n in ast.walk(node))
    return None if shown else node


def _claim(call: ast.expr, after: str) -> Claim | None:
    should = _SHOULD_RAISE.search(after[:160])
    if should:
        name = exception_named(after[should.end() :][:120])
        if name:
            return Claim(call=call, should_raise=name)
    wanted = expected_value(after)
    if wanted is not None:
        if isinstance(call, ast.Compare):
            return None
        return Claim(call=call, expected=wanted)
    raised = _RAISES.search(after[:120])
    if raised:
        name = exception_named(after[raised.end() : raised.end() + 100])
        if name:
            return Claim(call=call, raises=name, surety=0.6)
    return None


def expected_value(text: str) -> ast.expr | None:
    """The value a text says is right; None if it says none, or one that it also calls wrong."""
    for match in _WANT_AT.finditer(text):
        if _NOT_WANTED.search(text[max(match.start() - 4, 0) : match.end() + 4]):
            continue
        value = value_after(text[match.end() :])
        if value is not None and not isinstance(value, ast.Name):
            actual = actual_value(text[: match.start()])
            if actual is not None and values_equal(actual, value):
                continue
            return value
    return None


def actual_value(text: str) -> ast.expr | None:
    """The value a text says there is now."""
    for match in re.finditer(rf"\b{_ACTUAL}\s*:?\s*", text, re.I):
        value = value_after(text[match.end() :])
        if value is not None:
            return value
    return None
