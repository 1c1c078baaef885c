"""What cannot be run or graded is infrastructure or rejected, with the reason; never unresolved."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from agent.cli.main import main
from evals.arms import Arm
from evals.executors.process import ProcessExecutor
from evals.proof import flaw, proved
from evals.result import RESULT, load_results
from evals.runner import Plan, run
from tests.evals import tiny
from tools.sandbox import pick

NONE = Arm(name="none", about="", flags=(("local_model", "none"), ("zero_token", False)))


def source(tmp_path: Path, name: str, text: str) -> object:
    """The tiny instance with another file of tests."""
    one = tiny.instance(tmp_path / name)
    (tmp_path / name / "test_till.py").write_text(tiny.TESTS + text)
    return one


def test_a_sound_row_has_no_flaw(tmp_path):
    assert flaw(tiny.instance(tmp_path / "s"), pick("auto")) == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"FAIL_TO_PASS": tiny.GREEN, "PASS_TO_PASS": ()}, "passes already"),
        ({"FAIL_TO_PASS": ("test_till.py::test_nowhere",)}, "its own patch is not resolved"),
        ({"PASS_TO_PASS": tiny.RED[:1], "FAIL_TO_PASS": tiny.RED[1:]}, "fails before anything"),
        ({"patch": "not a patch"}, "does not apply"),
        ({"source_dir": "/nowhere"}, "there is no directory"),
        ({"source_dir": ""}, "has no source"),
        ({"test_cmd": "python -m no_such_runner"}, ""),
    ],
    ids="passes missing reversed garbage nowhere no-source no-runner".split(),
)
def test_rows_that_show_nothing_are_rejected_with_the_reason(tmp_path, change, why):
    one = replace(tiny.instance(tmp_path / "s"), **change)
    good, rejected = proved([one], pick("auto"))
    assert not good
    assert rejected[0][0] == "till-discount"
    assert rejected[0][1]
    assert why in rejected[0][1]


@pytest.mark.parametrize(
    ("body", "marker"),
    [
        ("    import time\n    time.sleep(60)\n", "hang"),
        (
            "    import socket\n    socket.create_connection(('127.0.0.1', PORT), 2).close()\n",
            "net",
        ),
    ],
    ids="hang network".split(),
)
def test_tests_that_hang_or_need_a_network_reject_the_row(tmp_path, body, marker, monkeypatch):
    """The network is a server that is really there, outside the sandbox."""
    import socket

    from evals import grading

    monkeypatch.setattr(grading, "TEST_S", 2.0)
    server = socket.create_server(("127.0.0.1", 0))
    body = body.replace("PORT", str(server.getsockname()[1]))
    one = source(tmp_path, "s", f"\n\ndef test_{marker}():\n{body}")
    one = replace(one, PASS_TO_PASS=(*tiny.GREEN, f"test_till.py::test_{marker}"))  # type: ignore[type-var]
    with server:
        good, rejected = proved([one], pick("auto"))  # type: ignore[list-item]
    assert not good
    assert f"test_{marker}" in rejected[0][1]


def test_rejected_rows_are_in_the_report_and_in_no_rate(tmp_path, capsys):
    good = tiny.instance(tmp_path / "good")
    bad = replace(good, instance_id="till-green", FAIL_TO_PASS=tiny.GREEN, PASS_TO_PASS=())
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(asdict(i)) + "\n" for i in (good, bad)))
    out = tmp_path / "run"
    words = ["eval", "run", "--dataset", str(tmp_path / "rows.jsonl"), "--arm", "mini"]
    assert main([*words, "--max-time", "60", "--out", str(out)]) == 0
    capsys.readouterr()
    assert [r.instance_id for r in load_results(out)] == ["till-discount"]
    report = json.loads((out / "report.json").read_text())
    assert report["rejected"][0][0] == "till-green"
    assert report["arms"][0]["resolved"]["n"] == 1
    assert "till-green" in (out / "report.md").read_text()


def test_a_worker_that_is_killed_is_infrastructure_and_is_run_again(tmp_path):
    one = tiny.instance(tmp_path / "s")
    plan = Plan(instances=(one,), arms=(NONE,), max_wall_s=60)

    def kill() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for child in psutil.Process().children():
                if "evals.unit" in " ".join(child.cmdline()):
                    os.kill(child.pid, signal.SIGKILL)
                    return
            time.sleep(0.02)

    thread = threading.Thread(target=kill)
    thread.start()
    (found,) = run(plan, tmp_path / "run", ProcessExecutor())
    thread.join()
    assert found.status == "infra", found
    assert "the worker was lost" in found.reason
    (found,) = run(plan, tmp_path / "run", ProcessExecutor())
    assert found.status == "unresolved", found


LIMITED = """
import resource, sys
from dataclasses import asdict
from pathlib import Path
from evals.executors.process import run_one
from evals.result import Unit
unit = Unit.from_json(Path(sys.argv[1]).read_text(), where="test")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
result = run_one(unit, Path(sys.argv[2]))
sys.stdout.write(result.status + "|" + result.reason)
"""


@pytest.mark.parametrize("room", [64, 4096, 16_384])
def test_where_nothing_can_be_written_any_more_nothing_is_said_of_the_agent(tmp_path, room):
    """Files may grow to `room` bytes and no further, as on a full disk: the unit, the ledger, the
    tree or the result cannot be written."""
    from evals.runner import units_of

    one = tiny.instance(tmp_path / "s")
    (unit,) = units_of(Plan(instances=(one,), arms=(NONE,), max_wall_s=60))
    (tmp_path / "unit.json").write_text(unit.to_json())
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, (tmp_path / "unit.json", tmp_path / "u", room))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    status, _, reason = done.stdout.partition("|")
    assert status == "infra", (done.stdout, done.stderr[-800:])
    assert reason
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != room


SMALL = 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"'


@pytest.mark.skipif(
    subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "x", "/mnt"],
        capture_output=True, check=False,
    ).returncode != 0,
    reason="no file system of one's own can be mounted here",
)  # fmt: skip
@pytest.mark.parametrize("size", ["4k", "16k", "100k"])
def test_a_file_system_that_is_full_is_infrastructure(tmp_path, size):
    """A real one, in a mount namespace: run.json, the tree or the agent's state does not fit."""
    one = tiny.instance(tmp_path / "s")
    (tmp_path / "rows.jsonl").write_text(json.dumps(asdict(one)) + "\n")
    small = tmp_path / "small"
    small.mkdir()
    words = ["--dataset", str(tmp_path / "rows.jsonl"), "--arm", "zero", "--max-time", "60"]
    words += ["--zero-token-time", "5", "--out", str(small / "run")]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SMALL, "sh", size,
         str(small), sys.executable, "-m", "evals", "run", *words],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "No space left on device" in done.stderr
    assert "unresolved" not in done.stderr
    assert "Traceback" not in done.stderr
    if size != "100k":  # neither result nor report
        assert "cannot be written" in done.stderr
        assert "make room" in done.stderr


def test_a_run_that_is_stopped_early_says_so_and_goes_on_later(tmp_path, capsys):
    first = tiny.instance(tmp_path / "s")
    many = [replace(first, instance_id=f"till-{n}") for n in range(3)]
    (tmp_path / "rows.json").write_text(json.dumps([asdict(i) for i in many]))
    out = tmp_path / "run"
    words = ["eval", "run", "--dataset", str(tmp_path / "rows.json"), "--arm", "mini"]
    words += ["--max-time", "60", "--out", str(out)]
    assert main([*words, "--stop-after", "0.2"]) == 0
    done = len(list(out.glob(f"units/*/{RESULT}")))
    assert 1 <= done < 3
    assert f"cut short: {done} of 3 units" in (out / "report.md").read_text()
    assert main(words) == 0
    assert len(load_results(out)) == 3
    assert "cut short" not in (out / "report.md").read_text()
    capsys.readouterr()
