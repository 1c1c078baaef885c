"""Which candidates there are to choose from: a bounded stream over the likeliest files."""

from collections.abc import Iterator, Sequence
from itertools import islice

from tools.types import Candidate, FileReader, Suspect

__all__ = ["TURNS", "stream", "suspicious_files"]

TURNS = (6, 2, 1)
"""Candidates per turn of the first, second and third most suspicious file; no further files: Ochiai
puts the guilty one among the first three nearly always."""


def suspicious_files(suspects: Sequence[Suspect]) -> tuple[str, ...]:
    """The Python files candidates are made for, most suspicious first."""
    paths = dict.fromkeys(s.path for s in suspects if s.path.endswith(".py"))
    return tuple(paths)[: len(TURNS)]


def stream(read: FileReader, suspects: Sequence[Suspect], *, limit: int) -> Iterator[Candidate]:
    """At most `limit` candidates, lazily, each file's in the enumerator's own order.

    Files take turns, the most suspicious with the most to say: a re-sort by tier would let the
    cheap edits of unlikely lines crowd out the rarer edits of the likeliest one.
    """
    return islice(_turns(read, suspects, limit), limit)


def _turns(read: FileReader, suspects: Sequence[Suspect], limit: int) -> Iterator[Candidate]:
    from tools.enumerate import candidates

    streams: list[tuple[int, Iterator[Candidate]]] = []
    for path, turn in zip(suspicious_files(suspects), TURNS, strict=False):
        source = read(path)
        if source is not None:
            here = [s for s in suspects if s.path == path]
            streams.append((turn, candidates(source, path, here, limit=limit)))
    while streams:
        for turn, one in list(streams):
            some = list(islice(one, turn))
            yield from some
            if len(some) < turn:
                streams.remove((turn, one))
