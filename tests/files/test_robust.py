"""Whatever a model answers is an edit or an EditError; whatever races with us gains nothing."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools import beneath, edits
from tools.edits import LineFormat
from tools.errors import EditError, OutOfScope
from tools.files import Tree
from tools.patch import from_diff
from tools.types import Patch

FILES = {"f.py": b"def f():\n    return 1\n", "g": b"", "bin": b"\0"}
TOKENS = st.sampled_from(
    [
        "f.py", "g", "bin", "f.py::f", "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "```python",
        "```", "def f():", "    return 1", "    return 2", "", "L1", "L1-L2", "---", "L99", "OK",
        "diff --git a/f.py b/f.py", "--- a/f.py", "+++ b/f.py", "--- /dev/null", "+++ /dev/null",
        "@@ -1,2 +1,2 @@", "@@ -1 +1 @@", "-def f():", "+def f():", " def f():", "+x",
        "\\ No newline at end of file", "new file mode 100755", "deleted file mode 100644",
        "rename from f.py", "rename to h", "Binary files a/f.py and b/f.py differ",
        "old mode 100644", "GIT binary patch", "index 00..11 160000", '--- "a/\\303\\n"',
        "\udcff", "é\u2028", "\r",
    ]
)  # fmt: skip
ANSWERS = st.lists(TOKENS | st.text(max_size=5), max_size=14).map("\n".join)


@given(ANSWERS)
@settings(max_examples=400, deadline=None)
def test_any_answer_is_an_edit_or_an_edit_error(answer: str) -> None:
    formats = (edits.get("search_replace"), edits.get("symbol"), LineFormat("f.py", 1, 2))
    for parse in (*(f.parse for f in formats), from_diff):
        try:
            patch = parse(answer, FILES.get)
        except EditError:
            continue
        else:
            assert isinstance(patch, Patch)
            assert all(c.before == FILES.get(c.path) for c in patch.changes)


def swapping(root: Path, outside: Path, stop: threading.Event) -> None:
    """`d` is now a directory, now a link out of the tree."""
    inside, link = root / "real", root / "lnk"
    link.symlink_to(outside)
    while not stop.is_set():
        inside.rename(root / "d")
        (root / "d").rename(inside)
        link.rename(root / "d")
        (root / "d").rename(link)


@pytest.fixture
def race(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (root / "real" / "f").write_bytes(b"inside")
    (tmp_path / "outside" / "f").write_bytes(b"secret")
    return root


def test_a_race_with_links_never_leads_out(race: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=swapping, args=(race, race.parent / "outside", stop))
    thread.start()
    found = set()
    try:
        with Tree(race) as tree:
            for way in (True, False):  # openat2 where there is one, then component by component
                monkeypatch.setattr(beneath, "_has_openat2", lambda way=way: way)
                for _ in range(4000):
                    try:
                        found.add(tree.read("d/f"))
                    except OSError:
                        continue
        naive = set()
        for _ in range(20_000):  # control: resolve, check, open
            path = race / "d" / "f"
            try:
                if path.resolve().is_relative_to(race):
                    naive.add(path.read_bytes())
            except OSError:
                continue
            if b"secret" in naive:
                break
    finally:
        stop.set()
        thread.join()
    assert b"secret" not in found
    assert b"inside" in found
    assert b"secret" in naive


@pytest.mark.parametrize("way", [True, False])
def test_both_ways_of_opening_agree(
    tmp_path: Path, way: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way and not beneath._has_openat2():
        pytest.skip("this kernel has no openat2")
    monkeypatch.setattr(beneath, "_has_openat2", lambda: way)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_bytes(b"1")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "up").symlink_to("..")
    os.mkfifo(tmp_path / "pipe")
    with Tree(tmp_path) as tree:
        assert tree.read("a/b/f") == b"1"
        for path in ("link/b/f", "up/x", "a/b/f/g", "a/none/f", "none", "pipe", "a", "link"):
            assert tree.read(path) is None
        with pytest.raises(OutOfScope):
            tree.read("a/../a/b/f")


def test_without_the_exchange_call_files_are_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What macOS and old kernels do."""
    monkeypatch.setattr("tools.files.rename", lambda *_: False)
    (tmp_path / "f").write_bytes(b"old")
    with Tree(tmp_path) as tree:
        tree.stage("f", ".t", b"new", 0o600, tree.attributes("f"))
        tree.exchange("f", ".t")
        assert (tree.read("f"), tree.read(".t")) == (b"new", b"old")
        with pytest.raises(FileExistsError):
            tree.move_new("f", ".t", "f")
        tree.move_new("f", ".t", "g")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["f", "g"]
