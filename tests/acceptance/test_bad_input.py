"""Bad input: a message that says what is wrong and what to do, an exit code, nothing changed.

0 verified, 1 not solved or not verified, 2 usage, 3 budget, 4 policy, 5 infrastructure.
"""

import sqlite3
from contextlib import closing

import pytest

from agent import events, paths
from agent.types import Task
from tests.acceptance.bench import AREA, FIXED, ISSUE, TESTS, agent, plot, refused, repaired, tree
from tests.agent.repos import git
from tests.agent.test_flow import app
from tests.loopback import dialects, serve

FROM_NOWHERE = "no place can serve this edit step"

# --------------------------------------------------------------------------- repositories


def test_not_a_repository(tmp_path):
    place = tmp_path / "plain"
    place.mkdir()
    refused(place, "fix", ISSUE, code=2, says=(f"{place} is not inside a git",), remedy="git init")


@pytest.mark.parametrize("where", ["bare.git", "shop/.git"])
def test_bare_repository(tmp_path, where):
    git(tmp_path, "init", "--bare", "--quiet", "bare.git")
    plot(tmp_path / "shop")
    bare = tmp_path / where
    refused(bare, "fix", ISSUE, code=2, says=("bare repository",), remedy="git clone")


def test_repository_that_git_calls_bare(tmp_path):
    root = plot(tmp_path / "shop")
    git(root, "config", "core.bare", "true")
    refused(root, "fix", ISSUE, code=2, says=("bare repository",), remedy="core.bare false")


def test_directory_that_is_not_there(tmp_path):
    told = agent(tmp_path / "gone", "fix", ISSUE)
    assert (told.code, "gone is not a directory" in told.err) == (2, True)


def test_a_git_directory_that_is_empty(tmp_path):
    (tmp_path / "half/.git").mkdir(parents=True)
    refused(tmp_path / "half", "fix", ISSUE, code=2, says=("not in a git repository",))


# --------------------------------------------------------------------------- tests of the target


def test_no_tests_found(tmp_path):
    root = plot(tmp_path / "shop", tests="")
    refused(
        root, "fix", ISSUE, code=1, says=("collected no tests", FROM_NOWHERE),
        remedy="--test 'COMMAND'",
    )  # fmt: skip


def test_a_repository_without_anything_to_test(tmp_path):
    root = tmp_path / "docs"
    root.mkdir()
    (root / "README.md").write_text("# Words\n")
    git(root, "init", "--quiet")
    says = ("no tests were found",)
    refused(root, "fix", ISSUE, code=1, says=says, remedy="--test 'COMMAND'")


def test_tests_that_hang_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("POINTSMAN_TESTS_TIMEOUT_S", "2")
    root = plot(tmp_path / "shop")
    says = ("did not end within 2 s", FROM_NOWHERE)
    refused(root, "fix", ISSUE, "--test", "sleep 600", code=1, says=says, remedy="tests.timeout_s")


def test_one_test_that_hangs_does_not_hide_the_bug(tmp_path, monkeypatch):
    monkeypatch.setenv("POINTSMAN_TESTS_PER_TEST_TIMEOUT_S", "1")
    hang = "\n\ndef test_for_ever():\n    while True:\n        pass\n"
    root = plot(tmp_path / "shop", tests=TESTS + hang)
    told = repaired(root, "area.py", before=AREA, after=FIXED)
    assert "test_for_ever" in told.err


def test_a_test_command_that_is_not_there(tmp_path):
    root = plot(tmp_path / "shop")
    refused(
        root, "fix", ISSUE, "--test", "no-such-tool --all", code=2,
        says=("there is no program 'no-such-tool'", "--test"), remedy="--test 'COMMAND'",
    )  # fmt: skip


def test_a_compiler_that_is_missing_is_the_test_commands_failure_not_ours(tmp_path):
    """A build inside the test command that finds no compiler: shown, and no patch is made of it."""
    root = plot(tmp_path / "shop")
    (root / "Makefile").write_text("check:\n\tno-such-cc -o area area.c\n")
    refused(
        root, "fix", ISSUE, "--test", "sh -c 'exec no-such-cc area.c'", code=2,
        says=("could not be run", "no-such-cc"), remedy="--test 'COMMAND'",
    )  # fmt: skip


# --------------------------------------------------------------------------- models and money


def test_unknown_local_model(tmp_path):
    root = plot(tmp_path / "shop")
    says = ("local model 'nosuch' is not installed",)
    refused(root, "fix", ISSUE, "--local-model", "nosuch", code=2, says=says, remedy="agent models")


def test_unknown_frontier_model(tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    root = plot(tmp_path / "shop")
    refused(
        root, "fix", ISSUE, "--frontier-model", "claude-nosuch-9", code=2,
        says=("unknown model 'claude-nosuch-9'",), remedy="--frontier-model claude-",
    )  # fmt: skip


def test_frontier_without_a_key(tmp_path):
    root = plot(tmp_path / "shop")
    told = refused(
        root, "fix", ISSUE, "--frontier", code=4, says=("there is no key",),
        remedy="export ANTHROPIC_API_KEY",
    )  # fmt: skip
    assert "tests" not in told.err  # nothing was run before it was said


def test_frontier_with_a_budget_of_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    root = plot(tmp_path / "shop")
    told = refused(
        root, "fix", ISSUE, "--frontier", "--max-cost", "0", code=3,
        says=("no budget is left",), remedy="--max-cost",
    )  # fmt: skip
    assert "tests" not in told.err


def test_a_budget_of_nothing_where_only_the_paid_api_could_help(tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    root = plot(tmp_path / "shop")
    refused(
        root, "fix", ISSUE, "--max-cost", "0", "--no-zero-token", code=3,
        says=("no budget is left", FROM_NOWHERE), remedy="--max-cost",
    )  # fmt: skip


@pytest.mark.parametrize("how", ["a directory", "not a database", "read-only"])
def test_unwritable_ledger(tmp_path, monkeypatch, how):
    root = plot(tmp_path / "shop")
    path = paths.ledger_path()
    path.parent.mkdir(parents=True)
    if how == "a directory":
        path.mkdir()
    elif how == "not a database":
        path.write_bytes(b"not a database" * 100)
    else:
        place = tmp_path / "file"
        place.write_text("in the way of a directory")
        monkeypatch.setenv("XDG_STATE_HOME", str(place))
    told = refused(root, "fix", ISSUE, code=5, says=("cannot be",), remedy="")
    assert "before" not in told.err  # no test was run, nothing was sent


def test_a_ledger_that_breaks_during_the_run(tmp_path):
    """Nothing is sent from then on, and the run still says how it ended."""
    root = plot(tmp_path / "shop")
    before = tree(root)
    with serve([dialects.openai("never asked for")]) as onprem:
        one = app(root, onprem_url=onprem.url, onprem_model="coder")
        seen: list[events.Event] = []
        for event in one.run(Task(goal="fix", text=ISSUE, root=root)):
            seen.append(event)
            if isinstance(event, events.Localized):
                with closing(sqlite3.connect(paths.ledger_path())) as other:
                    other.execute("DROP TABLE attempt")
    assert isinstance(seen[-1], events.RunFinished)
    assert seen[-1].outcome.exit_code == 5
    assert "the ledger" in seen[-1].outcome.reason
    assert onprem.received == []
    assert tree(root) == before


# --------------------------------------------------------------------------- the issue


@pytest.mark.parametrize("text", ["", "  \n\t", "\ufeff", "\x00"])
def test_an_empty_issue(tmp_path, text):
    root = plot(tmp_path / "shop")
    refused(root, "fix", text, code=2, says=("the issue is empty",), remedy="agent fix")


@pytest.mark.parametrize("argv", [("fix",), ("fix", "--issue", "nowhere.txt"), ("fix", "-")])
def test_no_issue_at_all(tmp_path, argv):
    root = plot(tmp_path / "shop")
    refused(root, *argv, code=2, says=("issue",))


def test_an_issue_of_a_megabyte_that_is_not_text(tmp_path):
    root = plot(tmp_path / "shop")
    issue = tmp_path / "issue.txt"
    issue.write_bytes(b"areas are wrong: \xff\x00\x1b]0;x\x07 " * 45_000)
    assert issue.stat().st_size > 1_000_000
    told = refused(
        root, "fix", "--issue", str(issue), "--no-zero-token", code=1,
        says=("in its middle are left out", "✘ test_area.py::test_area"),
    )  # fmt: skip
    assert "\x1b]0" not in told.err
    assert len(told.err) < 10_000


def test_an_issue_beyond_reason(tmp_path):
    root = plot(tmp_path / "shop")
    issue = tmp_path / "issue.txt"
    with issue.open("wb") as file:
        file.truncate(17 << 20)
    refused(root, "fix", "--issue", str(issue), code=2, says=("larger than 16 MiB",))


def test_a_file_that_is_not_in_the_repository(tmp_path):
    root = plot(tmp_path / "shop")
    for path in ("nowhere.py", "../outside.py", "/etc/passwd"):
        refused(root, "fix", ISSUE, "--file", path, code=2, says=(f"--file {path}: no such file",))
