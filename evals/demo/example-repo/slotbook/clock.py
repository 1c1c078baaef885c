"""Text to minutes and back."""

import re

from slotbook.intervals import Span

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})\Z")


def parse_clock(text):
    """`"09:30"` to 570. Midnight at the end of the day is `"24:00"`."""
    match = _CLOCK.match(text.strip())
    if match is None:
        raise ValueError(f"not a time: {text!r}")
    hours, minutes = int(match[1]), int(match[2])
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):
        raise ValueError(f"not a time: {text!r}")
    return hours * 60 + minutes


def format_clock(minutes):
    """570 to `"09:30"`."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def parse_span(text):
    """`"09:00-10:30"` to a Span."""
    start, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f"not a span: {text!r}")
    return Span(parse_clock(start), parse_clock(end))
