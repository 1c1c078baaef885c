"""Reading an issue: blocks of code, tracebacks, and values as people write them."""

import ast
import re
from dataclasses import dataclass

__all__ = ["Block", "blocks", "exception_named", "prose", "value_after", "values_equal"]

MAX_ISSUE = 64 << 10
"""Characters looked at; an issue is short, a pasted log is not."""

_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*\n(.*?)^ {0,3}\2", re.M | re.S)
_EXCEPTION = re.compile(
    r"\b((?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Warning|Exit|Iteration|Interrupt))\b"
)
_STOPS = re.compile(
    r"(?:[.;,!?](?=\s|$))|(?:\s(?:but|instead|and|while|when|for|rather|not)\b)|\n|$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A piece of code of the issue with the prose around it."""

    code: str
    language: str
    before: str
    """The last lines of prose before it."""
    after: str


def blocks(issue: str) -> tuple[Block, ...]:
    """Fenced blocks, then doctests and tracebacks that stand in plain text."""
    text = issue[:MAX_ISSUE].replace("\r\n", "\n")
    if text.count("\n```") % 2 and not text.endswith("\n"):
        text += "\n```"
    found = []
    matches = list(_FENCE.finditer(text))
    for index, match in enumerate(matches):
        start = matches[index - 1].end() if index else 0
        stop = matches[index + 1].start() if index + 1 < len(matches) else len(text)
        found.append(
            Block(
                code=match[4],
                language=match[3].lower(),
                before=text[max(start, match.start() - 400) : match.start()],
                after=text[match.end() : min(stop, match.end() + 400)],
            )
        )
    rest = _FENCE.sub("\n", text)
    found += [
        Block(code=code, language="pycon", before=rest[:at][-400:], after=rest[end : end + 400])
        for at, end, code in _loose(rest)
    ]
    return tuple(found)


def _loose(text: str) -> list[tuple[int, int, str]]:
    """Unfenced runs of lines that begin with `>>>`."""
    found = []
    for match in re.finditer(r"(?:^[ \t]*>>> [^\n]*\n?(?:^(?![ \t]*$)[^\n]*\n?)*\n?)+", text, re.M):
        lines = match[0].splitlines()
        pad = min(len(x) - len(x.lstrip()) for x in lines if x.strip())
        found.append((match.start(), match.end(), "\n".join(x[pad:] for x in lines) + "\n"))
    return found


def prose(issue: str) -> str:
    """The issue without its blocks, quotes and emphasis marks taken off."""
    text = _FENCE.sub("\n", issue[:MAX_ISSUE].replace("\r\n", "\n"))
    return text.replace("**", "")


def exception_named(text: str) -> str:
    """Bare name of the last exception a traceback, else of the first a text names."""
    if "Traceback (most recent call last)" in text:
        lines = re.findall(r"^((?:\w+\.)*[A-Za-z_]\w*)(?::|$)", text.split("Traceback", 1)[1], re.M)
        known = [x.rsplit(".", 1)[-1] for x in lines if _EXCEPTION.fullmatch(x)]
        if known:
            return str(known[-1])
    match = _EXCEPTION.search(text)
    return match[1].rsplit(".", 1)[-1] if match else ""


def value_after(text: str) -> ast.expr | None:
    """The Python value at the start of a text: in backticks, or as long a literal as there is."""
    text = text.lstrip(" \t:=>")
    quoted = re.match(r"`{1,2}([^`\n]+)`{1,2}", text)
    if quoted:
        return _expression(quoted[1])
    for stop in _STOPS.finditer(text[:400]):
        value = _literal(text[: stop.start()])
        if value is not None:
            best = value
            # `[1, 2]` has a comma inside: a longer literal may follow a short one.
            for later in _STOPS.finditer(text[:400], stop.end()):
                best = _literal(text[: later.start()]) or best
            return best
    return None


def _literal(text: str) -> ast.expr | None:
    """A literal that is not a bare word."""
    text = text.strip().strip("*_").removesuffix(".").rstrip(",")
    try:
        ast.literal_eval(text)
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None


def _expression(text: str) -> ast.expr | None:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def values_equal(one: ast.expr, two: ast.expr) -> bool:
    return ast.dump(one) == ast.dump(two)
