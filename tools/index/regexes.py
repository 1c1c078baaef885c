"""The regex tier: definitions of languages without a grammar, and of trees that broke.

Line-based and approximate: a definition ends before the next one that is indented no deeper.
"""

import re
from functools import cache

from tools.index.grammar import Found, signature

__all__ = ["scan"]

_C_LIKE = (
    r"^(?P<indent>[ \t]*)(?:(?:public|private|protected|internal|static|final|abstract|sealed|"
    r"override|virtual|async|export|open|data|inline|suspend|partial|extern|unsafe|case|fileprivate"
    r"|mutating|implicit|lazy)\s+)*"
)
_PATTERNS: dict[str, tuple[tuple[str, str], ...]] = {
    "python": (
        ("class", r"^(?P<indent>[ \t]*)class\s+(?P<name>\w+)"),
        ("function", r"^(?P<indent>[ \t]*)(?:async\s+)?def\s+(?P<name>\w+)"),
    ),
    "ruby": (
        ("class", r"^(?P<indent>[ \t]*)(?:class|module)\s+(?P<name>[A-Z][\w:]*)"),
        ("function", r"^(?P<indent>[ \t]*)def\s+(?:self\.)?(?P<name>\w+[?!=]?)"),
    ),
    "php": (
        ("class", _C_LIKE + r"(?:class|interface|trait|enum)\s+(?P<name>\w+)"),
        ("function", _C_LIKE + r"function\s+&?(?P<name>\w+)"),
    ),
    "csharp": (
        ("class", _C_LIKE + r"(?:class|struct|interface|enum|record)\s+(?P<name>\w+)"),
        (
            "function",
            _C_LIKE + r"(?!return|new|throw|await|else|using|namespace)[\w<>\[\],.?]+\s+"
            r"(?P<name>\w+)\s*(?:<[\w, ]+>)?\([^;{]*(?:\{|=>|$)",
        ),
    ),
    "bash": (
        (
            "function",
            r"^(?P<indent>[ \t]*)(?:function\s+(?P<name>[\w:-]+)|(?P<name2>[\w:-]+)\s*\(\))",
        ),
    ),
    "kotlin": (
        ("class", _C_LIKE + r"(?:class|interface|object|enum\s+class)\s+(?P<name>\w+)"),
        ("function", _C_LIKE + r"fun\s+(?:<[^>]*>\s*)?(?:[\w<>?]+\.)?(?P<name>\w+)"),
    ),
    "swift": (
        ("class", _C_LIKE + r"(?:class|struct|enum|protocol|extension|actor)\s+(?P<name>\w+)"),
        ("function", _C_LIKE + r"(?:func\s+(?P<name>\w+)|(?P<name2>init)\s*\()"),
    ),
    "scala": (
        ("class", _C_LIKE + r"(?:class|object|trait)\s+(?P<name>\w+)"),
        ("function", _C_LIKE + r"def\s+(?P<name>\w+)"),
    ),
    "lua": (
        (
            "function",
            r"^(?P<indent>[ \t]*)(?:local\s+)?(?:function\s+(?P<name>[\w.:]+)"
            r"|(?P<name2>[\w.]+)\s*=\s*function)",
        ),
    ),
    "perl": (("function", r"^(?P<indent>[ \t]*)sub\s+(?P<name>\w+)"),),
    "elixir": (
        ("class", r"^(?P<indent>[ \t]*)defmodule\s+(?P<name>[\w.]+)"),
        ("function", r"^(?P<indent>[ \t]*)def(?:p|macro)?\s+(?P<name>\w+[?!]?)"),
    ),
    "haskell": (("function", r"^(?P<indent>)(?P<name>[a-z]\w*'?)\s*::"),),
    "c": (
        (
            "class",
            r"^(?P<indent>[ \t]*)(?:typedef\s+)?(?:struct|union|enum|class)\s+(?P<name>\w+)\s*\{",
        ),
        (
            "function",
            r"^(?P<indent>)(?!return|else|typedef|#)[A-Za-z_][\w \t*&:<>,]*?[ \t*&]"
            r"(?P<name>[\w:~]+)[ \t]*\([^;{}]*\)?[^;{}]*(?:\{|$)",
        ),
        ("function", r"^(?P<indent>)(?P<name>\w+)[ \t]*\([^;{}]*\)[\w \t]*\n\{"),
    ),
}
_PATTERNS["cython"] = (
    *_PATTERNS["python"],
    ("function", r"^(?P<indent>[ \t]*)cp?def\s+[\w \t*\[\],:]*?(?P<name>\w+)\s*\("),
)
_PATTERNS["cpp"] = _PATTERNS["c"]

_INDENTED = frozenset({"class"})


@cache
def _compiled(language: str) -> tuple[tuple[str, re.Pattern[bytes]], ...]:
    return tuple((kind, re.compile(p.encode(), re.M)) for kind, p in _PATTERNS.get(language, ()))


def scan(source: bytes, language: str) -> list[Found]:
    """Definitions in source order; none for a language without patterns."""
    hits: dict[int, tuple[str, str, int]] = {}
    for kind, pattern in _compiled(language):
        for match in pattern.finditer(source):
            groups = match.groupdict()
            name = groups["name"] or groups.get("name2") or b""
            text = name.decode("utf-8", "replace").replace("::", ".").replace(":", ".")
            indent = len(groups["indent"].expandtabs(8))
            hits.setdefault(match.start(), (text, kind, indent))
    return _close(source, sorted(hits.items()))


def _close(source: bytes, hits: list[tuple[int, tuple[str, str, int]]]) -> list[Found]:
    """Give every definition its end: the next one indented no deeper, or the end of the file."""
    ends = [len(source)] * len(hits)
    open_: list[int] = []
    for i, (start, (_, _, indent)) in enumerate(hits):
        while open_ and hits[open_[-1]][1][2] >= indent:
            ends[open_.pop()] = start
        open_.append(i)
    found = []
    for (start, (name, kind, _)), end in zip(hits, ends, strict=True):
        text = source[start:end].rstrip()
        first = text.split(b"\n", 1)[0].partition(b"{")[0]
        found.append(Found(name, kind, start, start + len(text), signature(first, kind)))
    return found
