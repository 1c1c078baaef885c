"""Which plausible repairs say the same, and which ones compete.

Two candidates are synonyms when their files have the same normal form (`not a == b`, `a != b`;
`a >= b`, `a > b - 1`: these differ for fractions alone, and the plain comparison comes first).
Everything else that passes the same tests is a rival: only a person, a model or one more test can
decide between them.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from tools.enumerate import apply
from tools.enumerate.normal import whole_number_form
from tools.types import Candidate

__all__ = ["UNTRIED", "group", "near", "settled", "untried"]

UNTRIED = 0.02
"""Share of the probability that may be left on candidates which nobody tried. By `python -m
training.ranker`, of packages it was not trained on; see the table in agent/ranker/README.md."""


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


def untried(
    order: Sequence[Candidate],
    tried: Collection[Candidate],
    found: Sequence[Candidate],
    weights: Mapping[Candidate, float],
) -> float:
    """Of what may still be the repair (the found ones and those not tried), the untried share."""
    left = sum(weights.get(c, 0.0) for c in order if c not in tried)
    have = sum(weights.get(c, 0.0) for c in found)
    return left / (left + have) if left + have > 0 else 1.0


def settled(
    order: Sequence[Candidate],
    tried: Collection[Candidate],
    found: Sequence[Candidate],
    weights: Mapping[Candidate, float],
) -> bool:
    """Whether what could be a rival of the found ones was tried.

    Everything near the first; or, where probabilities are known, all of the first's line that is
    no dearer than it, and all but `UNTRIED` of the probability.
    """
    if not found:
        return False
    one = found[0]
    if not weights:
        return all(c in tried for c in near(order, one))
    line = (one.path, one.line)
    beside = (c for c in order if c.tier <= one.tier and (c.path, c.line) == line)
    few = untried(order, tried, found, weights) <= UNTRIED
    return few and all(c in tried for c in beside)
