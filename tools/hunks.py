"""The hunks of one file change: shown, accepted or rejected one by one, always byte-exact.

    hunks = split(change)
    select(change, frozenset(h.index for h in hunks)) == change
    select(change, frozenset())                          changes nothing

Lines end at `\\n` only and keep it, as in git; other bytes are carried, never interpreted.
"""

from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from tools.types import FileChange

__all__ = ["CONTEXT", "Hunk", "is_binary", "lines_of", "select", "split"]

CONTEXT = 3
"""Unchanged lines shown around a change; changes closer than twice that share a hunk."""
_SLOW = 4_000_000
"""Lines times lines beyond which difflib may skip popular lines: quadratic time otherwise."""

Opcode = tuple[str, int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """Lines `before` starting at `before_line` become `after` starting at `after_line`.

    Line numbers are 1-based; both sides include the context. `rows` is what a diff shows: a tag
    (` `, `-`, `+`) and the line's bytes. A binary change is one hunk without rows.
    """

    index: int
    before_line: int
    after_line: int
    before: tuple[bytes, ...]
    after: tuple[bytes, ...]
    rows: tuple[tuple[str, bytes], ...]


def split(change: FileChange) -> tuple[Hunk, ...]:
    """The hunks, in order; their `index` is what `select` takes.

    Creation, deletion and a change to a binary file are one hunk. No hunk: contents are equal.
    """
    if _indivisible(change):
        return (_whole(change),)
    old, new = lines_of(change.before or b""), lines_of(change.after or b"")
    groups = _groups(_opcodes(old, new))
    return tuple(_hunk(i, group, old, new) for i, group in enumerate(groups))


def select(change: FileChange, accepted: frozenset[int]) -> FileChange:
    """The same change with only the accepted hunks. With none, `after` equals `before`.

    Raises IndexError for an index that `split` did not give.
    """
    hunks = split(change)
    unknown = accepted - {h.index for h in hunks}
    if unknown:
        raise IndexError(f"{change.path} has {len(hunks)} hunks; no hunk {min(unknown)}")
    if len(accepted) == len(hunks):
        return change
    if not accepted:
        return replace(change, after=change.before, mode=None)
    old = lines_of(change.before or b"")
    result: list[bytes] = []
    at = 0
    for hunk in hunks:
        start = hunk.before_line - 1
        result += old[at:start]
        result += hunk.after if hunk.index in accepted else hunk.before
        at = start + len(hunk.before)
    return replace(change, after=b"".join(result + old[at:]))


def is_binary(data: bytes | None) -> bool:
    """Git's test: a NUL among the first 8,000 bytes."""
    return b"\0" in (data or b"")[:8000]


def lines_of(data: bytes) -> list[bytes]:
    """Lines with their `\\n`; only the last may lack it."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _indivisible(change: FileChange) -> bool:
    if change.before == change.after:
        return False
    created_or_deleted = change.before is None or change.after is None
    return created_or_deleted or is_binary(change.before) or is_binary(change.after)


def _whole(change: FileChange) -> Hunk:
    binary = is_binary(change.before) or is_binary(change.after)
    old = [] if binary else lines_of(change.before or b"")
    new = [] if binary else lines_of(change.after or b"")
    rows = tuple([("-", line) for line in old] + [("+", line) for line in new])
    return Hunk(
        index=0, before_line=1, after_line=1, before=tuple(old), after=tuple(new), rows=rows
    )


def _opcodes(old: list[bytes], new: list[bytes]) -> list[Opcode]:
    """difflib's, on what is left after the common head and tail: edits are small and local."""
    head = 0
    shortest = min(len(old), len(new))
    while head < shortest and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < shortest - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    slow = len(middle_old) * len(middle_new) > _SLOW
    matcher = SequenceMatcher(None, middle_old, middle_new, autojunk=slow)
    codes: list[Opcode] = [("equal", 0, head, 0, head)] if head else []
    for tag, a, b, c, d in matcher.get_opcodes():
        codes.append((tag, a + head, b + head, c + head, d + head))
    if tail:
        codes.append(("equal", len(old) - tail, len(old), len(new) - tail, len(new)))
    return codes


def _groups(codes: list[Opcode]) -> list[list[Opcode]]:
    """Changes with their context; an unchanged run longer than twice the context parts them."""
    groups: list[list[Opcode]] = []
    current: list[Opcode] = []
    last = len(codes) - 1
    for i, (tag, a, b, c, d) in enumerate(codes):
        if tag != "equal":
            current.append((tag, a, b, c, d))
            continue
        before = 0 if i == 0 else min(CONTEXT, b - a)
        after = 0 if i == last else min(CONTEXT, b - a)
        if current and before + after >= b - a:
            current.append((tag, a, b, c, d))
            continue
        if current:
            groups.append([*current, (tag, a, a + before, c, c + before)])
        current = [(tag, b - after, b, d - after, d)] if after else []
    if any(code[0] != "equal" for code in current):
        groups.append(current)
    return groups


def _hunk(index: int, group: list[Opcode], old: list[bytes], new: list[bytes]) -> Hunk:
    rows: list[tuple[str, bytes]] = []
    for tag, a, b, c, d in group:
        if tag == "equal":
            rows += [(" ", line) for line in old[a:b]]
        else:
            rows += [("-", line) for line in old[a:b]]
            rows += [("+", line) for line in new[c:d]]
    first, last = group[0], group[-1]
    return Hunk(
        index=index,
        before_line=first[1] + 1,
        after_line=first[3] + 1,
        before=tuple(old[first[1] : last[2]]),
        after=tuple(new[first[3] : last[4]]),
        rows=tuple(rows),
    )
