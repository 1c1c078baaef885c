"""What an agent could read: one commit, no other object, no hidden test. And a control."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from evals.checkout import agent_repository, grading_tree
from evals.datasets import Instance, hide
from evals.datasets.instance import from_row
from evals.grading import grade_patch
from tests.agent.repos import git
from tests.evals import tiny
from tools.sandbox import pick

SECRET = "the gold patch: minus, not plus"


def leaky(root: Path) -> Instance:
    """A source whose git holds the fix in its history, its stash, its reflog and a remote."""
    found = tiny.instance(root, tests_visible=False)
    git(root, "init", "--quiet")
    (root / "till.py").write_text(tiny.GOOD + f"# {SECRET}\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "fixed")
    (root / "till.py").write_text(tiny.BAD)
    git(root, "commit", "--quiet", "--all", "-m", "broken again")
    (root / "till.py").write_text(tiny.GOOD + f"# {SECRET} (stashed)\n")
    git(root, "stash")
    git(root, "remote", "add", "origin", "https://localhost/fixed.git")
    return found


def readable(root: Path) -> str:
    """Every object that git has here, reachable or not, and every file of the tree and of .git."""
    listed = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"],
        cwd=root, check=True, capture_output=True,
    )  # fmt: skip
    files = b"\n".join(p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file())
    return (listed.stdout + files).decode("utf-8", "replace")


def test_nothing_of_the_fix_can_be_read(tmp_path):
    found = leaky(tmp_path / "source")
    agent_repository(found, tmp_path / "agent")
    seen = readable(tmp_path / "agent")
    assert SECRET not in seen
    assert "test_discount" not in seen
    assert "sum(prices) + discount" in seen
    assert git(tmp_path / "agent", "rev-list", "--all", "--count").strip() == "1"
    assert git(tmp_path / "agent", "remote") == ""
    assert git(tmp_path / "agent", "stash", "list") == ""
    assert not list((tmp_path / "agent" / ".git").rglob("logs/*"))


def test_without_isolation_it_can(tmp_path):
    found = leaky(tmp_path / "source")
    shutil.copytree(found.source_dir, tmp_path / "copy")
    assert f"{SECRET} (stashed)" in readable(tmp_path / "copy")
    assert "test_discount" in readable(tmp_path / "copy")


def test_the_same_tree_is_the_same_commit(tmp_path):
    found = tiny.instance(tmp_path / "source")
    heads = set()
    for name in ("one", "two"):
        agent_repository(found, tmp_path / name)
        heads.add(git(tmp_path / name, "rev-parse", "HEAD"))
    assert len(heads) == 1


def test_a_bundle_gives_the_tree_of_its_commit_and_no_other_object(tmp_path):
    root = tmp_path / "source"
    leaky(root)
    base = git(root, "rev-parse", "HEAD").strip()
    git(root, "bundle", "create", str(tmp_path / "b.bundle"), "HEAD", "main")
    bundled = Instance(
        instance_id="b", repo="b", base_commit=base, patch="", test_patch="",
        problem_statement="", FAIL_TO_PASS=tiny.RED, PASS_TO_PASS=(), tests_visible=False,
        source_bundle=str(tmp_path / "b.bundle"),
    )  # fmt: skip
    agent_repository(bundled, tmp_path / "agent")
    assert (tmp_path / "agent" / "till.py").read_text() == tiny.BAD
    assert SECRET not in readable(tmp_path / "agent")
    grading_tree(bundled, tmp_path / "graded")
    assert (tmp_path / "graded" / "test_till.py").read_text() == tiny.TESTS


def test_a_bundle_gives_what_a_release_would_leave_out_and_as_it_was_committed(tmp_path):
    """Many repositories keep their tests out of archives, and have hashes written into files."""
    root = tiny.tree(tmp_path / "source")
    (root / ".gitattributes").write_text("test_*.py export-ignore\nversion.txt export-subst\n")
    (root / "version.txt").write_text("$Format:%H$\n")
    (root / "link.py").symlink_to("till.py")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "base")
    git(root, "bundle", "create", str(tmp_path / "b.bundle"), "HEAD", "main")
    found = replace(
        tiny.instance(tmp_path / "other"),
        source_dir="",
        source_bundle=str(tmp_path / "b.bundle"),
        base_commit=git(root, "rev-parse", "HEAD").strip(),
    )
    for make, name in ((grading_tree, "graded"), (agent_repository, "agent")):
        make(found, tmp_path / name)
        assert (tmp_path / name / "test_till.py").read_text() == tiny.TESTS
        assert (tmp_path / name / "version.txt").read_text() == "$Format:%H$\n"
        assert (tmp_path / name / "link.py").is_symlink()
    assert not (tmp_path / "graded" / ".git").exists()
    assert (
        sorted(p.name for p in tmp_path.iterdir()) == "agent b.bundle graded other source".split()
    )


def test_the_test_patch_of_a_row_is_for_grading_only(tmp_path):
    """As in SWE-bench's rows: the base commit lacks the tests, the patch adds them."""
    root = tiny.tree(tmp_path / "source")
    left = hide.without(tiny.TESTS, [("TestDiscount",)])
    assert left is not None
    (root / "test_till.py").write_text(left)
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "base")
    git(root, "bundle", "create", str(tmp_path / "b.bundle"), "HEAD", "main")
    (root / "test_till.py").write_text(tiny.TESTS)
    row = {
        "instance_id": "a__b-1",
        "repo": "a/b",
        "base_commit": git(root, "rev-parse", "HEAD").strip(),
        "patch": tiny.GOLD,
        "test_patch": git(root, "diff"),
        "problem_statement": tiny.ISSUE,
        "FAIL_TO_PASS": list(tiny.RED),
        "PASS_TO_PASS": list(tiny.GREEN),
        "source_bundle": str(tmp_path / "b.bundle"),
    }
    found = from_row(row, where="test")
    assert not found.tests_visible
    agent_repository(found, tmp_path / "agent")
    assert (tmp_path / "agent" / "test_till.py").read_text() == left
    assert "test_discount" not in readable(tmp_path / "agent")
    graded = grade_patch(found, tiny.GOLD, tmp_path / "graded", pick("auto"))
    assert graded.status == "resolved", graded


def test_entry_points_stay_and_what_a_release_tells_of_itself_does_not(tmp_path):
    """Packages find their own plugins by them; a description may name the fix."""
    found = tiny.instance(tmp_path / "source")
    info = tmp_path / "source" / "till.egg-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[till]\na = till:total\n")
    (info / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: till\nVersion: 1\n\n{SECRET}\n")
    (info / "SOURCES.txt").write_text(SECRET)
    agent_repository(found, tmp_path / "agent")
    kept = tmp_path / "agent" / "till.egg-info"
    assert sorted(p.name for p in kept.iterdir()) == ["PKG-INFO", "entry_points.txt"]
    assert (kept / "PKG-INFO").read_text() == "Metadata-Version: 2.1\nName: till\nVersion: 1\n"
    assert SECRET not in readable(tmp_path / "agent")
