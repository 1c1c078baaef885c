"""Marks around data, so that a model can tell it from what it was asked.

A file, a test or a web page may say "ignore your instructions". What tools give is put between
marks whose name is a keyed hash: text of the repository cannot close them, since it cannot know it.
"""

import hashlib
import hmac
import re

from agent.sanitize import clean, forbidden

__all__ = ["bounded", "fenced", "unmarked", "visible"]

_MARK = re.compile(r"</?data-[0-9a-f]{10}\b")


def fenced(text: str, *, key: str, name: str, about: str) -> str:
    """`text` between marks made from the conversation's key and the call's name."""
    digest = hmac.new(key.encode(), name.encode("utf-8", "surrogatepass"), hashlib.sha256)
    mark = f"data-{digest.hexdigest()[:10]}"
    head = " ".join(clean(about).replace(">", "›").split())  # a file's name may be hostile too
    body = text if text.endswith("\n") or not text else f"{text}\n"
    return f"<{mark} {head}>\n{body}</{mark}>"


def unmarked(text: str) -> str:
    """Without what differs from call to call: equal data gives equal text."""
    return _MARK.sub("", text)


def visible(text: str) -> tuple[str, str]:
    """The text with hidden and reordering characters written out, and a note if there were any.

    Instructions in invisible characters are read by models and by nobody else.
    """
    shown = clean(text)
    if shown == text.replace("\r\n", "\n") or not forbidden(text):
        return shown, ""
    return shown, " hidden-characters=written-out"


def bounded(text: str, limit: int, *, what: str = "characters") -> str:
    """The first and last part of a long text; the cut says how much is missing."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    left = len(text) - limit
    return f"{text[:head]}\n[… {left:,} {what} left out …]\n{text[-tail:]}"
