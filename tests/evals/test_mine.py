"""Mining a repository's own history: what is kept is proved, what is not says why."""

import json
import subprocess
from pathlib import Path

import pytest

from agent.cli.main import main
from evals.datasets import load_recipes
from evals.datasets.build import Rejected, build, prove
from evals.datasets.history import export
from evals.datasets.mine import Limits, commits, mined, origin_of, unfit
from evals.datasets.recipe import Package
from tests.evals import tiny
from tools.sandbox import pick

TITLE = "Discounts raise the price"
BODY = (
    "total([10], discount=3) gives 13 where a buyer expects 7.\n\nSigned-off-by: Somebody <s@x.y>"
)
PACKAGE = Package(name="till", version="", sha256="", test_cmd="python -m pytest")
NO_TEST = tiny.TESTS.replace("class TestDiscount:", "class Elsewhere:").split("class Elsewhere")[0]


def git(root: Path, *args: str) -> str:
    settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *settings, *args], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(root: Path, message: str, **files: str) -> str:
    for name, text in files.items():
        (root / f"{name}.py").write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", message)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fix among commits that are none."""
    root = tmp_path / "till"
    root.mkdir()
    git(root, "init", "-q")
    (root / ".gitattributes").write_text("test_*.py export-ignore\n")
    commit(root, "Start", till=tiny.BAD, test_till=NO_TEST)
    commit(root, f"{TITLE}\n\n{BODY}", till=tiny.GOOD, test_till=tiny.TESTS)
    spaced = tiny.GOOD.replace("sum(prices) - discount", "sum( prices )-discount")
    commit(root, "Spaces in the sum of prices", till=spaced, test_till=tiny.TESTS + "\n")
    commit(root, "Revert the spaces in the sum", till=tiny.GOOD, test_till=tiny.TESTS)
    said = tiny.GOOD.replace("return 0", "return type(value)(0)")
    commit(
        root,
        "Zero must be of the same type: return type(value)(0)",
        till=said,
        test_till=tiny.TESTS + "\n\ndef test_type():\n    assert total([0.5], 1) == 0.0\n",
    )
    more = said + "\n\ndef unused():\n    return 1\n"
    commit(
        root,
        "Another function for the till of the shop",
        till=more,
        test_till=tiny.TESTS + "\n\ndef test_more():\n    assert total([3]) == 3\n",
    )
    return root


def test_a_fix_is_found_and_proved(clone):
    heard: list[str] = []
    found = list(mined(clone, PACKAGE, pick("auto"), url="", count=5, told=heard.append))
    assert len(found) == 1
    recipe, instance = found[0]
    assert recipe.problem_statement.startswith(TITLE)
    assert "Signed-off-by" not in recipe.problem_statement
    assert instance.FAIL_TO_PASS == tiny.RED
    assert instance.PASS_TO_PASS == tiny.GREEN
    assert instance.stratum == "mined"
    assert not instance.tests_visible
    assert instance.hidden_tests == tiny.RED
    assert recipe.commit is not None
    assert recipe.commit.fix in instance.origin
    tree = Path(instance.source_dir)
    assert (tree / "till.py").read_text() == tiny.BAD
    assert not (tree / ".git").exists()
    assert tiny.OLD in instance.patch
    why = "\n".join(heard)
    assert "only the form changes" in why
    assert "no fix by its title" in why
    assert "its message shows the patch" in why
    assert "no test notices the bug" in why  # tests that pass before as well
    assert "a merge or a root" in why


def test_what_is_written_holds_no_code_and_is_read_back(clone, tmp_path, capsys):
    out = tmp_path / "till.toml"
    assert main(["eval", "mine", str(clone), "--out", str(out), "--count", "1"]) == 0
    text = out.read_text()
    assert "1 proved" in capsys.readouterr().out
    assert "def total" not in text
    assert "sum(prices)" not in text
    (recipe,) = load_recipes(out)
    instance = build(recipe, pick("auto"))
    assert instance.FAIL_TO_PASS == tiny.RED
    lock = json.loads((tmp_path / "lock.json").read_text())
    assert lock[recipe.instance_id]["FAIL_TO_PASS"] == list(tiny.RED)


def test_merges_and_large_commits_are_not_kept(clone):
    git(clone, "checkout", "-q", "-b", "side", "HEAD~2")
    commit(clone, "A side of the story that is told", other="x = 1\n")
    git(clone, "checkout", "-q", "-")
    git(clone, "merge", "-q", "--no-edit", "side")
    merge, *rest = commits(clone, 20)
    assert unfit(clone, merge, Limits()) == "a merge or a root"
    fix = next(c for c in rest if c.title == TITLE)
    assert unfit(clone, fix, Limits()) == ""
    assert unfit(clone, fix, Limits(lines=1)) == "too large"
    assert unfit(clone, fix, Limits(sources=0)) == "too large"


def test_files_that_archives_leave_out_are_there(clone, tmp_path):
    export(clone, "HEAD", tmp_path / "out")
    assert (tmp_path / "out" / "test_till.py").is_file()
    assert not (tmp_path / "out" / ".git").exists()
    assert [p.name for p in tmp_path.glob(".index*")] == []


def test_a_commit_that_is_not_there_is_rejected_with_its_reason(clone):
    recipe, _ = next(mined(clone, PACKAGE, pick("auto"), url="", count=1))
    from dataclasses import replace

    assert recipe.commit is not None
    broken = replace(recipe, commit=replace(recipe.commit, fix="0" * 40))
    with pytest.raises((Rejected, Exception), match="git read-tree failed"):
        prove(broken, pick("auto"))


def test_credentials_in_a_remote_are_not_written_down(clone):
    assert origin_of(clone) == ""
    git(clone, "remote", "add", "origin", "https://user:secret@example.com/a/till.git")
    assert origin_of(clone) == "https://example.com/a/till.git"
