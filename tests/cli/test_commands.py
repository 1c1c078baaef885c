"""Commands over a real repository: runs without a model, the journal, the index, interruption."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent import paths
from agent.cli.main import main
from tools.journal import Journal
from tools.types import FileChange, Patch

CART = "def allowed(total, limit):\n    return total < limit\n"
TESTS = """\
import time
from cart import allowed


def test_limit_itself_is_allowed():
    assert allowed(100, 100)


def test_below():
    assert allowed(99, 100)
"""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "cart.py").write_text(CART)
    (root / "test_cart.py").write_text(TESTS)
    for argv in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "start"),
    ):
        subprocess.run(("git", *argv), cwd=root, check=True)
    monkeypatch.chdir(root)
    return root


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def untouched(root: Path) -> bool:
    return (root / "cart.py").read_text() == CART and not subprocess.run(
        ("git", "status", "--porcelain"), cwd=root, capture_output=True, check=True
    ).stdout


def test_without_a_sandbox_nothing_is_executed(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fix", "the limit is refused", "--sandbox", "none", "--json"]) == 5
    told = capsys.readouterr()
    rows = events(told.out)
    assert rows[0]["type"] == "RunStarted"
    assert rows[-1]["type"] == "RunFinished"
    assert "exit 5" in told.err
    assert untouched(repo)


def test_a_run_without_any_model_is_honest_and_kept(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--no-zero-token", "--local-model", "none"]
    assert main(["fix", "the limit is refused", *flags]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "test_limit_itself_is_allowed" in told.err
    assert "✘ not solved · exit 1" in told.err
    assert "no model was asked" in told.err
    assert untouched(repo)

    assert main(["runs", "--json"]) == 0
    (run,) = events(capsys.readouterr().out)
    assert main(["runs"]) == 0
    assert str(run["run_id"]) in capsys.readouterr().out
    assert main(["diff"]) == 2
    assert "made no patch" in capsys.readouterr().err
    assert main(["resume"]) == 2
    assert "no run was interrupted" in capsys.readouterr().err
    assert main(["resume", "nonsense"]) == 2
    assert "there is no run 'nonsense'" in capsys.readouterr().err


def test_interrupting_ends_cleanly_with_130_and_resume_takes_it_up(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repo / "test_slow.py").write_text("import time\n\n\ndef test_slow():\n    time.sleep(60)\n")
    argv = (sys.executable, "-m", "agent.cli.main", "fix", "slow", "--json")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"TestCommandFound" in line:
                break
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    last = json.loads(rest.splitlines()[-1])
    assert last["type"] == "RunFinished"
    assert last["outcome"]["exit_code"] == 130
    assert (repo / "cart.py").read_text() == CART

    (repo / "test_slow.py").unlink()
    flags = ["--json", "--no-zero-token", "--local-model", "none"]
    assert main(["resume", *flags]) == 1
    rows = events(capsys.readouterr().out)
    assert rows[0]["run_id"] == last["run_id"]
    assert main(["resume"]) == 2  # now it has ended by itself


def test_undo_and_redo(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["undo"]) == 1
    assert "nothing to undo" in capsys.readouterr().err
    fixed = CART.replace("<", "<=")
    change = FileChange(path="cart.py", before=CART.encode(), after=fixed.encode())
    journal = Journal(paths.journal_dir(paths.repo_key(repo / ".git")))
    entry = journal.apply(repo, Patch(changes=(change,)), "run-1")
    assert main(["undo", "--list"]) == 0
    assert entry.id in capsys.readouterr().out
    assert main(["undo"]) == 0
    assert (repo / "cart.py").read_text() == CART
    assert f"next: agent redo {entry.id}" in capsys.readouterr().err
    assert main(["redo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == entry.id
    assert (repo / "cart.py").read_text() == fixed
    (repo / "cart.py").write_text("mine\n")
    assert main(["undo"]) == 1  # what the user wrote since is never overwritten
    assert (repo / "cart.py").read_text() == "mine\n"


def test_index_and_map(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "--json"]) == 0
    assert events(capsys.readouterr().out)[0]["files"] == 2
    assert main(["index", "search", "allowed", "limit", "--json", "-n", "1"]) == 0
    (hit,) = events(capsys.readouterr().out)
    assert hit["path"] in ("cart.py", "test_cart.py")
    assert main(["index", "find", "allowed"]) == 0
    assert "cart.py:1" in capsys.readouterr().out
    assert main(["index", "symbols", "cart.py"]) == 0
    assert "def allowed(total, limit)" in capsys.readouterr().out
    for action, query, said in (
        ("locate", "allowed at the limit", "its name matches"),
        ("refs", "allowed", "test_cart.py:"),
        ("callers", "allowed", "test_cart.py:"),
        ("callees", "test_below", "def allowed"),
        ("grep", r"def\s+allow", "cart.py:1"),
    ):
        assert main(["index", action, query]) == 0, action
        assert said in capsys.readouterr().out, action
    assert main(["index", "grep", "("]) == 2
    assert "regular expression" in capsys.readouterr().err
    assert main(["index", "find", "no_such_name"]) == 1
    assert "nothing found" in capsys.readouterr().err
    assert main(["map", "--tokens", "60"]) == 0
    told = capsys.readouterr()
    assert "allowed" in told.out
    assert "of 60 tokens" in told.err
    assert main(["map", "alowed"]) == 0
    told = capsys.readouterr()
    assert "allowed" in told.out
    assert "nothing holds alowed: allowed is near" in told.err


def test_route_explain_names_every_place_and_reason(
    repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789abcdef")
    assert main(["route", "explain", "plan", "--local-model", "none"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("plan: frontier")
    assert "0123456789" not in text
    shut = ["route", "explain", "plan", "--local-only", "--local-model", "none", "--json"]
    assert main(shut) == 0
    (row,) = events(capsys.readouterr().out)
    assert row["location"] is None


def test_doctor_reports_and_never_shows_a_key(
    repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789abcdef")
    code = main(["doctor", "--json"])
    told = capsys.readouterr()
    rows = {str(r["name"]): r for r in events(told.out)}
    assert code == int(any(r["state"] == "fail" for r in rows.values()))
    assert {"version", "install", "git", "ledger", "llama.cpp", "frontier"} <= set(rows)
    assert rows["llama.cpp"]["state"] == "ok"
    assert "0123456789" not in told.out


def test_doctor_fails_when_the_ledger_cannot_be_written(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.ledger_path().mkdir(parents=True)
    assert main(["doctor"]) == 1
    assert "✘  ledger" in capsys.readouterr().out


def test_a_long_issue_is_shortened_and_says_so(
    repo: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    issue = tmp_path / "issue.md"
    issue.write_text("begin " + "x" * (1 << 20) + " end")
    assert main(["fix", "--issue", str(issue), "--sandbox", "none", "--json"]) == 5
    told = capsys.readouterr()
    assert "in its middle are left out" in told.err
    task = events(told.out)[0]["task"]
    assert isinstance(task, dict)
    assert 60_000 < len(task["text"]) < 70_000
    assert task["text"].startswith("begin")
    assert task["text"].endswith("end")
    issue.write_bytes(b"y" * (17 << 20))
    assert main(["fix", "--issue", str(issue)]) == 2


def test_unsandboxed_is_said_loudly_and_cannot_come_from_elsewhere(
    repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTSMAN_UNSANDBOXED", "1")
    assert main(["config", "get", "unsandboxed"]) == 2
    assert "use the flag --unsandboxed" in capsys.readouterr().err
    monkeypatch.delenv("POINTSMAN_UNSANDBOXED")
    (repo / ".pointsman.toml").write_text("unsandboxed = true\n")
    assert main(["config", "get", "unsandboxed"]) == 0
    assert capsys.readouterr().out == "false\n"
    (repo / ".pointsman.toml").unlink()
    flags = ["--unsandboxed", "--no-zero-token", "--local-model", "none", "--test", "true"]
    assert main(["fix", "the limit", *flags]) == 1
    assert "WARNING: --unsandboxed" in capsys.readouterr().err
