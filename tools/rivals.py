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

__all__ = ["UNTRIED", "group", "missing", "near", "untried"]

UNTRIED = 0.02
"""Share of the probability that may be left on candidates which nobody tried. By `python -m
training.ranker`, of packages it was not trained on; see the table in agent/ranker/README.md."""

LEAST = 400
"""Candidates, by their order, among which all near ones are tried however short the search is."""
AS_LIKELY = 0.25
"""No candidate that is so much as this part as likely as the found one is left untried."""


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


def missing(
    order: Sequence[Candidate],
    tried: Collection[Candidate],
    found: Sequence[Candidate],
    weights: Mapping[Candidate, float],
    most: int,
) -> frozenset[Candidate]:
    """What has yet to be tried before no rival of the found ones is to be expected.

    Everything near the first found one; or, where probabilities are known, the smaller of two sets:
    what is near among the `most` that are first in order, or what is no dearer on its line and as
    many of the likeliest as leave `UNTRIED` of the probability. A small `most` makes a search
    short, not a proof easier: at least `LEAST` are looked at.
    """
    if not found:
        return frozenset(order) - frozenset(tried)
    one, line = found[0], (found[0].path, found[0].line)
    first = order[: max(most, LEAST)] if weights else order
    around = {c for c in near(first, one) if c not in tried}
    if not weights:
        return frozenset(around)
    floor = AS_LIKELY * weights.get(one, 0.0)
    around |= {c for c in order if c not in tried and weights.get(c, 0.0) >= max(floor, 1e-12)}
    left = sorted((c for c in order if c not in tried), key=lambda c: -weights.get(c, 0.0))
    mass = sum(weights.get(c, 0.0) for c in left)
    bound = UNTRIED / (1 - UNTRIED) * sum(weights.get(c, 0.0) for c in found)
    likely = {c for c in left if c.tier <= one.tier and (c.path, c.line) == line}
    for candidate in left:
        if mass <= bound or len(likely) >= len(around):
            break
        likely.add(candidate)
        mass -= weights.get(candidate, 0.0)
    return frozenset(likely if len(likely) < len(around) else around)
