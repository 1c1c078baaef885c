import pytest

from slotbook import Span, format_clock, parse_clock, parse_span


@pytest.mark.parametrize(("text", "minutes"), [("00:00", 0), ("9:30", 570), ("24:00", 1440)])
def test_parse_clock(text, minutes):
    assert parse_clock(text) == minutes


@pytest.mark.parametrize("text", ["", "9", "9:5", "25:00", "24:01", "09:60", "9:30pm"])
def test_parse_clock_refuses(text):
    with pytest.raises(ValueError, match="not a time"):
        parse_clock(text)


def test_format_clock():
    assert format_clock(570) == "09:30"


def test_parse_span():
    assert parse_span("09:00-10:30") == Span(540, 630)
