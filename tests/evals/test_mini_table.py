"""The table by stratum and arm is made from stored results."""

import json
from pathlib import Path

import pytest

from evals.bench import mini


def row(name: str, arm: str, stratum: str, status: str, verdict: str, runs: int) -> str:
    values = {
        "instance_id": name,
        "arm": arm,
        "seed": 0,
        "stratum": stratum,
        "tests_visible": True,
        "status": status,
        "verdict": verdict,
        "test_runs": runs,
        "wall_s": runs / 10,
    }
    return json.dumps(values)


def test_stored_runs_are_shown_by_stratum_and_arm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        row("a", "all", "reach", "resolved", "verified", 100),
        row("b", "all", "reach", "unresolved", "verified", 300),
        row("a", "zero", "reach", "resolved", "unverified", 500),
        row("c", "mini", "mined", "unresolved", "not_solved", 40),
    ]
    (tmp_path / "results.jsonl").write_text("\n".join(rows) + "\n")
    assert mini.main(["--from", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:6] for line in lines[1:4]] == [
        ["mined", "mini", "1", "0", "0", "0"],
        ["reach", "zero", "1", "1", "0", "0"],
        ["reach", "all", "2", "1", "2", "1"],
    ]
    assert lines[3].split()[6:8] == ["200", "20.0"]
    assert lines[4] == "false verified: 1  b (all)"


def test_the_runs_that_are_stored_here_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    results = Path(mini.__file__).parents[1] / "results"
    for run in sorted(p for p in results.iterdir() if (p / "results.jsonl").is_file()):
        assert mini.main(["--from", str(run)]) == 0
        assert "false verified:" in capsys.readouterr().out
