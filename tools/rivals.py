"""Which plausible repairs say the same, and which ones compete.

Two candidates are synonyms when their files have the same normal form (`not a == b`, `a != b`;
`a >= b`, `a > b - 1`: these differ for fractions alone, and the plain comparison comes first).
Everything else that passes the same tests is a rival: only a person, a model or one more test can
decide between them.
"""

from collections.abc import Callable, Iterator, Sequence

from tools.enumerate import apply
from tools.enumerate.normal import whole_number_form
from tools.types import Candidate

__all__ = ["group", "near"]


def group(
    candidates: Sequence[Candidate], read: Callable[[str], bytes | None]
) -> tuple[tuple[Candidate, ...], ...]:
    """Candidates by meaning, in order of their first members, the plainest of each group first.

    `read` gives the unedited files.
    """
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        content = apply(read(candidate.path) or b"", candidate)
        key = f"{candidate.path}\0{whole_number_form(content)}"
        groups.setdefault(key, []).append(candidate)
    return tuple(
        tuple(sorted(g, key=lambda c: c.operator != "comparison")) for g in groups.values()
    )


def near(order: Sequence[Candidate], one: Candidate) -> Iterator[Candidate]:
    """Candidates that could be rivals of `one`: of its line, or no dearer anywhere."""
    for other in order:
        if other.tier <= one.tier or (other.path, other.line) == (one.path, one.line):
            yield other
