"""Reading repositories: what is in them, odd ones, and hostile ones that must not run a thing."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.errors import RepoError
from tools.repo import open_repo

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    def run(*argv: str, cwd: Path | None = None, check: bool = True) -> str:
        names = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        done = subprocess.run(
            ["git", *names, *argv],
            cwd=cwd or tmp_path / "repo",
            check=check,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )
        return os.fsdecode(done.stdout).strip()

    return run


@pytest.fixture
def root(tmp_path: Path, git: Git) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    git("init", "-q", "-b", "main")
    (root / "a.py").write_bytes(b"x = 1\n")
    (root / ".gitignore").write_text("*.log\n")
    git("add", "-A")
    git("commit", "-q", "-m", "feat: start")
    return root


def state(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(p.relative_to(root)): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in root.rglob("*")
        if p.is_file()
    }


def test_what_is_in_a_repository(root: Path, git: Git) -> None:
    (root / "new.py").write_bytes(b"")
    (root / "x.log").write_bytes(b"")
    (root / "link").symlink_to("a.py")
    os.mkfifo(root / "pipe")
    (root / "a.py").write_bytes(b"x = 2\n")
    (root / "sub").mkdir()
    (root / "sub" / "c").write_bytes(b"")
    with open_repo(root / "sub") as repo:
        assert (repo.root, repo.git_dir, repo.common_dir) == (root, root / ".git", root / ".git")
        assert repo.head() == git("rev-parse", "HEAD")
        assert repo.branch() == "main"
        assert repo.tracked() == (".gitignore", "a.py")
        assert repo.files() == (".gitignore", "a.py", "link", "new.py", "sub/c")
        assert repo.dirty() == ("a.py", "link", "new.py", "sub/c")
        assert repo.show("HEAD", "a.py") == b"x = 1\n"
        assert repo.show("main", "none.py") is None
        with pytest.raises(RepoError, match="no commit 'nowhere'"):
            repo.show("nowhere", "a.py")
        with pytest.raises(RepoError, match="no commit"):
            repo.show("--all", "a.py")
        (commit,) = repo.log()
        assert (commit.subject, commit.author, commit.sha) == ("feat: start", "Ada", repo.head())
        assert repo.log(path="none.py") == ()


def test_the_users_work_is_seen_as_it_goes_on(root: Path, git: Git) -> None:
    with open_repo(root) as repo:
        first = repo.head()
        (root / "b.py").write_bytes(b"1\n")
        git("add", "b.py")
        assert repo.tracked() == (".gitignore", "a.py", "b.py")
        git("commit", "-q", "-m", "two")
        assert repo.head() == git("rev-parse", "HEAD") != first
        git("checkout", "-q", "-b", "feature")
        assert repo.branch() == "feature"
        git("checkout", "-q", "--detach")
        assert (repo.branch(), repo.head()) == (None, git("rev-parse", "HEAD"))
        git("branch", "-D", "feature")
        git("pack-refs", "--all")
        git("gc", "-q")
        assert repo.show("main", "b.py") == b"1\n"
        with pytest.raises(RepoError):
            repo.show("feature", "b.py")
        assert [c.subject for c in repo.log()] == ["two", "feat: start"]


def test_nothing_of_the_repository_is_written(root: Path, git: Git) -> None:
    (root / "a.py").touch()  # plain `git status` would refresh the index now
    (root / "b.py").write_bytes(b"")
    start = state(root)
    with open_repo(root) as repo:
        repo.files(), repo.dirty(), repo.head(), repo.show("HEAD", "a.py"), repo.log()
        place = Path(repo._mirror.environment()["GIT_DIR"])
        assert place.exists()
    assert not place.exists()
    assert state(root) == start
    git("status")  # control: plain git does write
    assert state(root) != start


def test_a_repository_without_a_commit(tmp_path: Path, git: Git) -> None:
    (tmp_path / "repo").mkdir()
    git("init", "-q", "-b", "trunk")
    (tmp_path / "repo" / "f").write_bytes(b"")
    with open_repo(tmp_path / "repo") as repo:
        assert (repo.head(), repo.branch(), repo.log()) == (None, "trunk", ())
        assert (repo.files(), repo.dirty(), repo.tracked()) == (("f",), ("f",), ())


def test_odd_names(root: Path, git: Git) -> None:
    names = sorted(["sp ace", "new\nline", os.fsdecode(b"odd\xff"), "-dash", "*.py", '"q"', "é"])
    for name in names:
        (root / name).write_bytes(b"1")
    git("add", "-A")
    git("commit", "-q", "-m", "odd\nbody")
    with open_repo(root) as repo:
        assert set(names) < set(repo.files())
        for name in names:
            assert repo.show("HEAD", name) == b"1"
            (root / name).write_bytes(b"22")
        assert repo.dirty() == tuple(names)


def test_an_odd_place(tmp_path: Path, git: Git) -> None:
    root = tmp_path / 'o"dd\n pl#ace;\\é'
    root.mkdir()
    git("init", "-q", cwd=root)
    (root / "f").write_bytes(b"1")
    git("add", "f", cwd=root)
    git("commit", "-q", "-m", "m", cwd=root)
    with open_repo(root) as repo:
        assert repo.show("HEAD", "f") == b"1"
        assert repo.dirty() == ()


def test_linked_work_trees_and_submodules(root: Path, tmp_path: Path, git: Git) -> None:
    git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    with open_repo(tmp_path / "linked") as repo:
        assert repo.branch() == "side"
        assert repo.git_dir == root / ".git" / "worktrees" / "linked"
        assert repo.common_dir == root / ".git"
        assert repo.show("main", "a.py") == b"x = 1\n"
        assert repo.dirty() == ()
    outer = tmp_path / "outer"
    outer.mkdir()
    git("init", "-q", cwd=outer)
    allow = ("-c", "protocol.file.allow=always")
    git(*allow, "submodule", "--quiet", "add", str(root), "inner", cwd=outer)
    git("init", "-q", str(outer / "nested"), cwd=outer)
    (outer / "nested" / "n.py").write_bytes(b"")
    with open_repo(outer) as repo:
        assert repo.files() == (".gitmodules",)
    with open_repo(outer / "inner") as repo:
        assert repo.root == outer / "inner"
        assert repo.files() == (".gitignore", "a.py")


def test_shallow_split_index_and_sha256(root: Path, tmp_path: Path, git: Git) -> None:
    git("commit", "-q", "--allow-empty", "-m", "second")
    git("update-index", "--split-index")
    with open_repo(root) as repo:
        assert repo.tracked() == (".gitignore", "a.py")
    git("clone", "-q", "--depth=1", f"file://{root}", str(tmp_path / "shallow"))
    with open_repo(tmp_path / "shallow") as repo:
        assert [c.subject for c in repo.log()] == ["second"]
    git("init", "-q", "--object-format=sha256", str(tmp_path / "wide"))
    (tmp_path / "wide" / "f").write_bytes(b"1")
    git("add", "f", cwd=tmp_path / "wide")
    git("commit", "-q", "-m", "m", cwd=tmp_path / "wide")
    with open_repo(tmp_path / "wide") as repo:
        assert len(repo.head() or "") == 64
        assert repo.show("HEAD", "f") == b"1"


def test_what_is_refused(tmp_path: Path, git: Git, root: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "plain").mkdir()
    git("init", "-q", "--bare", str(tmp_path / "bare.git"))
    for path, says in [
        (tmp_path / "none", "does not exist"),
        (tmp_path / "file", "not a directory"),
        (tmp_path / "plain", "not in a git repository"),
        (tmp_path / "bare.git", "bare"),
        (root / ".git", "inside of a .git"),
    ]:
        with pytest.raises(RepoError, match=says) as caught:
            open_repo(path)
        assert caught.value.remedy
    git("config", "core.bare", "true")
    with pytest.raises(RepoError, match=r"core\.bare is true"):
        open_repo(root)
    (root / ".git" / "config").write_text("[core\n")
    with pytest.raises(RepoError, match="cannot read"):
        open_repo(root)


def hostile(root: Path, marker: Path) -> None:
    """Every setting we know of that makes git run a program, each of which leaves a mark."""
    script = root.parent / "mark.sh"
    script.write_text(f'#!/bin/sh\ntouch "{marker}.$(basename "$0").$1"\ncat\n')
    script.chmod(0o755)
    run = f"sh {script}"
    hooks = root / "hooks"
    hooks.mkdir()
    for name in (
        "post-index-change",
        "post-checkout",
        "fsmonitor-watchman",
        "reference-transaction",
    ):
        for place in (hooks, root / ".git" / "hooks"):
            place.mkdir(exist_ok=True)
            (place / name).write_text(script.read_text())
            (place / name).chmod(0o755)
    included = root / "included"
    included.write_text(f"[core]\n\tfsmonitor = {run} included\n[alias]\n\tstatus = !{run}\n")
    with (root / ".git" / "config").open("a") as config:
        config.write(
            f"""[core]
\tfsmonitor = {run} fsmonitor
\thooksPath = {hooks}
\tsshCommand = {run} ssh
\taskPass = {script}
\tpager = {run} pager
\teditor = {run} editor
\tgitProxy = {run}
\talternateRefsCommand = {run} alternate
\tworktree = /
[filter "evil"]
\tclean = {run} clean
\tsmudge = {run} smudge
\tprocess = {run} process
\trequired = true
[diff]
\texternal = {run} external
[diff "evil"]
\ttextconv = {run} textconv
\tcommand = {run} command
[merge "evil"]
\tdriver = {run} merge
[alias]
\tstatus = !{run} alias
\tls-files = !{run} alias
[gpg]
\tprogram = {script}
[log]
\tshowSignature = true
[credential]
\thelper = !{run} credential
[include]
\tpath = {included}
[remote "origin"]
\turl = ext::{run} ext
\tpromisor = true
\tuploadpack = {run} upload
[extensions]
\tpartialClone = origin
[uploadpack]
\tpackObjectsHook = {run} pack
[submodule "inner"]
\tupdate = !{run} submodule
"""
        )
    (root / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    (root / ".git" / "info" / "attributes").write_text("* filter=evil diff=evil\n")


def test_a_hostile_config_runs_nothing(root: Path, tmp_path: Path, git: Git) -> None:
    marker = tmp_path / "marks" / "m"
    marker.parent.mkdir()
    hostile(root, marker)
    (root / "a.py").write_bytes(b"x = 2\n")
    os.utime(root / "a.py", (1, 1))
    with open_repo(root) as repo:
        assert repo.root == root  # not core.worktree
        assert "a.py" in repo.dirty()
        assert "a.py" in repo.files()
        assert repo.show("HEAD", "a.py") == b"x = 1\n"
        assert repo.show("HEAD", "missing") is None
        with pytest.raises(RepoError):  # a promisor remote would be asked for it
            repo.show("0" * 39 + "1", "a.py")
        assert repo.log(path="a.py")[0].subject == "feat: start"
        assert (repo.branch(), repo.tracked()) == ("main", (".gitignore", "a.py"))
    assert list(marker.parent.iterdir()) == []
    # Control: the traps are live, plain git walks into them.
    with (root / ".git" / "config").open("a") as config:
        config.write(f"[core]\n\tworktree = {root}\n")
    git("status", check=False)
    git("diff", check=False)
    marks = {p.name.rsplit(".", 1)[-1] for p in marker.parent.iterdir()}
    assert marks & {"included", "fsmonitor"}
    assert marks & {"clean", "process", "external", "command"}


def test_the_callers_environment_leads_nowhere(
    root: Path, tmp_path: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    git("init", "-q", cwd=tmp_path / "elsewhere")
    for name, value in {
        "GIT_DIR": str(tmp_path / "elsewhere" / ".git"),
        "GIT_INDEX_FILE": str(tmp_path / "elsewhere" / "index"),
        "GIT_WORK_TREE": "/",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": f"touch {tmp_path}/fired",
        "GIT_EXTERNAL_DIFF": f"touch {tmp_path}/fired",
    }.items():
        monkeypatch.setenv(name, value)
    with open_repo(root) as repo:
        assert repo.tracked() == (".gitignore", "a.py")
        assert repo.dirty() == ()
    assert not (tmp_path / "fired").exists()


def test_a_git_in_the_repository_is_not_run(root: Path, tmp_path: Path) -> None:
    """Not even by the import of GitPython, which asks git for its version."""
    fake = root / "git"
    fake.write_text(f"#!/bin/sh\ntouch {tmp_path}/fired\n")
    fake.chmod(0o755)
    script = (
        "from pathlib import Path; from tools.repo import open_repo\n"
        "print(*open_repo(Path('.')).files())"
    )
    home = Path(__file__).parents[2]
    env = {**os.environ, "PATH": f".::{os.environ['PATH']}", "PYTHONPATH": str(home)}
    done = subprocess.run([sys.executable, "-c", script], cwd=root, env=env, capture_output=True)
    assert done.stdout.split() == [b".gitignore", b"a.py", b"git"], done.stderr
    assert not (tmp_path / "fired").exists()
    subprocess.run(["sh", "-c", "git version"], cwd=root, env=env)  # control
    assert (tmp_path / "fired").exists()


def test_pipes_where_git_keeps_files_do_not_hang(root: Path) -> None:
    for name in ("packed-refs", "shallow", "refs/heads/pipe", "commondir"):
        (root / ".git" / name).unlink(missing_ok=True)
        os.mkfifo(root / ".git" / name)
    with open_repo(root) as repo:
        assert repo.branch() == "main"
