"""Whole runs: a unit end to end, and a run that is killed and taken up again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.errors import ConfigError
from evals.arms import ARMS, Arm, arm, flags_of
from evals.executors.process import ProcessExecutor
from evals.render import as_json
from evals.result import RESULT, Result, Unit, load_results
from evals.runner import Plan, run, units_of
from evals.showing import summarised
from evals.unit import failed
from tests.evals import tiny

ZERO = arm("zero")
NONE = Arm(name="none", about="", flags=(("local_model", "none"), ("zero_token", False)))


def test_every_arm_has_settings_that_exist():
    from agent import config

    for one in ARMS:
        config.load(dict(flags_of(one, config.Settings())), {}, None)
    with pytest.raises(ConfigError, match="unknown arm"):
        arm("best")


def test_a_unit_survives_json(tmp_path):
    (unit,) = units_of(Plan(instances=(tiny.instance(tmp_path / "s"),), arms=(ZERO,)))
    assert Unit.from_json(unit.to_json(), where="x") == unit


def test_what_was_done_of_a_run_that_is_cut_short_is_a_fair_sample(tmp_path):
    """All arms and seeds of an instance follow each other, in an order that any plan shares."""
    one = tiny.instance(tmp_path / "s")
    names = [f"{package}-{n}" for package in ("aa", "bb", "cc", "dd") for n in range(20)]
    many = tuple(replace(one, instance_id=name) for name in names)
    arms = (ZERO, arm("ranker"), NONE)
    units = units_of(Plan(instances=many, arms=arms, seeds=(0, 1)))
    blocks = [units[n : n + 6] for n in range(0, len(units), 6)]
    for block in blocks:
        assert len({u.instance.instance_id for u in block}) == 1
        assert len({(u.arm, u.seed) for u in block}) == 6
        assert len({(u.max_wall_s, u.zero_token_s) for u in block}) == 1
    order = [block[0].instance.instance_id for block in blocks]
    assert sorted(order) == sorted(names)
    other = units_of(Plan(instances=many[::-1], arms=(NONE,)))
    assert [u.instance.instance_id for u in other] == order
    half = Counter(name[:2] for name in order[:40])
    assert all(5 <= half[package] <= 15 for package in ("aa", "bb", "cc", "dd"))


def test_end_to_end_without_a_network(tmp_path, capsys):
    """Rows on disk, through the command, to a report; again: nothing is run twice."""
    row = asdict(tiny.instance(tmp_path / "source"))
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    out = tmp_path / "run"
    command = ["eval", "run", "--dataset", str(tmp_path / "rows.json"), "--arm", "zero"]
    command += ["--zero-token-time", "10", "--max-time", "60", "--out", str(out)]
    assert main(command) == 0
    (found,) = load_results(out)
    assert found.status in ("resolved", "unresolved"), found
    assert found.fail_to_pass_total == 3
    assert found.verdict in ("verified", "unverified"), found
    assert found.test_runs > 0
    assert not found.false_verified
    if found.verdict == "verified":
        assert found.status == "resolved"
        assert found.fail_to_pass == 3
        assert tiny.OLD in found.patch
    report = (out / "report.md").read_text()
    assert "agent eval run --dataset rows.json --arm zero" in report
    assert "till-discount" in report
    (line,) = (out / "predictions" / "pointsman-zero.jsonl").read_text().splitlines()
    assert json.loads(line)["instance_id"] == "till-discount"
    stamp = (out / "units" / "till-discount.zero.0" / RESULT).stat().st_mtime_ns
    assert main(command) == 0
    assert (out / "units" / "till-discount.zero.0" / RESULT).stat().st_mtime_ns == stamp
    capsys.readouterr()
    assert main(["eval", "compare", f"{out}:zero", f"{out}:zero", "--fail-below", "0"]) == 0
    assert "n = 1" in capsys.readouterr().out
    assert main(["eval", "compare", f"{out}:zero", f"{out}:mini"]) == 2


DRIVER = """
import sys
from pathlib import Path
from evals.arms import Arm
from evals.datasets import load_instances
from evals.executors.process import ProcessExecutor
from evals.runner import Plan, run
none = Arm(name="none", about="", flags=(("local_model", "none"), ("zero_token", False)))
plan = Plan(instances=load_instances(Path(sys.argv[1])), arms=(none,), max_wall_s=60)
run(plan, Path(sys.argv[2]), ProcessExecutor(workers=1))
"""


def told_without_times(directory: Path) -> object:
    """The report of a run directory, but for what a clock or a scale has measured."""
    found = json.loads(as_json(summarised(directory)))
    for row in found["arms"]:
        for name in [n for n in row if n.startswith(("wall", "memory", "overhead"))]:
            del row[name]
    for row in found["results"]:
        for name in [n for n in row if n.endswith("_s") or n == "memory_mb"]:
            del row[name]
    return found


def test_a_run_killed_in_the_middle_gives_the_same_report(tmp_path):
    """kill -9 after the first result; what is taken up again reports what a whole run does."""
    first = tiny.instance(tmp_path / "source")
    many = [replace(first, instance_id=f"till-{n}") for n in range(2)]
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([asdict(i) for i in many]))
    out = tmp_path / "run"
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(rows), str(out)], start_new_session=True
    )
    deadline = time.monotonic() + 40
    while not list(out.glob(f"units/*/{RESULT}")) or len(list(out.glob("units/*/unit.json"))) < 2:
        assert time.monotonic() < deadline
        assert driver.poll() is None
        time.sleep(0.02)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    finished = {p.parent.name: p.stat().st_mtime_ns for p in out.glob(f"units/*/{RESULT}")}
    assert len(finished) == 1
    time.sleep(2.5)  # the unit that was running notices within a second that nobody waits for it
    plan = Plan(instances=tuple(many), arms=(NONE,), max_wall_s=60)
    told: list[str] = []
    results = run(plan, out, ProcessExecutor(workers=2), lambda r, done, total: told.append(r.key))
    assert sorted(r.instance_id for r in results) == [i.instance_id for i in many]
    assert not set(told) & set(finished)
    kept = {p.parent.name: p.stat().st_mtime_ns for p in out.glob(f"units/*/{RESULT}")}
    assert all(kept[name] == stamp for name, stamp in finished.items())
    run(plan, tmp_path / "whole", ProcessExecutor(workers=2))
    assert told_without_times(out) == told_without_times(tmp_path / "whole")


def test_what_was_run_can_be_exported_and_replayed(tmp_path, capsys):
    """Official layout, files of mini-swe-agent, and a replay that asks no model."""
    one = tiny.instance(tmp_path / "source")
    plan = Plan(instances=(one,), arms=(arm("mini"),), max_wall_s=60)
    (found,) = run(plan, tmp_path / "run", ProcessExecutor())
    assert found.status == "unresolved", found
    assert main(["eval", "export", str(tmp_path / "run"), "--out", str(tmp_path / "a")]) == 0
    rows = [json.loads(x) for x in (tmp_path / "a" / "dataset.jsonl").read_text().splitlines()]
    assert json.loads(rows[0]["FAIL_TO_PASS"]) == list(tiny.RED)
    words = ["eval", "export", str(tmp_path / "run"), "--format", "mini-swe-agent"]
    assert main([*words, "--out", str(tmp_path / "b")]) == 0
    (file,) = (tmp_path / "b").rglob("*.traj.json")
    assert file.parent.name == one.instance_id
    answers = [m for m in json.loads(file.read_text())["messages"] if m["role"] == "assistant"]
    assert len(answers) == len(found.rows) > 0
    capsys.readouterr()
    monkey = {n: os.environ[n] for n in ("XDG_STATE_HOME", "XDG_CONFIG_HOME")}
    try:
        code = main(["eval", "replay", str(tmp_path / "run"), found.key])
    finally:
        os.environ.update(monkey)
    assert code == found.exit_code == 1
    assert "localise" in capsys.readouterr().out
    assert main(["eval", "replay", str(tmp_path / "run"), "till.mini.7"]) == 2


def test_predictions_of_others_are_graded_and_gold_is_resolved(tmp_path, capsys):
    one = tiny.instance(tmp_path / "source")
    (tmp_path / "rows.json").write_text(json.dumps([asdict(one)]))
    words = ["eval", "grade", "--dataset", str(tmp_path / "rows.json"), "--predictions"]
    assert main([*words, "gold", "--out", str(tmp_path / "gold")]) == 0
    assert "gold: 1 of 1 resolved" in capsys.readouterr().out
    wrong = {"instance_id": one.instance_id, "model_name_or_path": "x/y", "model_patch": "no"}
    (tmp_path / "p.jsonl").write_text(json.dumps(wrong) + "\n")
    assert main([*words, str(tmp_path / "p.jsonl"), "--out", str(tmp_path / "p")]) == 0
    assert "x__y: 0 of 1 resolved" in capsys.readouterr().out


NO_PREDICTIONS = (
    *("{}", "[1]", "5", "{broken", "\ufeff["),
    '[{"instance_id": "till-discount", "model_patch": 5}]',
)


def test_what_is_no_prediction_is_refused(tmp_path, capsys):
    one = tiny.instance(tmp_path / "source")
    (tmp_path / "rows.json").write_text(json.dumps([asdict(one)]))
    words = ["eval", "grade", "--dataset", str(tmp_path / "rows.json"), "--predictions"]
    for text in NO_PREDICTIONS:
        (tmp_path / "p.json").write_text(text)
        assert main([*words, str(tmp_path / "p.json"), "--out", str(tmp_path / "out")]) == 2
        assert "p.json" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_a_patch_of_bytes_that_are_no_text_is_graded_and_reported(tmp_path, capsys):
    """As `tools.patch.diff` writes them: surrogates."""
    one = tiny.instance(tmp_path / "source")
    path = tmp_path / "source" / "till.py"
    path.write_bytes(b"# -*- coding: latin-1 -*-\nNAME = 'caf\xe9'\n" + path.read_bytes())
    (tmp_path / "rows.json").write_text(json.dumps([asdict(replace(one, patch=""))]))
    hunk = "@@ -1,2 +1,2 @@\n # -*- coding: latin-1 -*-\n-NAME = 'caf\udce9'\n+NAME = '\udcc9'\n"
    patch = f"diff --git a/till.py b/till.py\n--- a/till.py\n+++ b/till.py\n{hunk}"
    row = {"instance_id": one.instance_id, "model_name_or_path": "m", "model_patch": patch}
    (tmp_path / "p.json").write_text(json.dumps([row]))
    words = ["--predictions", str(tmp_path / "p.json"), "--out", str(tmp_path / "out")]
    assert main(["eval", "grade", "--dataset", str(tmp_path / "rows.json"), *words]) == 0
    capsys.readouterr()
    (found,) = load_results(tmp_path / "out")
    assert found.patch == patch
    assert "does not apply" not in found.reason
    page = next((tmp_path / "out" / "instances").glob("*.html")).read_text("utf-8")
    assert "NAME = &#x27;?&#x27;" in page or "NAME = &#39;?&#39;" in page or "NAME = '?'" in page


class OneResult:
    """An executor that says of every unit that it could not be run."""

    def map(self, units: Iterable[tuple[Unit, Path]]) -> Iterator[Result]:
        for unit, directory in units:
            assert not directory.exists()
            yield failed(unit, "not run")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b'{"instance_id": 1'])
def test_a_result_that_cannot_be_read_is_run_again(tmp_path, text):
    plan = Plan(instances=(tiny.instance(tmp_path / "s"),), arms=(NONE,))
    (unit,) = units_of(plan)
    place = tmp_path / "run" / "units" / unit.key
    place.mkdir(parents=True)
    (place / "result.json").write_bytes(text)
    told: list[Result] = []
    (found,) = run(
        plan, tmp_path / "run", OneResult(), lambda result, done, total: told.append(result)
    )
    assert told == [found]


def test_what_cannot_be_run_is_infrastructure_and_is_tried_again(tmp_path):
    gone = replace(tiny.instance(tmp_path / "s"), source_dir=str(tmp_path / "nowhere"))
    plan = Plan(instances=(gone,), arms=(NONE,))
    (found,) = run(plan, tmp_path / "run", ProcessExecutor())
    assert found.status == "infra"
    assert "there is no directory" in found.reason
    plan = Plan(instances=(replace(gone, source_dir=str(tmp_path / "s")),), arms=(NONE,))
    (found,) = run(plan, tmp_path / "run", ProcessExecutor())
    assert found.status == "unresolved"


def test_a_worker_that_is_lost_or_does_not_end_is_told_apart(tmp_path):
    one = tiny.instance(tmp_path / "s")
    broken = Arm(name="broken", about="", flags=(("no_such_setting", True),))
    (found,) = run(Plan(instances=(one,), arms=(broken,)), tmp_path / "a", ProcessExecutor())
    assert found.status == "infra"
    assert "no_such_setting" in found.reason
    plan = Plan(instances=(one,), arms=(NONE,), max_wall_s=0.01)
    (found,) = run(plan, tmp_path / "b", ProcessExecutor(grace_s=0.05))
    assert found.status == "unresolved"
    assert found.exit_reason == "hard limit"


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--arm", "best"],
        ["run", "--dataset", "/nowhere"],
        ["run", "--arm", "frontier"],
        ["run", "--seeds", "0"],
        ["report", "/nowhere"],
        ["validate", "--dataset", "/nowhere"],
    ],
)
def test_bad_input_is_a_usage_error(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["eval", *words]) == 2
    assert not list(tmp_path.glob("*.jsonl"))
