"""The journal: apply then undo is the identity, whatever the bytes, the user, or a kill does."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.errors import ConflictError, EditError, OutOfScope, RepoError
from tools.files import Tree
from tools.journal import Journal
from tools.transaction import Move, roll_back, run
from tools.types import FileChange, Patch

HERE = Path(__file__).parent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    return root


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Path]:
    """In memory where possible: a kill does not ask the disk, and flushing takes milliseconds."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


def one(path: str, before: bytes | None, after: bytes | None, mode: int | None = None) -> Patch:
    return Patch(changes=(FileChange(path=path, before=before, after=after, mode=mode),))


def snapshot(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        os.fsdecode(p.relative_to(root)): (p.read_bytes() if p.is_file() else b"", p.stat().st_mode)
        for p in root.rglob("*")
    }


CONTENT = st.none() | st.binary(max_size=50)
NAMES = ["a.py", "d/b.py", "d/e/c", "sp ace\n.txt", "odd\udcff", "é.py"]


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), CONTENT, CONTENT, st.sampled_from([0o644, 0o755, 0o600])),
        min_size=1,
        unique_by=lambda t: t[0],
    )
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_apply_then_undo_is_the_identity(
    fast: Path, files: list[tuple[str, bytes | None, bytes | None, int]]
) -> None:
    root = fast / os.urandom(6).hex()
    root.mkdir()
    journal = Journal(fast / "journal")
    for name, before, _, mode in files:
        if before is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(before)
            (root / name).chmod(mode)
    patch = Patch(changes=tuple(FileChange(path=n, before=b, after=a) for n, b, a, _ in files))
    start = snapshot(root)
    if all(b == a for _, b, a, _ in files):
        with pytest.raises(EditError, match="changes nothing"):
            journal.apply(root, patch, "run")
        return
    entry = journal.apply(root, patch, "run")
    applied = snapshot(root)
    for name, _, after, _ in files:
        file = root / name
        assert (file.read_bytes() if file.exists() else None) == after
    assert journal.undo(root).state == "undone"
    assert snapshot(root) == start
    assert journal.redo(root, entry.id).state == "applied"
    assert snapshot(root) == applied


@pytest.mark.parametrize(("action", "step"), [("apply", 1), ("undo", 3), ("redo", 3)])
def test_a_kill_at_any_point_is_recovered(fast: Path, action: str, step: int) -> None:
    driver = str(HERE / "crash_driver.py")
    script = [sys.executable, driver, str(fast / "place"), action, str(step)]
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(script, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["bad"] == []
    assert found["points"] > 80 / step
    assert found["half"] > 20 / step  # the kills do leave half-written trees
    assert len(found["states"]) >= 2  # some were rolled back, some were complete


def test_a_file_that_changed_is_not_overwritten(root: Path, journal: Journal) -> None:
    (root / "a").write_bytes(b"1")
    (root / "b").write_bytes(b"user")
    patch = Patch(
        changes=(
            FileChange(path="a", before=b"1", after=b"2"),
            FileChange(path="b", before=b"1", after=b"2"),
        )
    )
    with pytest.raises(ConflictError, match="b changed since"):
        journal.apply(root, patch, "run")
    assert snapshot(root).keys() == {"a", "b"}
    assert ((root / "a").read_bytes(), (root / "b").read_bytes()) == (b"1", b"user")
    assert journal.entries(root) == ()


@pytest.mark.parametrize("later", [b"user's", None])
def test_undo_keeps_what_the_user_did_since(
    root: Path, journal: Journal, later: bytes | None
) -> None:
    (root / "a").write_bytes(b"1")
    (root / "b").write_bytes(b"1")
    changes = tuple(FileChange(path=p, before=b"1", after=b"2") for p in "ab")
    journal.apply(root, Patch(changes=changes), "run")
    if later is None:
        (root / "b").unlink()
    else:
        (root / "b").write_bytes(later)
    start = snapshot(root)
    with pytest.raises(ConflictError, match="b changed since"):
        journal.undo(root)
    assert snapshot(root) == start
    assert journal.entries(root)[-1].state == "applied"
    if later is not None:
        (root / "b").write_bytes(b"2")
        journal.undo(root)
        assert (root / "b").read_bytes() == b"1"


def test_a_redo_does_not_touch_a_file_that_is_already_so(root: Path, journal: Journal) -> None:
    (root / "a").write_bytes(b"1")
    journal.apply(root, one("a", b"1", b"2"), "run")
    journal.undo(root)
    (root / "a").write_bytes(b"2")  # the user did it by hand
    with pytest.raises(ConflictError):
        journal.redo(root)
    assert (root / "a").read_bytes() == b"2"


@pytest.mark.parametrize("new", [b"ours", None])
def test_a_save_between_check_and_exchange_is_put_back(root: Path, new: bytes | None) -> None:
    """The user's editor saves after our check: no check can see it, the exchange does."""
    (root / "a").write_bytes(b"saved a moment ago")
    move = Move(path="a", old=b"1", new=new, old_mode=0o644, new_mode=0o644, temporary=".t")
    with Tree(root) as tree:
        with pytest.raises(ConflictError, match="your version is kept"):
            run(tree, (move,))
        roll_back(tree, (move,))
    assert [(p.name, p.read_bytes()) for p in root.iterdir()] == [("a", b"saved a moment ago")]


def test_racing_saves_are_never_lost(root: Path, journal: Journal) -> None:
    """A user saves by rename all the while; after each of our writes their last save is there, or
    ours on top of exactly what they saved."""
    target = root / "f"
    target.write_bytes(b"user 0")
    stop = threading.Event()
    saved = [b"user 0"]

    def user() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            (root / "f.swp").write_bytes(b"user %d" % n)
            (root / "f.swp").rename(target)
            saved.append(b"user %d" % n)

    thread = threading.Thread(target=user)
    thread.start()
    applied = []
    try:
        for i in range(60):
            before = target.read_bytes()
            try:
                journal.apply(root, one("f", before, b"ours %d" % i), "run")
                applied.append(before)
            except ConflictError:
                pass
    finally:
        stop.set()
        thread.join()
    assert target.read_bytes() == saved[-1] or applied[-1] == saved[-1]


def test_the_naive_writer_loses_a_save(root: Path) -> None:
    """Control: check, then replace. A save in between is gone."""
    target = root / "f"
    target.write_bytes(b"1")
    assert target.read_bytes() == b"1"  # its check
    target.write_bytes(b"saved a moment ago")
    (root / "tmp").write_bytes(b"ours")
    (root / "tmp").rename(target)
    assert b"saved" not in b"".join(p.read_bytes() for p in root.iterdir())


def test_modes_and_owners_are_kept(root: Path, journal: Journal) -> None:
    (root / "tool").write_bytes(b"1")
    (root / "tool").chmod(0o751)
    journal.apply(root, one("tool", b"1", b"2"), "run")
    assert (root / "tool").stat().st_mode & 0o7777 == 0o751
    journal.apply(root, one("new", None, b"x", mode=0o755), "run")
    assert (root / "new").stat().st_mode & 0o7777 == 0o755
    (root / "tool").chmod(0o600)  # the user's own decision survives an undo
    journal.undo(root, journal.entries(root)[0].id)
    assert (root / "tool").stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        "a/.GIT/x",
        ".g\u200cit/hooks/p",
        "../out",
        "/etc/x",
        "a//b",
        "",
        "./a",
        "GIT~1/x",
        ".git",
    ],
)
def test_paths_that_are_never_written(root: Path, journal: Journal, path: str) -> None:
    with pytest.raises(OutOfScope):
        journal.apply(root, one(path, None, b"x"), "run")
    assert list(root.parent.rglob("*")) == [
        p for p in root.parent.rglob("*") if "journal" in str(p) or p == root
    ]


def test_what_is_there_and_is_not_a_plain_file(
    root: Path, journal: Journal, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_bytes(b"1")
    (root / "link").symlink_to(outside / "victim")
    (root / "dir").symlink_to(outside)
    os.mkfifo(root / "fifo")
    (root / "hard").write_bytes(b"1")
    (root / "hard2").hardlink_to(root / "hard")
    (root / "Name.py").write_bytes(b"1")
    for path, before, says in [
        ("link", b"1", "a symbolic link"),
        ("dir/victim", b"1", "a link or not a directory"),
        ("dir/new", None, "a link or not a directory"),
        ("fifo", b"1", "a named pipe"),
        ("hard", b"1", "2 names"),
        ("name.PY", None, "Name.py is there already"),
    ]:
        with pytest.raises(ConflictError, match=says):
            journal.apply(root, one(path, before, b"2"), "run")
    assert [p.name for p in outside.iterdir()] == ["victim"]
    assert (outside / "victim").read_bytes() == b"1"


def test_a_parent_swapped_for_a_link_while_we_write(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "d").mkdir()
    with Tree(root) as tree:
        tree.make_parents("d/f")
        (root / "d").rmdir()
        (root / "d").symlink_to(outside)
        with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
            tree.stage("d/f", "t", b"x", 0o644, None)
    assert list(outside.iterdir()) == []


def test_two_files_of_a_patch_that_are_one_on_other_disks(root: Path, journal: Journal) -> None:
    changes = tuple(FileChange(path=p, before=None, after=b"") for p in ("a.py", "A.py"))
    with pytest.raises(ConflictError, match="case only"):
        journal.apply(root, Patch(changes=changes), "run")


def test_undo_and_redo_walk_back_and_forth(root: Path, journal: Journal) -> None:
    (root / "f").write_bytes(b"0")
    for i in range(3):
        journal.apply(root, one("f", b"%d" % i, b"%d" % (i + 1)), f"run{i}")
    assert [journal.undo(root).run_id for _ in range(3)] == ["run2", "run1", "run0"]
    assert (root / "f").read_bytes() == b"0"
    with pytest.raises(ConflictError, match="nothing to undo"):
        journal.undo(root)
    assert [journal.redo(root).run_id for _ in range(3)] == ["run0", "run1", "run2"]
    assert (root / "f").read_bytes() == b"3"
    with pytest.raises(ConflictError, match="nothing to redo"):
        journal.redo(root)
    entry = journal.entries(root)[1]
    assert journal.patch(entry) == one("f", b"1", b"2")
    with pytest.raises(ConflictError, match="f changed since"):
        journal.undo(root, entry.id)


def test_a_full_disk_leaves_the_tree_as_it_was(
    tmp_path: Path, root: Path, journal: Journal
) -> None:
    """RLIMIT_FSIZE stands in for a full disk: the second file cannot be staged."""
    (root / "a").write_bytes(b"1")
    (root / "b").write_bytes(b"x" * 100)
    script = (
        "import resource, signal, sys; from pathlib import Path; from tools.journal import Journal;"
        "from tools.types import FileChange, Patch\n"
        "root, place = Path(sys.argv[1]), Path(sys.argv[2]); journal = Journal(place)\n"
        "big = b'y' * 9000\n"
        "patch = Patch(changes=(FileChange(path='a', before=b'1', after=b'2'),"
        " FileChange(path='b', before=b'x' * 100, after=big)))\n"
        "journal._keep(big)\n"  # the journal's own copy is on another disk, say
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try: journal.apply(root, patch, 'run')\n"
        "except OSError as error: print('refused', error.errno)\n"
    )
    with pytest.raises(ConflictError):  # makes the journal's directories
        journal.apply(root, one("a", b"0", b"1"), "run")
    start = snapshot(root)
    argv = [sys.executable, "-c", script, str(root), str(tmp_path / "journal")]
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(argv, capture_output=True, text=True, env=env)
    assert "refused 27" in done.stdout, done.stderr
    assert snapshot(root) == start
    assert [e.state for e in journal.entries(root)] == ["rolled_back"]


def test_the_journal_may_not_lie_in_the_repository(root: Path) -> None:
    with pytest.raises(RepoError, match="inside the repository"):
        Journal(root / ".journal").apply(root, one("f", None, b"x"), "run")


def test_a_damaged_journal_is_noticed(root: Path, journal: Journal, tmp_path: Path) -> None:
    (root / "f").write_bytes(b"1")
    journal.apply(root, one("f", b"1", b"2"), "run")
    for blob in (tmp_path / "journal" / "objects").rglob("*"):
        if blob.is_file():
            blob.write_bytes(b"garbage")
    with pytest.raises(ConflictError, match="damaged"):
        journal.undo(root)
    assert (root / "f").read_bytes() == b"2"


def test_two_processes_take_turns(root: Path, journal: Journal, tmp_path: Path) -> None:
    (root / "f").write_bytes(b"0")
    script = (
        "import sys; from pathlib import Path; from tools.errors import ConflictError;"
        "from tools.journal import Journal; from tools.types import FileChange, Patch\n"
        "root, place = Path(sys.argv[1]), Path(sys.argv[2]); journal = Journal(place); done = 0\n"
        "while done < 15:\n"
        "    old = (root / 'f').read_bytes(); new = b'%d' % (int(old) + 1)\n"
        "    change = FileChange(path='f', before=old, after=new)\n"
        "    try: journal.apply(root, Patch(changes=(change,)), 'r')\n"
        "    except ConflictError: continue\n"
        "    done += 1\n"
    )
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    argv = [sys.executable, "-c", script, str(root), str(tmp_path / "journal")]
    both = [subprocess.Popen(argv, env=env) for _ in range(2)]
    assert [p.wait(60) for p in both] == [0, 0]
    assert (root / "f").read_bytes() == b"30"
    assert [e.number for e in journal.entries(root)] == list(range(1, 31))
