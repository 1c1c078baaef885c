"""What stands near a change that a model wrote: the changes it must be told apart from.

The enumerated search tries everything within one edit, so that a repair alone in it is alone among
many. A model's handful of proposals is no such crowd: that one of them satisfies the tests says
little. So the crowd is made around it: the lines it wrote with one part exchanged or taken out, and
one edit of the lines it replaced. What satisfies the same tests and behaves differently is a rival.

Edits that add to the proposal are none of the crowd: of `return high`, which is right, `return
int(high)` and 32 guards in front of it satisfied the tests as well, and always will.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from agent.changes import as_candidate
from agent.ranker.tokens import tokens
from tools.enumerate import apply, candidates
from tools.types import Candidate, FileChange, FileReader, Patch, Suspect

__all__ = ["MOST", "around"]

MOST = 120
"""Changes made around one, the cheapest kinds of edit first."""
LOOKED_AT = 400
OPERATOR = "near"


def around(
    candidate: Candidate, read: FileReader, known: Callable[[Candidate], bool]
) -> tuple[Candidate, ...]:
    """Changes of the unedited file near `candidate`; without those that are `known`.

    `read` gives the unedited file. All have tier 0: each of them counts as a rival.
    """
    source = read(candidate.path)
    if source is None:
        return ()
    found: dict[tuple[int, int, str], Candidate] = {}
    for other in (*_further(candidate, source), *_instead(candidate, source)):
        found.setdefault((other.line, other.end_line, other.after), other)
    return tuple(islice((c for c in found.values() if not known(c)), MOST))


def _further(candidate: Candidate, source: bytes) -> Iterator[Candidate]:
    """The change with one part of its own lines exchanged or taken out, as a change of the
    unedited file."""
    try:
        changed = apply(source, candidate)
    except (ValueError, SyntaxError):
        return
    last = candidate.line + max(len(candidate.after.splitlines()), 1) - 1
    places = _suspects(candidate.path, range(candidate.line, last + 1))
    for edit in candidates(changed, candidate.path, places, limit=LOOKED_AT):
        inside = candidate.line <= edit.line and edit.end_line <= last
        if not inside or len(tokens(edit.after)) > len(tokens(edit.before)):
            continue
        after = apply(changed, edit)
        if after == source:
            continue
        change = FileChange(path=candidate.path, before=source, after=after)
        both = as_candidate(
            Patch(changes=(change,)),
            operator=OPERATOR,
            tier=0,
            suspicion=candidate.suspicion,
        )
        if both is not None:
            yield both


def _instead(candidate: Candidate, source: bytes) -> Iterator[Candidate]:
    """Single edits of the lines the change replaces."""
    places = _suspects(candidate.path, range(candidate.line, candidate.end_line + 1))
    for edit in candidates(source, candidate.path, places, limit=MOST):
        yield replace(edit, operator=OPERATOR, tier=0, suspicion=candidate.suspicion)


def _suspects(path: str, lines: range) -> tuple[Suspect, ...]:
    return tuple(Suspect(path=path, line=n, symbol=None, score=1.0) for n in lines)
