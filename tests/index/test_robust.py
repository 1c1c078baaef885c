"""Trees as they are found: submodules, sparse checkouts, worktrees, links put in place of files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.index import Index, open_index
from tools.index.store import Store


def git(root: Path, *args: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    allow = ["-c", "protocol.file.allow=always"]
    subprocess.run(["git", *who, *allow, *args], cwd=root, check=True, capture_output=True)


def repository(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path = path.with_name(f"{path.name}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "start")
    return root


def opened(tmp_path: Path, root: Path) -> Index:
    return open_index(root, tmp_path / "cache")


def test_a_submodule_belongs_to_another_repository(tmp_path: Path) -> None:
    inner = repository(tmp_path / "inner", lib="def inside(): pass\n")
    outer = repository(tmp_path / "outer", app="def outside(): pass\n")
    git(outer, "submodule", "add", "-q", str(inner), "sub")
    git(outer, "commit", "-qm", "add")
    assert opened(tmp_path, outer).paths() == ("app.py",)
    assert opened(tmp_path, outer / "sub").paths() == ("lib.py",)


def test_a_sparse_checkout_has_what_is_checked_out(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo", a__x="def in_a(): pass\n", b__y="def in_b(): pass\n")
    index = opened(tmp_path, root)
    assert index.paths() == ("a/x.py", "b/y.py")
    git(root, "sparse-checkout", "set", "a")
    index.update()
    assert index.paths() == ("a/x.py",)
    assert index.find("in_b") == ()
    git(root, "sparse-checkout", "disable")
    assert index.update().parsed == 0
    assert index.find("in_b")


def test_worktrees_share_records_and_not_what_they_hold(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo", a="def first(): pass\n", b="def same(): pass\n")
    one = opened(tmp_path, root)
    assert one.update().parsed == 2
    git(root, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    (tmp_path / "tree" / "a.py").write_text("def second(): pass\n")
    two = opened(tmp_path, tmp_path / "tree")
    assert two.update().parsed == 1
    one.update()
    assert bool(one.find("first"))
    assert not one.find("second")
    assert bool(two.find("second"))
    assert not two.find("first")


@pytest.mark.parametrize("hint", [None, ["pkg/a.py"], ["pkg"]])
def test_a_directory_that_becomes_a_link_is_not_followed(
    tmp_path: Path, hint: list[str] | None
) -> None:
    root = repository(tmp_path / "repo", pkg__a="def mine(): pass\n")
    index = opened(tmp_path, root)
    assert index.paths() == ("pkg/a.py",)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.py").write_text("def secret(): pass\n")
    (root / "pkg" / "a.py").unlink()
    (root / "pkg").rmdir()
    (root / "pkg").symlink_to(outside)
    index.update(paths=hint)
    assert index.paths() == ()
    assert not index.find("secret")


@pytest.mark.parametrize("new", ["fifo", "directory", "link", "binary", "huge", "gone"])
def test_a_file_that_is_one_no_more(tmp_path: Path, new: str) -> None:
    root = repository(tmp_path / "repo", a="def mine(): pass\n", b="def stays(): pass\n")
    index = opened(tmp_path, root)
    index.update()
    path = root / "a.py"
    path.unlink()
    if new == "fifo":
        os.mkfifo(path)
    elif new == "directory":
        path.mkdir()
    elif new == "link":
        path.symlink_to("b.py")
    elif new == "binary":
        path.write_bytes(b"def mine\0")
    elif new == "huge":
        path.write_bytes(b"def mine(): pass\n" * 100_000)
    index.update(paths=["a.py"])
    assert index.paths() == ("b.py",)
    assert index.update().files == 1
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.write_text("def back(): pass\n")
    index.update(paths=["a.py"])
    assert index.find("back")


def test_hints_about_paths_that_were_never_seen(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo", a="def mine(): pass\n")
    index = opened(tmp_path, root)
    index.update()
    (root / "new.py").write_text("def added(): pass\n")
    (root / "out.py").write_text("def left_out(): pass\n")
    (root / ".gitignore").write_text("out.py\n")
    index.update(paths=["new.py", "out.py", "nowhere.py", "../outside.py", "/etc/hosts", "note"])
    assert index.paths() == ("a.py", "new.py")
    (root / ".gitignore").write_text("new.py\n")
    index.update(paths=[".gitignore"])
    assert index.paths() == ("a.py", "out.py")


def test_a_deep_tree_and_a_broken_repository_are_walked(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    deep = root.joinpath(*["d"] * 90)
    deep.mkdir(parents=True)
    (deep / "far.py").write_text("def far(): pass\n")
    (root / "near.py").write_text("def near(): pass\n")
    (root / ".git").mkdir()  # holds nothing: git refuses
    assert opened(tmp_path, root).paths() == ("near.py",)


def test_two_processes_write_while_a_third_edits(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    for i in range(60):
        (root / f"m{i}.py").write_text(f"def f{i}(): pass\n")
    code = (
        "import sys; from pathlib import Path; from tools.index import open_index\n"
        "i = open_index(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "for _ in range(15): i.update()"
    )
    argv = [sys.executable, "-c", code, str(root), str(tmp_path / "cache")]
    running = [subprocess.Popen(argv, stderr=subprocess.PIPE) for _ in range(2)]
    index = opened(tmp_path, root)
    for i in range(60):
        (root / f"m{i}.py").write_text(f"def g{i}(): pass\n")
        index.update(paths=[f"m{i}.py"])
    for process in running:
        assert process.communicate(timeout=60)[1] == b""
        assert process.returncode == 0
    again = opened(tmp_path, root)
    again.update()
    for i in range(60):
        assert bool(again.find(f"g{i}"))
        assert not again.find(f"f{i}")


def test_what_nobody_needs_is_thrown_away(tmp_path: Path) -> None:
    root, cache = tmp_path / "repo", tmp_path / "cache"
    root.mkdir()
    index = open_index(root, cache)
    for round_ in range(8):  # records of 840 files that are no more
        for i in range(120):
            (root / f"m{i}.py").write_text(f"def f{i}_{round_}(): pass\n" * 30)
        index.update()
    (cache / "index-0.1.sqlite").write_bytes(b"of a version long gone")
    os.utime(cache / "index-0.1.sqlite", (0, 0))
    away = tmp_path / "away"
    away.mkdir()
    (away / "a.py").write_text("def lone(): pass\n" * 4000)
    open_index(away, cache).update()
    assert len(list(cache.glob("snapshot-*"))) == 2
    (away / "a.py").unlink()
    away.rmdir()
    Store(cache).prune()
    assert len(list(cache.glob("snapshot-*"))) == 1
    assert not (cache / "index-0.1.sqlite").exists()
    keys = [(blob, "python") for blob in index.state().blobs.values()]
    store = Store(cache)
    assert len(dict(store.records(keys))) == 120
    assert 120 <= store.size() < 800
    assert open_index(root, cache).update().parsed == 0
