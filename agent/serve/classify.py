"""What a request shows of the text it will get, where its client says nothing about it.

Only the decoding strategy depends on it, never the answer: a wrong guess costs some speed until
measured acceptance takes over.
"""

from collections.abc import Sequence

from agent.types import DecodeHints

__all__ = ["classify"]

_SEARCH = "<<<<<<< SEARCH"
_FENCE = "```"
_COLD = 0.3
"""Temperature up to which a question that shows code is taken for an editor's, not for talk."""


def classify(
    messages: Sequence[tuple[str, str]], *, predicted: bool, temperature: float | None
) -> DecodeHints | None:
    """Hints for a request of (role, text) messages; None where it shows nothing.

    A prediction means a rewrite of a known text; search/replace markers in the instructions mean
    that form; a low temperature and fenced code in the last message mean code to be changed, begun
    with some prose. Tools and response formats need no hint: the grammar shows them.
    """
    if any(_SEARCH in text for role, text in messages if role in ("system", "user")):
        return DecodeHints(step_kind="edit", edit_format="search_replace")
    if predicted:
        return DecodeHints(step_kind="edit")
    last = next((text for role, text in reversed(messages) if role == "user"), "")
    if _FENCE in last and temperature is not None and temperature <= _COLD:
        return DecodeHints(step_kind="edit", edit_format="search_replace")
    return None
