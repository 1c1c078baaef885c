"""Which plausible repairs say the same, and which ones compete.

Two candidates are synonyms when their files have the same normal form (`not a == b`, `a != b`).
Everything else that passes the same tests is a rival: only a person, a model or one more test can
decide between them.
"""

from collections.abc import Callable, Iterator, Sequence

from tools.enumerate import apply, normal_form
from tools.types import Candidate

__all__ = ["group", "near"]


def group(
    candidates: Sequence[Candidate], read: Callable[[str], bytes | None]
) -> tuple[tuple[Candidate, ...], ...]:
    """Candidates by meaning, in order of their first members. `read` gives the unedited files."""
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        key = f"{candidate.path}\0{normal_form(apply(read(candidate.path) or b'', candidate))}"
        groups.setdefault(key, []).append(candidate)
    return tuple(tuple(g) for g in groups.values())


def near(order: Sequence[Candidate], one: Candidate) -> Iterator[Candidate]:
    """Candidates that could be rivals of `one`: of its line, or no dearer anywhere."""
    for other in order:
        if other.tier <= one.tier or (other.path, other.line) == (one.path, one.line):
            yield other
