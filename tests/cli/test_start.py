"""Start-up in real processes: what is imported, what is printed, how it exits."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.cli.main import COMMANDS

HEAVY = ("textual", "anthropic", "git", "llama_cpp", "numpy", "jinja2", "pydantic", "rich",
         "tree_sitter", "dataclasses", "asyncio", "pytest", "starlette")  # fmt: skip


def agent(
    *words: str, cwd: Path | None = None, stdin: bytes = b"", **extra: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        (sys.executable, "-m", "agent.cli.main", *words),
        cwd=cwd,
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, **extra},
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "a shop"
    root.mkdir()
    (root / "cart.py").write_text("def total(prices):\n    return sum(prices)\n")
    for argv in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "start"),
    ):
        subprocess.run(("git", *argv), cwd=root, check=True)
    return root


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules); from agent.cli.main import main; "
        "code = main(['--help']); "
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}), file=sys.stderr); "
        "sys.exit(code)"
    )
    # -S: site-packages' .pth files import things of their own.
    root = Path(__file__).parents[2]
    done = subprocess.run(
        (sys.executable, "-S", "-c", code),
        capture_output=True, text=True, check=True, cwd=root, env={**os.environ},
    )  # fmt: skip
    assert not set(done.stderr.split()) & set(HEAVY)
    assert "agent" in done.stderr.split()  # control: the list does show what was imported
    assert done.stdout.startswith("usage: agent")


def test_help_is_quick() -> None:
    def once() -> float:
        start = time.perf_counter()
        assert agent("--help").returncode == 0
        return time.perf_counter() - start

    # Measured: 0.02-0.03 s. The promise is 0.15 s; a busy machine gets three times that.
    assert statistics.median(once() for _ in range(5)) < 0.45


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"eval", "models"}))
def test_every_command_has_help_and_refuses_nonsense(name: str) -> None:
    from agent.cli.main import main

    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert main([name, "--no-such-option"]) == 2


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    from agent.cli.main import main

    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert max(len(row) for row in text.splitlines()) <= 80
    # Completion scripts put these between single quotes.
    assert not any("'" in c.help for c in COMMANDS.values())


def test_no_arguments_in_a_pipe_is_a_usage_error() -> None:
    done = agent()
    assert done.returncode == 2
    assert done.stdout == ""
    assert "usage:" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "what", "remedy"),
    [
        (("fxi", "x"), 2, "unknown command 'fxi'", "agent fix --help"),
        (("cost",), 2, "unknown command 'cost'", "agent ledger --help"),
        (
            ("-q", "--print", "x", "--mode", "sideways"),
            2,
            "invalid choice: 'sideways'",
            "chat --help",
        ),
        (("--verison",), 2, "unknown option '--verison'", "agent --help"),
        (("fix",), 2, "the issue is empty", "--issue FILE"),
        (("fix", " \n "), 2, "the issue is empty", "--issue FILE"),
        (("fix", "-"), 2, "the issue is empty", "--issue FILE"),
        (("fix", "x", "--issue", "y"), 2, "both a text and --issue", "one of them"),
        (("fix", "--issue", "/nonexistent"), 2, "/nonexistent: No such file", ""),
        (("fix", "x", "--file", "../../etc/passwd"), 2, "no such file in", ""),
        (("fix", "x", "--max-cost", "lots"), 2, "--max-cost: budget.run_usd: expected", ""),
        (("fix", "x", "--max-steps", "0"), 2, "--max-steps: limits.steps: expected", ""),
        (("fix", "x", "--sandbox", "maybe"), 2, "expected one of auto, bwrap", ""),
        (("fix", "x", "--replay", "/nonexistent"), 2, "no such trajectory", "agent runs"),
        (("fix", "x", "--local-only", "--frontier"), 2, "contradict", ""),
        (("fix", "x", "--frontier"), 4, "there is no key", "ANTHROPIC_API_KEY"),
        (("-C", "/nonexistent", "fix", "x"), 2, "/nonexistent is not a directory", ""),
        (("ledger", "--by", "colour"), 2, "cannot be grouped by colour", "model"),
        (("ledger", "--since", "yesterday"), 2, "is not a day", "YYYY-MM-DD"),
        (("route", "explain", "dance"), 2, "there is no step 'dance'", "edit"),
        (("config", "get", "budget.run"), 2, "did you mean 'budget.run_usd'", ""),
        (("config", "set", "limits.steps", "many"), 2, "expected a whole number", ""),
        (("chat",), 2, "chat needs a terminal", "--json"),
    ],
)
def test_bad_input(repo: Path, words: tuple[str, ...], code: int, what: str, remedy: str) -> None:
    done = agent(*words, cwd=repo)
    assert done.returncode == code, done.stderr
    first, *rest = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert what in first
    assert "Traceback" not in done.stderr
    if remedy:
        assert rest[0].startswith("  try: ")
        assert remedy in rest[0]
    assert done.stdout == ""


def test_outside_a_repository(tmp_path: Path) -> None:
    done = agent("fix", "x", cwd=tmp_path)
    assert done.returncode == 2
    assert "not inside a git repository" in done.stderr
    subprocess.run(("git", "init", "-q", "--bare", "bare.git"), cwd=tmp_path, check=True)
    done = agent("fix", "x", cwd=tmp_path / "bare.git")
    assert done.returncode == 2
    assert "is a bare repository" in done.stderr
    assert "git clone" in done.stderr


def test_debug_shows_where_an_error_was_raised(tmp_path: Path) -> None:
    assert "Traceback" in agent("fix", "x", "--debug", cwd=tmp_path).stderr
    assert "Traceback" in agent("fix", "x", cwd=tmp_path, POINTSMAN_DEBUG="1").stderr


def test_a_hostile_name_in_an_error_cannot_steer_the_terminal(tmp_path: Path) -> None:
    done = agent("fix\x1b]52;c;aGk=\x07", cwd=tmp_path)
    assert done.returncode == 2
    assert "\x1b" not in done.stderr


def test_an_odd_locale_does_not_crash(repo: Path) -> None:
    done = agent("config", cwd=repo, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0
    assert "frontier.model" in done.stdout


def test_a_closed_pipe_is_no_error(repo: Path) -> None:
    argv = f"{sys.executable} -m agent.cli.main completion fish | head -1"
    done = subprocess.run(argv, shell=True, capture_output=True, text=True, check=False, cwd=repo)
    assert done.stdout.startswith("# pointsman completion")
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_config_shows_values_with_their_origin(repo: Path) -> None:
    (repo / ".pointsman.toml").write_text("[limits]\nsteps = 3\n[anthropic]\nbase_url='http://x'\n")
    assert agent("config", "set", "budget.run_usd", "0.75", cwd=repo).returncode == 0
    done = agent("config", "--json", cwd=repo, ANTHROPIC_API_KEY="sk-ant-0123456789abcdefWXYZ")
    rows = {r["name"]: r for r in map(json.loads, done.stdout.splitlines())}
    assert (rows["limits.steps"]["value"], rows["limits.steps"]["source"]) == (3, "project")
    assert (rows["budget.run_usd"]["value"], rows["budget.run_usd"]["source"]) == (750_000, "user")
    assert rows["anthropic.api_key"]["value"] == "…WXYZ"
    assert "0123456789" not in done.stdout
    assert rows["anthropic.base_url"]["value"] is None
    table = agent("config", cwd=repo)
    assert "may not be set by a repository; ignored" in table.stderr
    assert agent("config", "get", "limits.steps", cwd=repo).stdout == "3\n"


def test_trust_is_asked_for_and_ends_with_the_content(repo: Path) -> None:
    file = repo / ".pointsman.toml"
    file.write_text("[tests]\ncommand = 'make check'\n")
    assert agent("config", "get", "tests.command", cwd=repo).stdout == "not set\n"
    done = agent("config", "trust", cwd=repo)
    assert "make check" in done.stdout
    assert agent("config", "get", "tests.command", cwd=repo).stdout == "make check\n"
    file.write_text("[tests]\ncommand = 'make evil'\n")
    assert agent("config", "get", "tests.command", cwd=repo).stdout == "not set\n"
    file.write_text("[tests]\ncommand = 'make check'\n")
    assert agent("config", "untrust", cwd=repo).returncode == 0
    assert agent("config", "get", "tests.command", cwd=repo).stdout == "not set\n"


def test_config_set_keeps_comments_and_is_private(tmp_path: Path, repo: Path) -> None:
    file = Path(os.environ["XDG_CONFIG_HOME"]) / "pointsman" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("# mine\n[limits]\nsteps = 4 # few\n")
    assert agent("config", "set", "limits.attempts", "5", cwd=repo).returncode == 0
    assert agent("config", "set", "frontier.mode", "off", cwd=repo).returncode == 0
    text = file.read_text()
    assert "# mine" in text
    assert "steps = 4 # few" in text
    assert file.stat().st_mode & 0o077 == 0
    assert agent("config", "get", "limits.attempts", cwd=repo).stdout == "5\n"
    assert agent("config", "get", "frontier.mode", cwd=repo).stdout == "off\n"


def test_paths(repo: Path) -> None:
    done = agent("paths", "--json", cwd=repo)
    found = json.loads(done.stdout)
    assert found["repository"] == str(repo)
    assert not Path(found["index"]).is_relative_to(repo)
    assert not Path(found["journal"]).is_relative_to(repo)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_scripts_are_valid(shell: str, tmp_path: Path) -> None:
    from shutil import which

    done = agent("completion", shell)
    assert done.returncode == 0
    assert "--dry-run" in done.stdout
    if which(shell):
        script = tmp_path / "script"
        script.write_text(done.stdout)
        subprocess.run((shell, "-n", str(script)), check=True)


INTERRUPTED = """
import os, signal, sys, time
from agent.cli.interrupt import Interrupt
with Interrupt() as cancel:
    os.kill(os.getpid(), signal.SIGINT)
    assert cancel.is_set()
    print("set", flush=True)
    if sys.argv[1] == "twice":
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            print("raised", flush=True)
"""


@pytest.mark.parametrize(("how", "out"), [("once", "set\n"), ("twice", "set\nraised\n")])
def test_the_first_interrupt_asks_and_the_second_insists(how: str, out: str) -> None:
    done = subprocess.run(
        (sys.executable, "-c", INTERRUPTED, how), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, out)
    assert "stopping cleanly" in done.stderr


def test_handlers_are_put_back() -> None:
    from agent.cli.interrupt import Interrupt

    before = signal.getsignal(signal.SIGINT)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
