import pytest

from slotbook import Book


@pytest.fixture
def book():
    book = Book("08:00-12:00")
    book.add("standup", "08:30-09:00")
    book.add("review", "10:00-11:15")
    return book


def test_free(book):
    assert book.free() == ["08:00-08:30", "09:00-10:00", "11:15-12:00"]


def test_free_leaves_out_short_gaps(book):
    assert book.free(40) == ["09:00-10:00", "11:15-12:00"]


def test_first_free(book):
    assert book.first_free(45) == "09:00-09:45"
    assert book.first_free(61) is None


def test_taken(book):
    with pytest.raises(ValueError, match="taken by review"):
        book.add("retro", "11:00-11:30")


def test_back_to_back_is_fine(book):
    book.add("retro", "09:00-10:00")
    assert book.agenda()[1] == "09:00-10:00 retro"


def test_cancel(book):
    book.cancel("review")
    assert book.free(60) == ["09:00-12:00"]


def test_utilisation(book):
    assert book.utilisation() == pytest.approx(105 / 240)
