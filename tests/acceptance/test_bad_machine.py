"""Odd files and odd machines: the same promises as for bad input."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.acceptance.bench import AREA, FIXED, ISSUE, agent, plot, refused, repaired, tree
from tests.agent.repos import git

FROM_NOWHERE = "no place can serve this edit step"


def coded(name: str) -> tuple[bytes, ...]:
    """The bug and its repair, in other bytes."""
    odd = b"# -*- coding: latin-1 -*-\nNAME = '\xe9\xff'\n"
    return {
        "latin-1": (odd + AREA, odd + FIXED),
        "bom": tuple(
            b"\xef\xbb\xbf" + code.rstrip().replace(b"\n", b"\r\n") for code in (AREA, FIXED)
        ),
    }[name]


def test_latin_1_and_a_budget_of_nothing(tmp_path, monkeypatch):
    """No budget closes the paid API, not the stage that needs none."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    monkeypatch.setenv("POINTSMAN_BUDGET_RUN_USD", "0")
    before, after = coded("latin-1")
    root = plot(tmp_path / "shop", code=before)
    told = repaired(root, "area.py", before=before, after=after)
    assert "no model was asked" in told.err


def test_a_bom_no_last_newline_crlf_and_no_commit(tmp_path):
    before, after = coded("bom")
    root = plot(tmp_path / "shop", code=before, commit=False)
    repaired(root, "area.py", before=before, after=after)


def test_everything_odd_at_once(tmp_path):
    """Paths with spaces and newlines, a submodule, a detached HEAD, links out of the tree and in a
    circle, binary and undecodable files, a pipe, files of every mode: the repair works."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "area.py").write_bytes(AREA)
    inner = plot(tmp_path / "inner")
    place = "two words\nand a line — ü"
    root = plot(tmp_path / "odd shop", place=place)
    git(root, "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(inner), "sub")
    (root / "far").symlink_to(outside)
    (root / "far.py").symlink_to(outside / "area.py")
    (root / "circle").symlink_to("circle")
    (root / "blob.bin").write_bytes(bytes(range(256)) * 40)
    (root / "broken.py").write_bytes(b"def broken(:\n\xff\xfe\x00")
    (root / os.fsdecode(b"bad-\xff-name.txt")).write_bytes(b"x")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "odd")
    git(root, "checkout", "--quiet", "--detach")
    (root / place / "area.py").chmod(0o755)
    away = tree(outside)
    found = tree(root)  # before the pipe is there: reading it would wait for ever
    pipe = root / "pipe"
    os.mkfifo(pipe)
    told = agent(root, "fix", ISSUE)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    pipe.unlink()
    assert told.code == 0, told.err
    assert tree(root) == {**found, f"{place}/area.py": FIXED}
    assert stat.S_IMODE((root / place / "area.py").stat().st_mode) == 0o755
    assert agent(root, "undo").code == 0
    assert tree(root) == found
    assert tree(outside) == away


def test_a_bug_behind_a_link_out_of_the_tree_is_not_ours_to_change(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "area.py").write_bytes(AREA)
    root = plot(tmp_path / "shop")
    (root / "area.py").unlink()
    (root / "area.py").symlink_to(outside / "area.py")
    away = tree(outside)
    refused(root, "fix", ISSUE, code=1, says=("not solved",))
    assert tree(outside) == away


def test_a_file_that_changed_underneath(tmp_path):
    """The user saves a file while the tests run: theirs stays, the patch is offered."""
    mine = AREA + b"\n# mine\n"
    root = plot(tmp_path / "shop")
    running = subprocess.Popen(
        (sys.executable, "-m", "agent.cli.main", "-C", str(root), "fix", ISSUE, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert running.stdout is not None
    for line in running.stdout:
        if '"EditProposed"' in line:
            (root / "area.py").write_bytes(mine)
    _, err = running.communicate()
    words = " ".join(err.replace("│", " ").split())
    assert running.returncode == 1, err
    assert "changed during the run: area.py" in words
    assert "next: git apply " in words
    assert (root / "area.py").read_bytes() == mine


# --------------------------------------------------------------------------- the machine


def test_without_a_sandbox_it_still_finds_the_place(tmp_path):
    root = plot(tmp_path / "shop")
    told = refused(
        root, "fix", "area(3, 4) gives 7", "--sandbox", "none", code=5,
        says=("was not run: execution is switched off", "nothing may be executed"),
        remedy="leave out --sandbox none",
    )  # fmt: skip
    assert "area.py:1 area" in told.words


def test_where_no_sandbox_works(tmp_path):
    root = plot(tmp_path / "shop")
    done = subprocess.run(
        (sys.executable, "-m", "agent.cli.main", "-C", str(root), "fix", ISSUE),
        env={**os.environ, "POINTSMAN_SANDBOX_SKIP": "bwrap,sandlock"},
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    words = " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode == 5, done.stderr
    assert "no sandbox works on this machine" in words
    assert "install bubblewrap" in words
    assert (root / "area.py").read_bytes() == AREA


NO_LLAMA = """\
import sys


class NoLlama:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "llama_cpp":
            raise ModuleNotFoundError("No module named 'llama_cpp'", name="llama_cpp")


sys.meta_path.insert(0, NoLlama())
"""


def test_without_llama_cpp_everything_else_works(tmp_path, monkeypatch):
    """No compiler, no llama.cpp: the engine is said to be unavailable, the rest goes on."""
    block = tmp_path / "block"
    block.mkdir()
    (block / "sitecustomize.py").write_text(NO_LLAMA)
    here = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{block}:{here}")
    monkeypatch.setenv("POINTSMAN_LOCAL_MODEL", "mini")
    # A directory of its own for sockets: a worker that another test left warm would serve it.
    sockets = tempfile.mkdtemp(prefix="pm-")
    monkeypatch.setenv("XDG_RUNTIME_DIR", sockets)
    root = plot(tmp_path / "shop")
    before = tree(root)

    def command(*argv: str) -> tuple[int, str]:
        done = subprocess.run(
            (sys.executable, "-m", "agent.cli.main", "-C", str(root), *argv),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).replace("│", " ").split())

    code, words = command("fix", ISSUE, "--no-zero-token")
    assert code == 5, words
    assert "No module named 'llama_cpp'" in words
    assert "local (mini): it failed in this run" in words
    assert "next: agent doctor" in words
    code, words = command("doctor")
    assert code == 1
    assert "✘ llama.cpp llama.cpp cannot be used: No module named 'llama_cpp'" in words
    assert "→ pip install --force-reinstall 'llama-cpp-python" in words
    assert tree(root) == before
