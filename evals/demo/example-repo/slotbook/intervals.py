"""Half-open spans of minutes since midnight, and what can be done with a list of them."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Span:
    """From `start` up to, not including, `end`."""

    start: int
    end: int

    def __post_init__(self):
        if self.end <= self.start:
            raise ValueError(f"empty span: {self.start}-{self.end}")

    @property
    def minutes(self):
        return self.end - self.start

    def overlaps(self, other):
        return self.start < other.end and other.start < self.end


def merge(spans):
    """Join spans that overlap or touch; the result is sorted."""
    merged = []
    for span in sorted(spans):
        if merged and span.start <= merged[-1].end:
            last = merged.pop()
            span = Span(last.start, max(last.end, span.end))
        merged.append(span)
    return merged


def gaps(spans, within):
    """The free spans inside `within`, in order."""
    free = []
    cursor = within.start
    for span in merge(spans):
        if span.end <= within.start or span.start >= within.end:
            continue
        if span.start > cursor:
            free.append(Span(cursor, span.start))
        cursor = span.end
    if cursor < within.end:
        free.append(Span(cursor, within.end))
    return free


def total(spans):
    """Minutes covered, overlaps counted once."""
    return sum(span.minutes for span in merge(spans))
