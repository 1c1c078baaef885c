"""The one sanitiser between untrusted text and any terminal, widget, Rich text or log line.

Issue text, file names, test output, diffs and model answers may carry control sequences that set
the clipboard (OSC 52), move the cursor over an approval prompt, or reorder what is read (bidi).
`clean` leaves nothing of the kind: each such thing becomes a visible mark, colour codes go away.
Interpreting Rich markup is prevented by `plain`, which builds a Text and never parses.

    clean("a\\x1b]52;c;aGk=\\x07b")  ->  "a␛b"
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["bounded", "clean", "forbidden", "one_line", "plain"]

# CSI … final byte; SGR (ends in `m`) is only colour and leaves no mark.
_SGR = re.compile(r"(?:\x1b\[|\x9b)[0-9;:]*m")
_CSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")
# OSC, DCS, SOS, PM, APC up to their terminator. Bounded and on one line: an unterminated one must
# not hide the rest of the text, so then only its first character is marked.
_STRING = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x1b\x07\x9c\n]{0,4096}(?:\x07|\x1b\\|\x9c)"
)
_TWO = re.compile(r"\x1b[ -/]*[0-~]")

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_INVISIBLE = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f"
    "\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
_NAMED = re.compile(f"[{_BIDI}{_INVISIBLE}]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# Zero-width (non-)joiners belong to emoji and several scripts; beside ASCII they only deceive.
_JOINER = re.compile("[\u200c\u200d]")
_FORBIDDEN = re.compile(f"{_NAMED.pattern}|{_CONTROL.pattern}")


def forbidden(text: str) -> bool:
    """Whether `text` holds a code point that `clean` never lets through."""
    return _FORBIDDEN.search(text) is not None


def clean(text: str) -> str:
    r"""`text` safe to show: keeps `\n` and `\t`, marks everything else that is not content."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    text = _SGR.sub("", text)
    for sequence in (_STRING, _CSI, _TWO):
        text = sequence.sub("\u241b", text)
    text = _CONTROL.sub(_picture, text)
    text = _JOINER.sub(_joiner, text)
    return _NAMED.sub(_named, text)


def one_line(text: str, width: int = 200) -> str:
    """`text` on one line of at most `width` characters; the cut is marked with `…`."""
    flat = " ".join(clean(text[: width * 8]).split())
    return flat if len(flat) <= width else flat[: max(width - 1, 0)] + "…"


def bounded(text: str, *, lines: int, width: int) -> str:
    """At most `lines` lines of at most `width` characters; what is left out is counted."""
    rows = clean(text).split("\n")
    kept = [row if len(row) <= width else row[: width - 1] + "…" for row in rows[:lines]]
    if len(rows) > lines:
        kept.append(f"… {len(rows) - lines} more lines")
    return "\n".join(kept)


def plain(text: str, style: str = "") -> "Text":
    """A Rich Text of the cleaned text. Square brackets in it are never read as markup."""
    from rich.text import Text

    return Text(clean(text), style=style)


def _picture(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def _named(match: re.Match[str]) -> str:
    return f"⟨U+{ord(match.group()):04X}⟩"


def _joiner(match: re.Match[str]) -> str:
    start, end = match.span()
    around = match.string[max(start - 1, 0) : start] + match.string[end : end + 1]
    if len(around) == 2 and not any(c.isascii() for c in around):
        return match.group()
    return _named(match)
