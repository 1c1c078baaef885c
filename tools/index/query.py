"""What a question asks for: weighted search words, names, files and trace frames it mentions."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from tools.index.words import STOP, stem, subwords

__all__ = ["Near", "Query", "parse"]

_TITLE_WEIGHT = 3.0
_MAX_TEXT = 60_000
_MAX_WORDS = 64
"""Search words kept, heaviest first: an issue of a megabyte costs what one of a page costs."""

_TOKEN = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|::|#)[A-Za-z_][\w]*)*")
_FILE = re.compile(r"(?:[\w.@+-]+[/\\])*[\w@+-][\w.@+-]*\.[A-Za-z]\w{0,4}\b")
_FRAME = re.compile(r'File "([^"\n]+)", line (\d+)(?:, in (\S+))?')
_PLACE = re.compile(r"((?:[\w.@+-]+/)*[\w@+-][\w.@+-]*\.[A-Za-z]\w{0,4}):(\d+)")
_TICKED = re.compile(r"`([^`\n]{2,80})`")
_RUN = re.compile(r"[\w.@+/\\:-]{200,}")
_URL = re.compile(r"https?://\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A parsed question."""

    words: tuple[tuple[str, float], ...]
    """Stemmed search words with weights, heaviest first."""
    names: tuple[tuple[str, float], ...]
    """Identifiers as written, dotted or not, with weights: things that look like code."""
    plain: frozenset[str]
    """Every whole word as written, for names that are plain words."""
    files: tuple[str, ...]
    """Paths, or ends of paths, as written."""
    frames: tuple[tuple[str, int, str], ...]
    """(path, line, function) of traceback entries and `path:line` mentions, outermost first."""
    wants_tests: bool
    near: "tuple[Near, ...]" = ()
    """Words that stand in for others; see `tools.index.near`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A word that occurs nowhere, and one that does and is spelt nearly like it."""

    asked: str
    """As the question has it."""
    found: str
    """As the code has it, or its stem and `…`."""
    word: str
    """The search word."""


def parse(text: str) -> Query:
    """Title (the first line) three times the weight of the rest; links do not count."""
    # Long runs are data, and would cost the patterns below the square of their length.
    text = _URL.sub(" ", _RUN.sub(" ", text[:_MAX_TEXT].strip()))
    title, _, body = text.partition("\n")
    words: defaultdict[str, float] = defaultdict(float)
    names: dict[str, float] = {}
    plain: set[str] = set()
    for part, weight in ((title, _TITLE_WEIGHT), (body, 1.0)):
        ticked = {m[1].strip("() .") for m in _TICKED.finditer(part)}
        tally = Counter(_TOKEN.findall(part))
        for token, n in tally.items():
            # The third mention of a word in one text says little more than the second.
            worth = weight * min(n, 3) ** 0.5
            plain.update(re.split(r"\W+", token))
            if _is_code(token) or token in ticked:
                names[token] = max(names.get(token, 0.0), worth)
            for word in subwords(token):
                if len(word) > 1 and word not in _STOPPED:
                    words[word] += worth
    return Query(
        words=tuple(sorted(words.items(), key=lambda w: (-w[1], w[0]))[:_MAX_WORDS]),
        names=tuple(sorted(names.items(), key=lambda n: (-n[1], n[0]))[:_MAX_WORDS]),
        plain=frozenset(w for w in plain if len(w) > 2 and w.lower() not in STOP),
        files=tuple(dict.fromkeys(m.replace("\\", "/") for m in _FILE.findall(text)))[:40],
        frames=_frames(text),
        wants_tests=bool(re.search(r"\btests?\b", title, re.I)),
    )


_STOPPED = STOP | {stem(w) for w in STOP}


def _is_code(token: str) -> bool:
    """Written as people write names, not words."""
    if "." in token or "::" in token or "#" in token or "_" in token.strip("_") or "$" in token:
        return True
    if token.startswith("_") and len(token) > 2:
        return True
    return re.search(r"[a-z\d][A-Z]|[A-Z]{2}[a-z]", token) is not None


def _frames(text: str) -> tuple[tuple[str, int, str], ...]:
    frames = [(m[1].replace("\\", "/"), int(m[2]), m[3] or "") for m in _FRAME.finditer(text)]
    places = [(m[1], int(m[2]), "") for m in _PLACE.finditer(text)]
    return tuple((p, n, f) for p, n, f in frames + places if n < 10_000_000)[:60]
