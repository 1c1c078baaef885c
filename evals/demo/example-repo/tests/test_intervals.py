import pytest

from slotbook import Span, gaps, merge, total


def test_merge_joins_overlapping_and_touching():
    assert merge([Span(5, 7), Span(1, 3), Span(2, 4), Span(7, 9)]) == [Span(1, 4), Span(5, 9)]


def test_merge_keeps_the_longer_end():
    assert merge([Span(1, 10), Span(2, 5)]) == [Span(1, 10)]


def test_gaps():
    assert gaps([Span(2, 4), Span(6, 8)], Span(0, 10)) == [Span(0, 2), Span(4, 6), Span(8, 10)]


def test_gaps_of_a_full_day():
    assert gaps([Span(0, 10)], Span(0, 10)) == []


def test_total_counts_overlaps_once():
    assert total([Span(0, 10), Span(5, 15)]) == 15


def test_empty_span_is_refused():
    with pytest.raises(ValueError, match="empty span"):
        Span(3, 3)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (Span(0, 2), Span(2, 4), False),
        (Span(0, 3), Span(2, 4), True),
        (Span(0, 9), Span(2, 4), True),
    ],
)
def test_overlaps(a, b, expected):
    assert a.overlaps(b) is expected
    assert b.overlaps(a) is expected
