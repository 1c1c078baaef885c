"""The first command of the README ends as the README says."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_demo_ends_verified_and_undone(tmp_path: Path) -> None:
    done = subprocess.run(
        (sys.executable, "-m", "evals.demo"), cwd=ROOT, env={**os.environ, "COLUMNS": "80"},
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "verified · exit 0" in done.stderr
    assert "after undo: the tree is as it was" in done.stdout
