"""A scripted agent that looks for the answer with what it has: its edits are run by its tests.

The model's first edit searches git's objects, every file it can reach and what is installed, and
fails with what it found; the failure goes back to the model in the next request, as any failure
does. So what the server of the second request receives is what an agent can learn. The control is
the same script in the same repository, without the evals' isolation: there it learns everything.
"""

import subprocess
import venv
from pathlib import Path

import pytest

from agent import config
from agent.app import open_app
from agent.types import Task
from evals.arms import Arm
from evals.datasets import Instance
from evals.executors.process import run_one
from evals.runner import Plan, units_of
from tests.evals import tiny
from tests.evals.test_isolation import SECRET, leaky
from tests.evals.test_paid_arms import PLAN
from tests.loopback import dialects, serve

SPY = """\
    import os, subprocess, sys
    here = os.path.dirname(os.path.abspath(__file__))
    marks = {"history": b"minus, " + b"not plus\\n", "stash": b"(sta" + b"shed)",
             "installed": b"(insta" + b"lled)", "hidden test": b"test_dis" + b"count",
             "gold patch": b"+    value = sum(prices)" + b" - discount"}
    places, up = [here, *sys.path, os.path.expanduser("~"), "/tmp", "/var/tmp"], here
    clones = [here, os.getcwd()]
    for _ in range(8):
        up = os.path.dirname(up)
        near = sorted(os.listdir(up))[:400] if os.access(up, os.R_OK) else []
        clones += [d for d in (up, *(os.path.join(up, n) for n in near))
                   if os.path.isdir(os.path.join(d, ".git"))]
        places += [os.path.join(up, n) for n in ("unit.json", "prediction.json", "instance.json")]
    places += [v for k, v in os.environ.items() if "CACHE" in k or "STATE" in k or "DATA" in k]
    git = ["git", "-c", "safe.directory=*", "cat-file", "--batch-all-objects", "--batch"]
    texts = []
    for where in dict.fromkeys(clones):
        try:
            texts.append(subprocess.run(git, cwd=where, capture_output=True).stdout)
        except OSError:
            pass
    for place in dict.fromkeys(places):
        files = [place] if os.path.isfile(place) else []
        for top, _, names in os.walk(place):
            files += [os.path.join(top, n) for n in names][: max(400 - len(files), 0)]
        for name in files:
            if name.endswith("till.py") and top != here or os.path.islink(name):
                continue
            try:
                with open(name, "rb") as file:
                    texts.append(file.read(200_000))
            except OSError:
                pass
    found = [k for k, v in marks.items() if any(v in t for t in texts)]
    raise AssertionError("FO" + "UND " + "; ".join(found) + " E" + "ND")
"""
EDIT = f"till.py\n<<<<<<< SEARCH\n{tiny.NEW}=======\n{SPY}>>>>>>> REPLACE\n"
NONE = (("local_model", "none"), ("zero_token", False), ("frontier", "off"))


def script(request):
    """A plan where one is asked for, the spy's edit ever after."""
    wants_plan = b"SEARCH" not in request.raw
    return dialects.openai(PLAN if wants_plan else EDIT)


def learned(server) -> str:
    """What came back to the model."""
    bodies = [r.raw.decode() for r in server.received]
    seen = [b.split("FOUND ", 1)[1].split(" END")[0] for b in bodies if "FOUND " in b]
    assert seen, "the spy's edit was not run, or its failure was not told"
    return seen[-1]


@pytest.fixture
def leaks(tmp_path, monkeypatch) -> Instance:
    """History, a stash, a remote and an installed copy: all hold the fix."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    site = next(home.glob("lib/python*/site-packages"))
    (site / "till_again.py").write_text(f"{tiny.GOOD}# {SECRET} (installed)\n")
    monkeypatch.setenv("VIRTUAL_ENV", str(home))
    return leaky(tmp_path / "source")


def test_through_its_own_tests_an_agent_learns_nothing_of_the_fix(leaks, tmp_path):
    with serve(script) as server:
        flags = (*NONE, ("onprem_url", server.url), ("onprem_model", "coder"))
        arm = Arm(name="spy", about="", flags=flags)
        (unit,) = units_of(Plan(instances=(leaks,), arms=(arm,), max_wall_s=90))
        result = run_one(unit, tmp_path / "run" / "units" / unit.key)
    assert result.status == "unresolved", result
    assert result.sandbox != "none"
    assert learned(server) == ""


def test_without_isolation_it_learns_all_of_it(leaks, tmp_path):
    root = Path(leaks.source_dir)
    with serve(script) as server:
        flags = dict(NONE) | {"onprem_url": server.url, "onprem_model": "coder"}
        app = open_app(config.load({**flags, "unsandboxed": True}, {}, root), root)
        subprocess.run(["git", "stash", "list"], cwd=root, check=True, capture_output=True)
        for _ in app.run(Task(goal="fix", text=leaks.problem_statement, root=root)):
            pass
    told = learned(server)
    for mark in ("history", "stash", "installed", "hidden test"):
        assert mark in told
