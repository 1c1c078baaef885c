"""Book a room by the minute: parse times, merge bookings, find free slots."""

from slotbook.book import Book
from slotbook.clock import format_clock, parse_clock, parse_span
from slotbook.intervals import Span, gaps, merge, total

__all__ = ["Book", "Span", "format_clock", "gaps", "merge", "parse_clock", "parse_span", "total"]
