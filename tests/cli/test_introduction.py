"""The first run on a machine says what Mini is; later ones, and other set-ups, do not."""

import re
from dataclasses import replace

import pytest

from agent import paths
from agent.cli import introduction
from agent.router import Place

MINI = Place(location="local", provider="local", model="mini", context_window=2048)


def told(capsys: pytest.CaptureFixture[str], *places: Place) -> str:
    introduction.once(places, 16_384)
    return capsys.readouterr().err


def test_it_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    first = told(capsys, MINI)
    assert "Pointsman Mini ships with the package" in first
    assert "cannot plan, talk, or write new code" in first
    assert re.search(r"agent models (pull \S+|fit)", first)
    assert told(capsys, MINI) == ""


def test_nothing_is_said_where_there_is_more_or_less_than_mini(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert told(capsys) == ""
    assert told(capsys, replace(MINI, model="qwen3.5-0.8b")) == ""
    assert told(capsys, MINI, replace(MINI, location="frontier", model="opus", paid=True)) == ""
    assert told(capsys, MINI) != ""


def test_where_nothing_can_be_written_it_is_said_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths.state_dir().parent.mkdir(parents=True, exist_ok=True)
    paths.state_dir().write_text("a file where the directory should be")
    assert told(capsys, MINI) == told(capsys, MINI) != ""
