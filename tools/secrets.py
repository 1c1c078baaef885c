"""Finds secrets in text and swaps them for placeholders that can be turned back.

    redactor = Redactor(key=b"run id", values=env_values(Path(".env")))
    sent = redactor.redact(prompt)      # what leaves this machine
    answer = redactor.restore(answer)   # what we apply here

A placeholder is shaped like an identifier, so a model copies it whole even inside code.
"""

import hashlib
import hmac
import json
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Redactor", "Restorer", "Span", "env_values", "find"]

PREFIX = "POINTSMAN_SECRET_"
_DIGITS = 12
_PLACEHOLDER = re.compile(f"{PREFIX}[0-9a-f]{{{_DIGITS}}}")
_MIN_VALUE = 8
"""Shorter `.env` values (`true`, `8080`, `dev`) occur all over a code base by chance."""
_MAX_ENV_BYTES = 1 << 20

_PATTERNS: tuple[tuple[str, str], ...] = (
    (
        "pem",
        r"-----BEGIN (?P<pem>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----"
        r"[\s\S]{0,20000}?-----END (?P=pem)-----",
    ),
    ("anthropic", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    ("openai", r"\bsk-(?:proj-|svcacct-|or-v1-)?[A-Za-z0-9_-]{20,}"),
    ("aws", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("github", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})"),
    ("gitlab", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    ("slack", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("slack_hook", r"(?<=hooks\.slack\.com/services/)[A-Za-z0-9/]{20,}"),
    ("google", r"\bAIza[A-Za-z0-9_-]{35}"),
    ("stripe", r"\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("huggingface", r"\bhf_[A-Za-z0-9]{30,}"),
    ("pypi", r"\bpypi-[A-Za-z0-9_-]{50,}"),
    ("npm", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    ("bearer", r"(?i:(?<=bearer )|(?<=bearer\t))[A-Za-z0-9._~+/-]{20,}=*"),
    ("url", r"(?<=://)[^\s:/@'\"<>{}$]{1,128}:(?P<url>[^\s/@'\"<>{}$]{3,256})(?=@)"),
    (
        "assigned",
        r"(?i:(?:api[_-]?key|secret(?:[_-]?key)?|access[_-]?token|auth[_-]?token|password|passwd)"
        r"['\"]?\s{0,4}[:=]\s{0,4}['\"])(?P<assigned>[^\s'\"]{12,256})(?=['\"])",
    ),
)
_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in _PATTERNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A secret in a text: `text[start:end]`, in characters."""

    start: int
    end: int
    kind: str


def find(text: str, values: Iterable[str] = ()) -> tuple[Span, ...]:
    """Every secret in `text`: by shape, and each of `values` by value. Sorted, disjoint.

    An assignment such as `password = "…"` counts only if its value looks random: a code base is
    full of `password = "username_or_email"`.
    """
    spans: list[Span] = []
    for kind, pattern in _COMPILED:
        for match in pattern.finditer(text):
            start, end = match.span(kind) if kind in ("url", "assigned") else match.span()
            if kind != "assigned" or _random_looking(text[start:end]):
                spans.append(Span(start=start, end=end, kind=kind))
    for value in values:
        spans.extend(_occurrences(text, value))
    return _disjoint([s for s in spans if not _PLACEHOLDER.fullmatch(text[s.start : s.end])])


def _random_looking(value: str) -> bool:
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value) and "(" not in value


def _occurrences(text: str, value: str) -> list[Span]:
    if len(value) < _MIN_VALUE:
        return []
    found = (m.start() for m in re.finditer(re.escape(value), text))
    return [Span(start=at, end=at + len(value), kind="env") for at in found]


def _disjoint(spans: list[Span]) -> tuple[Span, ...]:
    """Overlapping spans merge: half a secret left over would still be a leak."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Span(start=last.start, end=max(last.end, span.end), kind=last.kind)
        else:
            merged.append(span)
    return tuple(merged)


def env_values(*paths: Path) -> tuple[str, ...]:
    """The values of `.env` files, for redaction by value. Missing or special files give none."""
    values: set[str] = set()
    for path in paths:
        try:
            info = path.stat()
            if not stat.S_ISREG(info.st_mode) or info.st_size > _MAX_ENV_BYTES:
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        values.update(_env_line(line) for line in text.splitlines())
    return tuple(sorted(v for v in values if len(v) >= _MIN_VALUE))


def _env_line(line: str) -> str:
    name, eq, value = line.strip().partition("=")
    if not eq or name.startswith("#"):
        return ""
    value = value.strip()
    if value[:1] in ("'", '"'):
        return value[1:].partition(value[0])[0]
    return value.split(" #", 1)[0].strip()


class Redactor:
    """Swaps secrets for placeholders and back.

    The same `key` and secret give the same placeholder, in any process: prompts stay cacheable
    and a resumed run can restore its recorded answers. The placeholder is a keyed hash: it says
    nothing about the secret to who does not have the key.
    """

    def __init__(self, *, key: bytes, values: Iterable[str] = ()) -> None:
        self._key = key
        self._values = tuple(values)
        self._secrets: dict[str, str] = {}

    @property
    def count(self) -> int:
        """How many different secrets have been seen."""
        return len(self._secrets)

    def redact(self, text: str) -> str:
        """`text` with every secret found in it, or seen earlier, replaced."""
        parts: list[str] = []
        at = 0
        for span in find(text, (*self._values, *self._secrets.values())):
            parts += (text[at : span.start], self._placeholder(text[span.start : span.end]))
            at = span.end
        return "".join((*parts, text[at:]))

    def hide(self, text: str) -> str:
        """Replace only what `redact` has replaced before: undone by `restore`. For records.

        Short ones stay: a password such as `app` would turn up in every other word.
        """
        for placeholder, secret in self._longest_first():
            if len(secret) >= _MIN_VALUE:
                text = text.replace(secret, placeholder)
        return text

    def hide_json(self, text: str) -> str:
        """`hide` inside JSON strings, where the secret is written escaped; see `restore_json`."""
        for placeholder, secret in self._longest_first():
            if len(secret) >= _MIN_VALUE:
                text = text.replace(json.dumps(secret)[1:-1], placeholder)
        return text

    def restore(self, text: str) -> str:
        """Placeholders of ours back to their secrets; unknown ones stay."""
        return _PLACEHOLDER.sub(lambda m: self._secrets.get(m[0], m[0]), text)

    def restore_json(self, text: str) -> str:
        """`restore` inside JSON strings: the secret is escaped as JSON wants it."""

        def swap(match: re.Match[str]) -> str:
            secret = self._secrets.get(match[0])
            return match[0] if secret is None else json.dumps(secret)[1:-1]

        return _PLACEHOLDER.sub(swap, text)

    @property
    def mapping(self) -> Mapping[str, str]:
        """Placeholder -> secret, of what has been seen. Never to be written anywhere."""
        return dict(self._secrets)

    def _placeholder(self, secret: str) -> str:
        digest = hmac.new(self._key, secret.encode("utf-8", "surrogatepass"), hashlib.sha256)
        placeholder = PREFIX + digest.hexdigest()[:_DIGITS]
        self._secrets[placeholder] = secret
        return placeholder

    def _longest_first(self) -> list[tuple[str, str]]:
        return sorted(self._secrets.items(), key=lambda item: -len(item[1]))


class Restorer:
    """Restores a streamed answer: a placeholder may be cut by the border of two pieces."""

    def __init__(self, restore: Callable[[str], str]) -> None:
        self._restore = restore
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be shown now."""
        text = self._held + piece
        cut = _open_placeholder(text)
        self._held = text[cut:]
        return self._restore(text[:cut])

    def flush(self) -> str:
        """What was still held back at the end of the stream."""
        text, self._held = self._held, ""
        return self._restore(text)


def _open_placeholder(text: str) -> int:
    """Where a placeholder begins that the end of `text` may have cut; `len(text)` if none."""
    whole = len(PREFIX) + _DIGITS
    for at in range(max(0, len(text) - whole + 1), len(text)):
        tail = text[at:]
        if PREFIX.startswith(tail[: len(PREFIX)]) and all(
            c in "0123456789abcdef" for c in tail[len(PREFIX) :]
        ):
            return at
    return len(text)
