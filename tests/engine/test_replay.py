"""A recorded request, decided again without the model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.engine.costs import Costs
from agent.engine.engine import Engine, Query
from agent.engine.replay import Record, Recorder, read_records, replay
from agent.engine.sampling import Sampling
from agent.types import DecodeHints

CHEAP = Costs(
    verify=(0, 1, *(1 + 0.02 * n for n in range(1, 9))), mtp_row=0.05, mtp_first=0.1,
    wide=(1.3, 1.4, 1.5, 1.6, 1.7, 1.8), plain_s=0.0002,
)  # fmt: skip


def recorded(model: Path, file: Path, **hints: object) -> list[Record]:
    """Two requests in a row: the pace of the first is known to the second."""
    engine = Engine(model, n_ctx=512, threads=1)
    engine.costs = CHEAP
    engine.recorder = Recorder(file)
    prompt = tuple(engine.model.tokenize("the cat in there; for i in range(10)", special=False))
    query = Query(prompt=prompt, sampling=Sampling(), max_tokens=120)
    plain = replace(query, hints=DecodeHints(step_kind="edit", strategy="plain"))
    text = engine.answer(plain, lambda _: None, lambda: False).choices[0].text
    asked = DecodeHints(step_kind="edit", **hints)  # type: ignore[arg-type]
    edited = text[: len(text) // 2] + "#" + text[len(text) // 2 :]
    answer = engine.answer(
        replace(query, hints=asked, copy_sources=(edited,)), lambda _: None, lambda: False
    )
    engine.close()
    assert answer.choices[0].text == text
    return list(read_records(file))


@pytest.mark.parametrize("strategy", ["auto", "combined", "mtp", "copy"])
def test_replaying_gives_the_same_decisions(
    tiny_models: dict[str, Path], tmp_path: Path, strategy: str
) -> None:
    records = recorded(tiny_models["noisy"], tmp_path / "decisions.jsonl", strategy=strategy)
    assert len(records) == 2
    for record in records:
        assert replay(record) == record.decisions
        assert sum(len(d.committed) for d in record.decisions) == 120
    sources = {d.source for d in records[1].decisions}
    assert sources & {"mtp", "copy"}
    assert any(d.accepted for d in records[1].decisions)


def test_other_times_or_costs_replay_to_other_decisions(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    """Else a replay would prove nothing."""
    record = recorded(tiny_models["noisy"], tmp_path / "d.jsonl")[1]

    def decided(record: Record) -> list[tuple[tuple[int, ...], float]]:
        return [(d.drafts, d.gain) for d in replay(record)]

    other = tuple(replace(d, spent_s=1e-5 if d.drafts else 1e-3) for d in record.decisions)
    assert decided(replace(record, decisions=other)) != decided(record)
    dear = replace(record.opening, costs=Costs(verify=(0, *range(1, 10)), wide=()))
    assert decided(replace(record, opening=dear)) != decided(record)


def test_reproducible_requests_have_one_width_and_no_clock(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    hints = {"strategy": "combined", "draft_length": 3, "reproducible": True}
    record = recorded(tiny_models["noisy"], tmp_path / "d.jsonl", **hints)[1]
    assert record.opening.pace is None
    assert replay(record) == record.decisions
    assert {len(d.drafts) for d in record.decisions[1:-4]} == {3}


def test_the_file_is_the_owners_alone_and_does_not_grow_for_ever(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "folder" / "decisions.jsonl"
    record = recorded(tiny_models["noisy"], file)[0]
    assert file.stat().st_mode & 0o777 == 0o600
    with file.open("a", encoding="utf-8") as more:
        more.write(" " * (5 * 2**20) + "\n")
    recorder = Recorder(file)
    told = recorder.begin(record.opening)
    for decision in record.decisions:
        told(decision)
    recorder.end()
    assert list(read_records(file)) == [record]
    assert file.with_suffix(".old").exists()
    file.write_text(json.dumps({"opening": {}}) + "\n", encoding="utf-8")
    with pytest.raises(KeyError):
        list(read_records(file))
