"""The cost curve, measured while nothing is asked."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from agent.engine.calibration import load_costs
from agent.engine.engine import Engine, Query
from agent.engine.idle import SLICE_S, Calibrator
from agent.engine.sampling import Sampling
from agent.serve.runner import Runner
from agent.serve.supervise import ensure_worker, worker_status


def wait(ready: Callable[[], bool], timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def engine(tiny_model: Path) -> Iterator[Engine]:
    made = Engine(tiny_model, n_ctx=256, threads=1)
    yield made
    made.close()


def ask(runner: Runner) -> None:
    query = Query(prompt=(65, 66, 67), sampling=Sampling(), max_tokens=8)
    runner.submit(query, lambda _: None, lambda: False).result(timeout=20)


def test_it_goes_on_where_it_was_given_up(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "curves" / "curve.json"
    first = Calibrator(engine, file, measured=False)
    assert (first.state, first.done) == ("assumed", 0)
    for _ in range(3):
        first.step(lambda: False)
    first.step(lambda: True)
    assert (first.state, first.done) == ("partial", 3)
    first.close()
    second = Calibrator(engine, file, measured=False)
    assert second.done == 3
    before = engine.costs
    while not second.finished:
        assert engine.costs == before
        second.step(lambda: False)
    assert (second.state, second.done) == ("measured", second.of)
    assert engine.costs == load_costs(file) != before
    assert engine.costs.plain_s > 0
    assert len(engine.costs.verify) == 10
    assert len(engine.costs.wide) == 6
    assert [f.name for f in file.parent.iterdir()] == ["curve.json"]


def test_a_request_that_waits_stops_it_between_two_passes(engine: Engine, tmp_path: Path) -> None:
    one = Calibrator(engine, tmp_path / "c.json", measured=False)
    asked = iter([False, False, False, True])
    one.step(lambda: next(asked))
    assert one.done == 0
    assert next(asked, None) is None
    (tmp_path / "c.part").write_text("[1")
    assert Calibrator(engine, tmp_path / "c.json", measured=False).done == 0
    one.close()


def test_long_passes_are_not_made_unless_asked_for(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.with_suffix(".part").write_text(json.dumps({"1": [SLICE_S * 0.9]}))
    one = Calibrator(engine, file, measured=False)
    one.step(lambda: False)
    assert one.finished
    assert "0.5 s" in one.note
    assert (one.state, one.done) == ("partial", 1)
    one.hurry()
    while not one.finished:
        one.step(lambda: False)
    assert one.state == "measured"
    # Only the long runs are left out where they alone take too long.
    file.with_suffix(".part").write_text(json.dumps({"1": [SLICE_S / 3]}))
    engine.costs = replace(engine.costs, verify=(0.0, *[1.0] * 9), wide=(1, 2, 2.9, 4, 5, 6))
    two = Calibrator(engine, file, measured=False)
    while not two.finished:
        two.step(lambda: False)
    assert two.state == "measured"
    assert len(engine.costs.wide) == 3


def test_the_runner_measures_after_its_first_answer(engine: Engine, tmp_path: Path) -> None:
    calibrator = Calibrator(engine, tmp_path / "c.json", measured=False)
    runner = Runner(engine, calibrator=calibrator)
    runner.start()
    try:
        time.sleep(0.2)
        assert calibrator.done == 0
        ask(runner)
        wait(lambda: calibrator.done > 0)
        ask(runner)
        wait(lambda: calibrator.state == "measured")
        tokens = list(engine.session.target.tokens)
        assert tokens[:3] == [65, 66, 67]  # the last request's context is as it was
        ask(runner)
    finally:
        runner.stop()


def test_a_worker_measures_when_told_and_records_when_told(
    tiny_model: Path, runtime: Path, tmp_path: Path
) -> None:
    from agent.engine.replay import read_records, replay

    record = tmp_path / "state" / "decisions.jsonl"
    endpoint = ensure_worker(tiny_model, runtime_dir=runtime, context=512, decisions=record)
    transport = httpx2.HTTPTransport(uds=str(endpoint.uds))
    with httpx2.Client(transport=transport, base_url="http://worker", timeout=30) as http:
        assert http.post("/calibrate").status_code == 202
        found = http.get("/health").json()["calibration"]
        assert found["state"] == "measured"
        assert found["done"] == found["of"] > 10
        body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 16}
        assert http.post("/v1/chat/completions", json=body).status_code == 200
    assert record.stat().st_mode & 0o777 == 0o600
    (one,) = read_records(record)
    assert replay(one) == one.decisions
    assert len(worker_status(runtime)) == 1
