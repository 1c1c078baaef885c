"""`agent route decisions` on what the shipped model really decided."""

import json
from pathlib import Path

import pytest

from agent import models
from agent.cli.main import main
from agent.engine.calibration import calibrate
from agent.engine.engine import Engine, Query
from agent.engine.replay import Recorder
from agent.engine.sampling import Sampling
from agent.types import DecodeHints


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("state") / "decisions.jsonl"
    mini = models.shipped()
    assert mini is not None
    engine = Engine(mini, n_ctx=512, threads=1)
    assert engine.self_test().acceptance
    costs = calibrate(engine.session)
    assert costs is not None
    engine.costs = costs
    engine.recorder = Recorder(file)
    prompt = tuple(engine.model.tokenize("for i in range(10):\n    print(", special=False))
    query = Query(prompt=prompt, sampling=Sampling(), max_tokens=48)
    for strategy in ("auto", "combined"):
        hints = DecodeHints(step_kind="edit", strategy=strategy)
        engine.answer(
            Query(
                prompt=query.prompt, sampling=query.sampling, max_tokens=48, hints=hints,
                copy_sources=("for i in range(10):\n    print(i)\n",),
            ),
            lambda _: None,
            lambda: False,
        )  # fmt: skip
    engine.close()
    return file


def test_it_shows_strategies_acceptance_and_that_deciding_again_gives_the_same(
    record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["route", "decisions", str(record), "--last", "2", "--json", "--steps"]) == 0
    auto, combined = map(json.loads, capsys.readouterr().out.splitlines())
    assert combined["arm"] == "combined"
    for one in (auto, combined):
        assert one["replayed"] is True
        assert one["tokens"] == 48
        assert one["plain_tokens_per_s"] > 0
        assert sum(s["passes"] for s in one["sources"].values()) == one["passes"]
        assert len(one["steps"]) == one["passes"] + 1
    assert any(s["accepted"] for s in combined["sources"].values() if s["drafted"])
    assert main(["route", "decisions", str(record)]) == 0
    told = capsys.readouterr().out
    assert "decided again: the same" in told
    assert "combined, edit step" in told


def test_a_record_that_is_not_what_was_decided_is_told(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = json.loads(record.read_text().splitlines()[-1])
    at = next(i for i, d in enumerate(raw["decisions"]) if d["drafts"])
    raw["decisions"][at]["gain"] += 1.0
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps(raw) + "\n")
    assert main(["route", "decisions", str(other)]) == 1
    assert "OTHER decisions" in capsys.readouterr().out
    other.write_text("{")
    assert main(["route", "decisions", str(other)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main(["route", "decisions", str(tmp_path / "none")]) == 2
    assert "record_decisions" in capsys.readouterr().err
