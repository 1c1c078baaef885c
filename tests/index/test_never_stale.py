"""Law: after any history of edits, the index says what one built from scratch says."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tools.index import Index, open_index

PATHS = st.sampled_from(["a.py", "pkg/b.py", "pkg/c.py", "tests/test_a.py", "web/x.js", "m.go"])
ALL = {"start.py", "a.py", "pkg/b.py", "pkg/c.py", "tests/test_a.py", "web/x.js", "m.go"}
NAMES = st.sampled_from(["load", "save", "Cart", "price_of", "totalSum"])
SOURCES = {
    "py": "import {0}\nclass {0}:\n  def {1}(self):\n    return {2}()\ndef {2}(x):\n  pass\n",
    "js": "import x from '{0}';\nclass {0} {{ {1}() {{ {2}(); }} }}\nfunction {2}() {{}}\n",
    "go": "package {0}\nfunc {1}() {{ {2}() }}\nfunc (r *{0}) {2}() {{}}\n",
}
QUESTIONS = ("load the price of a cart", "totalSum wrong in save", "Cart", "pkg tests of web x")


def git(root: Path, *args: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *args], cwd=root, check=True, capture_output=True)


def everything(index: Index) -> object:
    """All that an index says, for comparison as a whole."""
    return (
        index.paths(),
        [index.symbols(p) for p in index.paths()],
        [index.search(q) for q in QUESTIONS],
        [index.localize(q) for q in QUESTIONS],
        [index.references(n) for n in ("load", "Cart", "price_of")],
        [index.callers(s) for s in index.find("totalSum")],
        [index.map(q, 150).text for q in (None, *QUESTIONS)],
    )


class Edits(RuleBasedStateMachine):
    """Random edits, renames, deletions, commits, branch switches and new processes."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.root = self.folder / "repo"
        self.root.mkdir()
        git(self.root, "init", "-q")
        (self.root / "start.py").write_text("START = 1\n")
        git(self.root, "add", ".")
        git(self.root, "commit", "-qm", "load carts")
        git(self.root, "branch", "other")
        self.touched: set[str] = set()
        self.reopen()

    @rule(path=PATHS, names=st.tuples(NAMES, NAMES, NAMES))
    def write(self, path: str, names: tuple[str, str, str]) -> None:
        file = self.root / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(SOURCES[path.rpartition(".")[2]].format(*names))
        self.touched.add(path)

    @rule(path=PATHS)
    def delete(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)
        self.touched.add(path)

    @rule(old=PATHS, new=PATHS)
    def rename(self, old: str, new: str) -> None:
        if (self.root / old).exists():
            (self.root / new).parent.mkdir(exist_ok=True)
            (self.root / old).replace(self.root / new)
        self.touched |= {old, new}

    @rule(branch=st.sampled_from(["other", "master", "main"]))
    def commit_and_switch(self, branch: str) -> None:
        git(self.root, "add", "-A")
        git(self.root, "commit", "-q", "--allow-empty", "-m", "fix price of a cart")
        known = subprocess.run(
            ["git", "branch", "--format=%(refname:short)"], cwd=self.root, capture_output=True
        )
        if branch in known.stdout.decode().split():
            git(self.root, "switch", "-q", branch)
            self.touched |= ALL

    @rule()
    def reopen(self) -> None:
        self.index = open_index(self.root, self.folder / "cache")

    @rule()
    def update(self) -> None:
        self.index.update()
        self.touched.clear()

    @rule(path=PATHS)
    def update_with_half_a_hint(self, path: str) -> None:
        self.index.update(paths=[path])

    @rule(chance=st.booleans())
    def says_what_a_fresh_index_says(self, chance: bool = False) -> None:
        self.index.update(paths=self.touched if chance else None)
        self.touched.clear()
        fresh = open_index(self.root, self.folder / "fresh")
        assert everything(self.index) == everything(fresh)
        shutil.rmtree(self.folder / "fresh")

    def teardown(self) -> None:
        self.says_what_a_fresh_index_says()
        shutil.rmtree(self.folder)


TestEdits = Edits.TestCase
TestEdits.settings = settings(
    max_examples=10,
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("delay", [0.05, 0.12, 0.2, 0.3, 0.45])
def test_killed_at_any_instant_and_opened_again(tmp_path: Path, delay: float) -> None:
    root, cache = tmp_path / "repo", tmp_path / "cache"
    root.mkdir()
    for i in range(150):
        body = "".join(f"def f{i}_{j}(x):\n    return g{j}(x)\n" for j in range(30))
        (root / f"m{i}.py").write_text(body)
    code = (
        "import sys; from pathlib import Path; from tools.index import open_index\n"
        "open_index(Path(sys.argv[1]), Path(sys.argv[2])).update()"
    )
    running = subprocess.Popen([sys.executable, "-c", code, str(root), str(cache)])
    time.sleep(delay)
    running.send_signal(signal.SIGKILL)
    running.wait()
    again = open_index(root, cache)
    again.update()
    fresh = open_index(root, tmp_path / "fresh")
    assert again.map("f7_3", 500) == fresh.map("f7_3", 500)
    assert again.paths() == fresh.paths()
    assert len(again.symbols("m149.py")) == 30


@pytest.mark.parametrize("damage", ["none", "cut", "flip", "empty", "old"])
def test_a_snapshot_never_outlives_the_truth(tmp_path: Path, damage: str) -> None:
    root, cache = tmp_path / "repo", tmp_path / "cache"
    root.mkdir()
    for i in range(40):
        body = "".join(f"def f{i}_{j}(x):\n    return g{j}(x)\n" for j in range(80))
        (root / f"m{i}.py").write_text(body)
    open_index(root, cache).update()
    (snapshot,) = cache.glob("snapshot-*")
    data = snapshot.read_bytes()
    if damage == "cut":
        snapshot.write_bytes(data[:-100])
    if damage == "flip":
        snapshot.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    if damage == "empty":
        snapshot.write_bytes(b"")
    (root / "m7.py").write_text("def changed(): pass\n")
    (root / "m8.py").unlink()
    again = open_index(root, cache)
    stats = again.update()
    assert (stats.files, stats.parsed) == (39, 1)
    if damage == "old":  # records of unchanged files are gone, the snapshot is not
        next(cache.glob("*.sqlite")).unlink()
        for i in range(20):
            (root / f"m{i + 10}.py").write_text("def changed(): pass\n")
        for i in range(70):
            (root / f"n{i}.py").write_text(f"def added{i}(): pass\n")
        again = open_index(root, cache)
        again.update()
    fresh = open_index(root, tmp_path / "fresh")
    for question in ("f3_4", "changed", "m9"):
        assert again.search(question) == fresh.search(question)
    assert again.map(None, 300) == fresh.map(None, 300)
    assert again.symbols("m5.py") == fresh.symbols("m5.py")
