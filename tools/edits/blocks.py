"""Reads search/replace blocks out of an answer, however a model dresses them up."""

import json
import re
from dataclasses import dataclass

from tools.errors import UnparseableEdit

__all__ = ["EXAMPLE", "Block", "blocks"]

EXAMPLE = (
    "Write each edit as:\npath/to/file.py\n<<<<<<< SEARCH\nlines as they are\n=======\n"
    "lines as they should be\n>>>>>>> REPLACE"
)
_SEARCH = re.compile(r"\s*<{5,9}\s*SEARCH\b>?\s*(.*?)\s*")
_DIVIDER = re.compile(r"={5,9}\s*")
_REPLACE = re.compile(r"\s*>{5,9}\s*REPLACE\b.*")
_FENCE = re.compile(r"\s*(```|~~~)\s*([\w+-]*)\s*(.*?)\s*")
_LABEL = re.compile(r"(?i)(?:file(?:\s*name|\s*path)?|path)\s*:\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One edit. `readings` are the ways to part it at a `=======` line, the likeliest first: the
    code itself may hold such lines."""

    path: str
    readings: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


def blocks(answer: str) -> tuple[Block, ...]:
    """All blocks in order. A block without a path is about the file of the one before it.

    Raises UnparseableEdit if there is none, or one is cut off.
    """
    lines = answer.replace("\r\n", "\n").split("\n")
    found: list[Block] = []
    at = end = 0
    while at < len(lines):
        match = _SEARCH.fullmatch(lines[at])
        if match is None:
            at += 1
            continue
        path = _cleaned(match[1]) or _path_above(lines, at, end)
        path = path or (found[-1].path if found else None)
        if path is None:
            raise UnparseableEdit(f"There is no file path above the SEARCH line. {EXAMPLE}")
        stop = next((i for i in range(at + 1, len(lines)) if _REPLACE.fullmatch(lines[i])), None)
        if stop is None:
            raise UnparseableEdit(
                f"The edit of {path} has no `>>>>>>> REPLACE` line: the answer is cut off."
            )
        found.append(Block(path=path, readings=_readings(lines[at + 1 : stop], path)))
        at = end = stop + 1
    if not found:
        raise UnparseableEdit(f"There is no search/replace block in the answer. {EXAMPLE}")
    return tuple(found)


def _readings(body: list[str], path: str) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    dividers = [i for i, line in enumerate(body) if _DIVIDER.fullmatch(line)]
    if not dividers:
        raise UnparseableEdit(f"The edit of {path} has no `=======` line. {EXAMPLE}")
    nested = next((line for line in body if _SEARCH.fullmatch(line)), None)
    if nested is not None:
        raise UnparseableEdit(f"The edit of {path} has a SEARCH line inside another block.")
    dividers.sort(key=lambda i: body[i].rstrip() != "=======")
    return tuple((tuple(body[:i]), tuple(body[i + 1 :])) for i in dividers)


def _path_above(lines: list[str], at: int, floor: int) -> str | None:
    """The nearest line that reads as a path, up to three lines up, fences aside."""
    looked = 0
    for i in range(at - 1, floor - 1, -1):
        fence = _FENCE.fullmatch(lines[i])
        text = fence[3] or (fence[2] if _is_path(fence[2]) else "") if fence else lines[i]
        path = _cleaned(text)
        if path and (_is_path(path) or not fence):
            return path
        if text.strip():
            looked += 1
        if looked >= 3:
            break
    return None


def _is_path(text: str) -> bool:
    return "/" in text or re.search(r"\.\w+$", text) is not None


def _cleaned(text: str) -> str | None:
    """A path without Markdown, labels and prefixes. A JSON string is taken as it is."""
    text = text.strip()
    if text.startswith('"') and text.endswith('"') and len(text) > 2:
        try:
            return str(json.loads(text)) or None
        except ValueError:
            pass
    text = text.strip("*#` \t'\"")
    text = _LABEL.sub("", text, count=1)
    text = text.strip("*` \t'\"").removesuffix(":").strip("*` \t'\"")
    while text.startswith("./"):
        text = text[2:]
    return text or None
