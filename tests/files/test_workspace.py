"""The scratch copy: complete, separate, and deaf to what tests leave behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.errors import ConflictError, OutOfScope
from tools.types import FileChange, Patch
from tools.workspace import Workspace, discover


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg" / "a.py").write_bytes(b"x = 1\n")
    (root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    os.utime(root / "run.sh", (1_000_000_000, 1_000_000_000))
    (root / ".gitignore").write_text("*.log\n/out/\n!keep.log\n")
    return root


def make(repo: Path, tmp_path: Path) -> Workspace:
    return Workspace.create(repo, discover(repo), tmp_path / "scratch" / "one")


def one(path: str, before: bytes | None, after: bytes | None, mode: int | None = None) -> Patch:
    return Patch(changes=(FileChange(path=path, before=before, after=after, mode=mode),))


def test_files_are_copied_with_mode_and_time(repo: Path, tmp_path: Path) -> None:
    with make(repo, tmp_path) as workspace:
        assert workspace.files == (".gitignore", "pkg/a.py", "run.sh")
        copy = (workspace.root / "run.sh").stat()
        assert (copy.st_mode & 0o777, copy.st_mtime) == (0o755, 1_000_000_000)
        assert workspace.read("pkg/a.py") == b"x = 1\n"
        assert workspace.read("nothing") is None
        assert workspace.read("../one/base/run.sh") is None
    assert not (tmp_path / "scratch" / "one").exists()


def test_what_belongs_into_a_copy(repo: Path, tmp_path: Path) -> None:
    for name in [
        "x.log", "keep.log", "out/y", "venv/lib/z.py", "node_modules/m.js", "__pycache__/a.pyc",
        ".git/config", "pkg/_version.py", "pkg/fast.so", "pkg.egg-info/PKG-INFO", "myenv/q.so",
        "myenv/pyvenv.cfg",
    ]:  # fmt: skip
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_bytes(b"data")
    (repo / ".gitignore").write_text("*.log\n/out/\n!keep.log\n_version.py\n*.so\n*.egg-info/\n")
    (repo / ".gitignore").write_text((repo / ".gitignore").read_text() + "myenv/\n")
    with make(repo, tmp_path) as workspace:
        assert set(workspace.files) == {
            ".gitignore", "run.sh", "pkg/a.py", "keep.log", "pkg/_version.py", "pkg/fast.so",
            "pkg.egg-info/PKG-INFO",
        }  # fmt: skip


def test_links_and_special_files(repo: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"mine")
    (repo / "inner").symlink_to("pkg/a.py")
    (repo / "outer").symlink_to(secret)
    (repo / "outdir").symlink_to(tmp_path)
    os.mkfifo(repo / "pipe")
    names = [*discover(repo), "pipe", "outdir/secret", ".git/config", "gone"]
    with Workspace.create(repo, names, tmp_path / "scratch") as workspace:
        assert (workspace.root / "inner").readlink() == Path("pkg/a.py")
        assert (workspace.root / "outer").is_symlink()
        assert not (workspace.root / "pipe").exists()
        assert workspace.read("outer") is None
        for path in ("outer", "outdir/new"):
            with pytest.raises((ConflictError, OSError)):
                workspace.write(one(path, None, b"overwritten"))
        with pytest.raises(OutOfScope):
            workspace.write(one(".git/hooks/pre-commit", None, b""))
    assert secret.read_bytes() == b"mine"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name == "new") == []


def test_a_test_that_plants_a_link_gains_nothing(repo: Path, tmp_path: Path) -> None:
    """Tests run code we do not trust in the copy; then we write there with our own rights."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "a.py").write_bytes(b"x = 1\n")
    with make(repo, tmp_path) as workspace:
        (workspace.root / "pkg" / "a.py").unlink()
        (workspace.root / "pkg").rmdir()
        (workspace.root / "pkg").symlink_to(victim)
        assert workspace.read("pkg/a.py") is None
        with pytest.raises((ConflictError, OSError)):
            workspace.write(one("pkg/a.py", b"x = 1\n", b"x = 2\n"))
        workspace.reset()
        assert workspace.read("pkg/a.py") == b"x = 1\n"
    assert (victim / "a.py").read_bytes() == b"x = 1\n"


def test_only_what_was_written_through_us_is_the_patch(repo: Path, tmp_path: Path) -> None:
    with make(repo, tmp_path) as workspace:
        workspace.write(one("pkg/a.py", b"x = 1\n", b"x = 2\n"))
        workspace.write(one("new/tool", None, b"#!\n", mode=0o755))
        workspace.write(one("run.sh", b"#!/bin/sh\n", None))
        (workspace.root / "side-effect").write_bytes(b"")
        (workspace.root / ".gitignore").write_bytes(b"changed by a test")
        assert workspace.changes() == Patch(
            changes=(
                FileChange(path="new/tool", before=None, after=b"#!\n", mode=0o755),
                FileChange(path="pkg/a.py", before=b"x = 1\n", after=b"x = 2\n"),
                FileChange(path="run.sh", before=b"#!/bin/sh\n", after=None),
            )
        )
        assert "run.sh" not in workspace.files
        assert os.access(workspace.root / "new" / "tool", os.X_OK)
        workspace.write(one("pkg/a.py", b"x = 2\n", b"x = 1\n"))
        assert "pkg/a.py" not in workspace.changes().paths
        assert workspace.base("run.sh") == b"#!/bin/sh\n"
    assert (repo / "pkg" / "a.py").read_bytes() == b"x = 1\n"


def test_a_patch_that_does_not_fit_writes_nothing(repo: Path, tmp_path: Path) -> None:
    with make(repo, tmp_path) as workspace:
        good = FileChange(path="pkg/a.py", before=b"x = 1\n", after=b"x = 2\n")
        bad = FileChange(path="run.sh", before=b"other", after=b"")
        with pytest.raises(ConflictError, match=r"run\.sh"):
            workspace.write(Patch(changes=(good, bad)))
        assert workspace.read("pkg/a.py") == b"x = 1\n"
        assert workspace.changes() == Patch()


def test_reset_takes_back_what_tests_did_too(repo: Path, tmp_path: Path) -> None:
    with make(repo, tmp_path) as workspace:
        workspace.write(one("pkg/a.py", b"x = 1\n", b"x = 2\n"))
        (workspace.root / "junk").mkdir()
        (workspace.root / "junk" / "f").write_bytes(b"")
        (workspace.root / "junk").chmod(0)
        (workspace.root / "run.sh").unlink()
        workspace.reset()
        assert workspace.changes() == Patch()
        found = sorted(str(p.relative_to(workspace.root)) for p in workspace.root.rglob("*"))
        assert found == [".gitignore", "pkg", "pkg/a.py", "run.sh"]


def test_reset_leaves_alone_what_is_as_it_was(repo: Path, tmp_path: Path) -> None:
    (repo / "to-dir").symlink_to("pkg")
    with make(repo, tmp_path) as workspace:
        inode = (workspace.root / "run.sh").stat().st_ino
        file = workspace.root / "pkg" / "a.py"
        time_before = file.stat()
        file.write_bytes(b"x = 9\n")  # same length, and the time put back
        os.utime(file, ns=(time_before.st_atime_ns, time_before.st_mtime_ns))
        (workspace.root / "to-dir").unlink()
        (workspace.root / "to-dir").mkdir()
        (workspace.root / ".gitignore").unlink()
        (workspace.root / ".gitignore").symlink_to(tmp_path)
        workspace.reset()
        assert (workspace.root / "run.sh").stat().st_ino == inode
        assert file.read_bytes() == b"x = 1\n"
        assert (workspace.root / "to-dir").readlink() == Path("pkg")
        assert workspace.read(".gitignore") == (repo / ".gitignore").read_bytes()


def test_clones_are_apart(repo: Path, tmp_path: Path) -> None:
    with make(repo, tmp_path) as workspace:
        workspace.write(one("pkg/a.py", b"x = 1\n", b"x = 2\n"))
        (workspace.root / "side-effect").write_bytes(b"")
        with workspace.clone(tmp_path / "two") as twin:
            assert twin.changes() == workspace.changes()
            assert not (twin.root / "side-effect").exists()
            twin.write(one("pkg/a.py", b"x = 2\n", b"x = 3\n"))
            assert workspace.read("pkg/a.py") == b"x = 2\n"
            twin.reset()
            assert twin.read("pkg/a.py") == b"x = 1\n"
        assert workspace.base("pkg/a.py") == b"x = 1\n"


def test_two_candidates_of_one_length_within_a_second(repo: Path, tmp_path: Path) -> None:
    """Python compares seconds and size: without care the second candidate runs as the first."""
    with make(repo, tmp_path) as workspace:

        def value() -> bytes:
            argv = [sys.executable, "-c", "import pkg.a; print(pkg.a.x)"]
            env = {n: v for n, v in os.environ.items() if not n.startswith("PYTHON")}
            done = subprocess.run(argv, cwd=workspace.root, env=env, capture_output=True)
            return done.stdout.strip()

        def together(path: Path) -> None:
            os.utime(path, (second, second))

        second = int(time.time())
        file = workspace.root / "pkg" / "a.py"
        together(file)
        assert value() == b"1"
        file.write_bytes(b"x = 5\n")  # control: a plain write is not seen
        together(file)
        assert value() == b"1"
        file.write_bytes(b"x = 1\n")
        workspace.write(one("pkg/a.py", b"x = 1\n", b"x = 2\n"))
        together(file)
        assert value() == b"2"


def test_odd_names(repo: Path, tmp_path: Path) -> None:
    names = ["sp ace\n.txt", os.fsdecode(b"odd\xff"), "pkg/é.py"]
    for name in names:
        (repo / name).write_bytes(b"1")
    with make(repo, tmp_path) as workspace:
        for name in names:
            assert workspace.read(name) == b"1"
            workspace.write(one(name, b"1", b"2"))
        assert set(workspace.changes().paths) == set(names)
