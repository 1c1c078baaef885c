"""What a run looks like: golden files at 80 columns, nothing by colour alone, nothing unclean."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from runpy import run_path

import pytest
from rich.console import Console

from agent import events as ev
from agent.cli.common import usd
from agent.cli.diffs import changed, diff_text
from agent.cli.lines import lines, seconds
from agent.cli.live import LiveStatus
from agent.cli.render import NoStatus, Renderer, status_for
from agent.cli.tally import Tally
from agent.sanitize import forbidden

HERE = Path(__file__).parent
SCRIPT = run_path(str(HERE / "script.py"))


def shown(events: Iterable[ev.Event], *, colour: bool = False, width: int = 80) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )
    with Renderer(console, NoStatus()) as view:
        for event in events:
            view.show(event)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize("name", ["VERIFIED", "UNSOLVED"])
def test_the_transcript_is_as_recorded(name: str) -> None:
    golden = HERE / "golden" / f"{name.lower()}.txt"
    text = shown(SCRIPT[name])
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()
    assert max(len(row) for row in text.splitlines()) <= 80


def test_colour_adds_nothing_but_colour() -> None:
    import re

    coloured = shown(SCRIPT["VERIFIED"], colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == shown(SCRIPT["VERIFIED"])


def test_untrusted_text_is_cleaned_everywhere() -> None:
    """Every string of every event is replaced by a hostile one; none of it reaches the output."""
    from dataclasses import fields, is_dataclass, replace
    from typing import Any

    hostile = "x\x1b]52;c;aGk=\x07\u202e\x9b2Jy[bold]z[/bold]"
    literal = {"status", "purpose", "kind", "name", "level", "verdict", "goal", "location",
               "stopped", "error"}  # fmt: skip

    def poison(value: Any, name: str = "") -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            changes = {f.name: poison(getattr(value, f.name), f.name) for f in fields(value)}
            return replace(value, **changes)
        if isinstance(value, tuple):
            return tuple(poison(v) for v in value)
        if isinstance(value, Path):
            return Path("/tmp") / hostile.replace("/", "")
        if isinstance(value, str) and name not in literal:
            return hostile
        return value

    for event in (*SCRIPT["VERIFIED"], *SCRIPT["UNSOLVED"]):
        text = shown([poison(event)])
        assert not forbidden(text), event
    text = shown([poison(SCRIPT["END"])])
    assert "[bold]z[/bold]" in text  # control: the hostile text is there, as plain text


def test_a_row_of_refusals_is_shortened() -> None:
    refused = ev.EditRefused(step_id="1", error="NoMatch", message="no such text\n> code")
    text = shown([*[refused] * 7, ev.Notice(message="next"), refused])
    assert text.count("refused (NoMatch): no such text") == 3
    assert "… and 5 more refused" in text
    assert "> code" not in text


def test_every_event_can_be_shown_alone() -> None:
    for event in SCRIPT["VERIFIED"]:
        shown([event])
        list(lines(event))


def test_the_tally_adds_up() -> None:
    tally = Tally()
    for event in SCRIPT["VERIFIED"]:
        tally.add(event)
    assert tally.tokens_by_location == {"frontier": 3_440, "local": 2_280}
    assert tally.requests == 2
    assert tally.decoding.by_strategy == {"combined": 180}
    assert tally.before is not None
    assert tally.after is not None
    assert (tally.before.passed, tally.after.passed) == (123, 124)


def test_the_live_line_shows_stage_bar_and_money() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    status = LiveStatus(console)
    status.start()
    try:
        for event in SCRIPT["VERIFIED"][:-1]:
            status.show(event)
        status.show(ev.Progress(phase="verify", done=3, total=10))
        status.show(ev.TextDelta(step_id="1", text="tail \x1b]0;t\x07of text"))
        with console.capture() as captured:
            console.print(status._render())
    finally:
        status.stop()
    text = captured.get()
    assert "verify" in text
    assert "3/10" in text
    assert "$0.0312" in text
    assert "of $2.00" in text
    assert "\x1b]0" not in text


def test_no_status_line_in_a_pipe_or_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(status_for(Console(file=io.StringIO())), NoStatus)
    assert isinstance(status_for(Console(file=io.StringIO(), force_terminal=True)), LiveStatus)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(status_for(Console(file=io.StringIO(), force_terminal=True)), NoStatus)


def test_changed_counts_lines_that_look_like_headers() -> None:
    diff = "--- a/q.sql\n+++ b/q.sql\n@@ -1,3 +1,2 @@\n--- old comment\n x\n-y\n+++z\n"
    assert changed(diff) == (("q.sql", 1, 2),)
    new = "--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n"
    gone = "--- a/old.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    assert changed(new + gone) == (("new.py", 1, 0), ("old.py", 0, 1))


def test_a_long_diff_is_cut_and_says_so() -> None:
    text = diff_text("\n".join(f"+{n}" for n in range(50)), limit=10).plain
    assert text.count("\n") == 10
    assert "40 more lines" in text


@pytest.mark.parametrize(
    ("micro", "text"),
    [(None, "unknown"), (0, "$0.00"), (42, "$0.000042"), (9_990, "$0.00999"), (31_250, "$0.0312"),
     (2_000_000, "$2.00"), (1_234_560_000, "$1,234.56")],
)  # fmt: skip
def test_money(micro: int | None, text: str) -> None:
    assert usd(micro) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.04, "0.0 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s")]
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text
