"""Nothing that steers a terminal or reorders text gets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sanitize import bounded, clean, forbidden, one_line, plain

NASTY = st.sampled_from(
    ["\x1b]52;c;aGk=\x07", "\x1b[2J", "\x9b31m", "\x1b[31m", "\u202e", "\u200b", "\r", "\x00",
     "\ud800", "\U000e0041", "\x1b", "\u200d", "\x1bP", "\x1b\\", "\u2028", "[bold]", "\x9d", "m"]
)  # fmt: skip
TEXT = st.lists(NASTY | st.text(max_size=5), max_size=12).map("".join)


@given(TEXT)
def test_the_output_holds_no_forbidden_code_point(text: str) -> None:
    safe = clean(text)
    assert not forbidden(safe)
    assert "\x1b" not in safe
    assert clean(safe) == safe
    safe.encode()


@given(TEXT)
def test_one_line_is_one_line(text: str) -> None:
    line = one_line(text, 20)
    assert len(line) <= 20
    assert "\n" not in line
    assert not forbidden(line)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.sampled_from("\n\t")))
def test_plain_ascii_is_left_alone(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b]52;c;aGk=\x07b", "a␛b"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "a␛link␛"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2Jgone", "␛gone"),
        ("\x1b]0;never ends, text stays", "␛0;never ends, text stays"),
        ("over\rwrite", "over␍write"),
        ("dos\r\nline", "dos\nline"),
        ("if x\u202e)", "if x⟨U+202E⟩)"),
        ("pass\u200bword", "pass⟨U+200B⟩word"),
        ("ad\u200dmin", "ad⟨U+200D⟩min"),
        ("👩\u200d💻 é ß 漢字", "👩\u200d💻 é ß 漢字"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("bad\udc80byte", "bad\ufffdbyte"),
    ],
)
def test_what_is_shown_instead(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_markup_is_text() -> None:
    assert plain("[bold red]not markup[/]").plain == "[bold red]not markup[/]"
    assert plain("[link=http://x]y[/link]").spans == []


def test_bounded_counts_what_it_leaves_out() -> None:
    assert bounded("one\ntwo\nthree\nfour", lines=2, width=3) == "one\ntwo\n… 2 more lines"
    assert bounded("longer line", lines=2, width=6) == "longe…"
