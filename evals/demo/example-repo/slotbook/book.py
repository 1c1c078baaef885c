"""One room, one day."""

from slotbook.clock import format_clock, parse_span
from slotbook.intervals import Span, gaps, total


class Book:
    """Bookings of one room within its opening hours."""

    def __init__(self, opening="08:00-18:00"):
        self.opening = parse_span(opening)
        self._bookings = {}

    def add(self, name, text):
        """Book a span such as `"09:00-10:30"`; names are unique."""
        span = parse_span(text)
        if span.start < self.opening.start or span.end > self.opening.end:
            raise ValueError(f"outside opening hours: {text}")
        if name in self._bookings:
            raise ValueError(f"already booked: {name}")
        for other, taken in self._bookings.items():
            if taken.overlaps(span):
                raise ValueError(f"{text} is taken by {other}")
        self._bookings[name] = span

    def cancel(self, name):
        del self._bookings[name]

    def free(self, minutes=1):
        """Free spans of at least `minutes`, as text, in order."""
        found = gaps(self._bookings.values(), self.opening)
        return [self._text(span) for span in found if span.minutes > minutes]

    def first_free(self, minutes):
        """The earliest span of exactly `minutes`, or None when the day is full."""
        for span in gaps(self._bookings.values(), self.opening):
            if span.minutes >= minutes:
                return self._text(Span(span.start, span.start + minutes))
        return None

    def utilisation(self):
        """Booked share of the opening hours, 0 to 1."""
        return total(self._bookings.values()) / self.opening.minutes

    def agenda(self):
        """One line per booking, by time."""
        rows = sorted(self._bookings.items(), key=lambda row: row[1])
        return [f"{self._text(span)} {name}" for name, span in rows]

    @staticmethod
    def _text(span):
        return f"{format_clock(span.start)}-{format_clock(span.end)}"
