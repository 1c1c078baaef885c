"""Similar past commits as evidence for where a fix belongs."""

import subprocess
from pathlib import Path

from tools.index import open_index


def git(root: Path, *args: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *args], cwd=root, check=True, capture_output=True)


def commit(root: Path, title: str, **files: str) -> None:
    for name, text in files.items():
        (root / f"{name}.py").write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", title)


def test_a_like_title_points_to_the_file_it_changed(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q")
    commit(root, "Start", alpha="def one(): pass\n", beta="def two(): pass\n", gamma="G = 1\n")
    commit(root, "Fix invoice rounding", beta="def two(): return 1\n")
    index = open_index(root, tmp_path / "cache")
    hits = index.localize("Invoice is rounded to the wrong cent")
    assert hits[0].path == "beta.py"
    assert hits[0].reasons == ("similar commits changed the file",)
    (past,) = index.similar_commits("Invoice is rounded to the wrong cent")
    assert (past.title, past.paths) == ("Fix invoice rounding", ("beta.py",))
    # Not what it says about other things, and not before the commit was made.
    assert index.localize("Login times out") == ()
    git(root, "checkout", "-q", "HEAD~1")
    index.update()
    assert index.localize("Invoice is rounded to the wrong cent") == ()


def test_sweeping_commits_and_a_repository_without_commits_say_nothing(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q")
    index = open_index(root, tmp_path / "cache")
    (root / "a.py").write_text("def f(): pass\n")
    index.update()
    assert index.localize("Invoice is rounded") == ()
    commit(root, "Invoice sweep", **{f"m{i}": "X = 1\n" for i in range(30)})
    index.update()
    assert index.localize("Invoice is rounded") == ()


def test_a_configured_command_is_never_run(tmp_path: Path) -> None:
    root, mark = tmp_path / "repo", tmp_path / "ran"
    root.mkdir()
    git(root, "init", "-q")
    commit(root, "Fix invoice", a="def f(): pass\n")
    (root / ".gitattributes").write_text("*.py diff=evil filter=evil\n")
    for key in ("core.fsmonitor", "diff.external", "diff.evil.command", "diff.evil.textconv",
                "filter.evil.clean", "core.pager", "gpg.program"):  # fmt: skip
        git(root, "config", key, f"touch {mark}; true")
    git(root, "config", "log.showSignature", "true")
    index = open_index(root, tmp_path / "cache")
    index.update()
    assert index.localize("invoice")
    assert not mark.exists()
