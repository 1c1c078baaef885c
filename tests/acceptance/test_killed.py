"""kill -9 of the whole process: the tree is as found or as verified, resume takes the run up, and
the next start deletes the scratch copies."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent import paths
from tests.acceptance.bench import AREA, FIXED, ISSUE, agent, plot, tree

HERE = Path(__file__).parent


def killed(root: Path, event: str, part: str) -> None:
    """`agent fix`, killed where it first does `event` to a path that contains `part`."""
    done = subprocess.run(
        (sys.executable, str(HERE / "killed.py"), event, part, "-C", str(root), "fix", ISSUE),
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parents[1],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def copies() -> list[str]:
    """Scratch copies of all runs."""
    runs = paths.state_dir() / "runs"
    return sorted(p.name for p in runs.glob("*/*/*") if p.is_dir())


@pytest.mark.parametrize(
    ("event", "part", "left", "after"),
    [
        ("os.mkdir", "/try1", {"work", "try0"}, AREA),
        ("open", ".pointsman-", {"work"}, AREA),
        ("os.remove", ".pointsman-", {"work"}, FIXED),
    ],
    ids=["trying", "staging", "applied"],
)
def test_killed_and_resumed(tmp_path, event, part, left, after):
    root = plot(tmp_path / "shop")
    found = tree(root)
    killed(root, event, part)
    assert (root / "area.py").read_bytes() == after
    assert left <= set(copies())
    told = agent(root, "resume")
    assert told.code == 0, told.err
    assert tree(root) == {**found, "area.py": FIXED}
    assert copies() == []
    assert agent(root, "undo").code == 0
    assert tree(root) == found
