"""What a command must not reach. Each probe also runs unsandboxed, where it must succeed."""

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.errors import SandboxError
from tools.sandbox import interpreter_paths, pick
from tools.types import CommandResult, Limits, Sandbox

Shell = Callable[..., CommandResult]


def python(sandbox: Sandbox, code: str, *args: str, cwd: Path) -> CommandResult:
    return sandbox.run(
        (sys.executable, "-I", "-c", code, *args),
        cwd=cwd,
        env={},
        limits=Limits(wall_s=20),
        writable=(cwd,),
    )


def test_writes_inside_only(tier: Sandbox, shell: Shell, repo: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    script = f"echo in > made.txt; echo out > {outside}"
    shell(tier, script)
    assert (repo / "made.txt").read_text() == "in\n"
    assert not outside.exists()
    shell(pick("direct"), script)
    assert outside.read_text() == "out\n"


def test_cannot_read_files_of_the_user(tier: Sandbox, shell: Shell, tmp_path: Path) -> None:
    secret = tmp_path / "id_ed25519"
    secret.write_text("canary-7")
    assert b"canary" not in shell(tier, f"cat {secret}").stdout
    assert b"canary" in shell(pick("direct"), f"cat {secret}").stdout
    listing = shell(tier, f"ls -A {Path.home()}").stdout.decode().split()
    assert not {".ssh", ".bashrc", ".profile", ".gitconfig"} & set(listing)


def test_environment_is_what_was_passed(
    tier: Sandbox, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "canary-8")
    result = tier.run(("env",), cwd=repo, env={"GIVEN": "1"}, limits=Limits(), writable=(repo,))
    names = {line.split("=")[0] for line in result.stdout.decode().splitlines()}
    given = {"PATH", "HOME", "LANG", "TMPDIR", "USER", "LOGNAME"}
    assert names - {"PWD", "SHLVL", "_"} == {"GIVEN", *given}
    home = next(x for x in result.stdout.decode().splitlines() if x.startswith("HOME="))
    assert home != f"HOME={Path.home()}"


def test_cannot_read_our_own_environment(tier: Sandbox, repo: Path) -> None:
    code = "import sys; print(len(open('/proc/' + sys.argv[1] + '/environ', 'rb').read()))"
    import os

    assert python(tier, code, str(os.getpid()), cwd=repo).returncode != 0
    assert python(pick("direct"), code, str(os.getpid()), cwd=repo).returncode == 0


def test_no_network(tier: Sandbox, repo: Path) -> None:
    code = "import socket,sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 3)"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        port = str(listener.getsockname()[1])
        assert python(tier, code, port, cwd=repo).returncode != 0
        with pytest.raises(TimeoutError):
            listener.accept()
        assert python(pick("direct"), code, port, cwd=repo).returncode == 0
        listener.accept()[0].close()


def test_network_when_asked_for(tier: Sandbox, repo: Path) -> None:
    code = "import socket,sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 3)"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = tier.run(
            (sys.executable, "-I", "-c", code, str(listener.getsockname()[1])),
            cwd=repo,
            env={},
            limits=Limits(wall_s=20),
            writable=(repo,),
            network=True,
        )
        assert result.returncode == 0, result.stderr


def test_git_directory_is_not_writable(tier: Sandbox, shell: Shell, repo: Path) -> None:
    script = "echo x > .git/hooks/pre-commit; mv .git other; rm -rf .git; echo > .git/config"
    shell(tier, script)
    assert (repo / ".git" / "config").read_text() == "[core]\n"
    assert list((repo / ".git" / "hooks").iterdir()) == []
    shell(pick("direct"), "echo x > .git/hooks/pre-commit")
    assert (repo / ".git" / "hooks" / "pre-commit").exists()


def test_git_file_of_a_worktree_is_not_writable(tier: Sandbox, tmp_path: Path) -> None:
    root = tmp_path / "worktree"
    root.mkdir()
    (root / ".git").write_text("gitdir: /elsewhere\n")
    script = "echo 'gitdir: evil' > .git; rm -f .git; mv other .git"
    tier.run(("/bin/sh", "-c", script), cwd=root, env={}, limits=Limits(), writable=(root,))
    assert (root / ".git").read_text() == "gitdir: /elsewhere\n"


def test_planted_git_directory_does_not_remain(tier: Sandbox, tmp_path: Path) -> None:
    root = tmp_path / "plain"
    root.mkdir()
    script = "mkdir -p .git/hooks; echo '[core]' > .git/config; mkdir x; mv x .git; echo a > kept"
    argv = ("/bin/sh", "-c", script)
    tier.run(argv, cwd=root, env={}, limits=Limits(), writable=(root,))
    assert not (root / ".git").exists()
    assert (root / "kept").exists()
    pick("direct").run(argv, cwd=root, env={}, limits=Limits(), writable=(root,))
    assert (root / ".git" / "config").exists()


def test_protected_path_inside_a_writable_one(tier: Sandbox, repo: Path) -> None:
    (repo / "policy.toml").write_text("a = 1\n")
    guarded = pick(tier.name, protect=(repo / "policy.toml",))  # type: ignore[arg-type]
    argv = ("/bin/sh", "-c", "echo changed > policy.toml; rm -f policy.toml; true")
    guarded.run(argv, cwd=repo, env={}, limits=Limits(), writable=(repo,))
    assert (repo / "policy.toml").read_text() == "a = 1\n"
    tier.run(argv, cwd=repo, env={}, limits=Limits(), writable=(repo,))
    assert not (repo / "policy.toml").exists()


def test_symlink_does_not_lead_out(tier: Sandbox, shell: Shell, repo: Path, tmp_path: Path) -> None:
    target = tmp_path / "outside.txt"
    target.write_text("before")
    (repo / "link").symlink_to(target)
    shell(tier, "echo after > link")
    assert target.read_text() == "before"
    shell(pick("direct"), "echo after > link")
    assert target.read_text() == "after\n"


def test_cwd_outside_writable_is_read_only(tier: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "seen.txt").write_text("seen")
    result = tier.run(
        ("/bin/sh", "-c", "cat seen.txt; echo > new.txt"),
        cwd=tmp_path,
        env={},
        limits=Limits(),
        readable=(tmp_path,),
    )
    assert result.stdout == b"seen"
    assert not (tmp_path / "new.txt").exists()


def test_holds_no_capability(tier: Sandbox, shell: Shell) -> None:
    """As root too: Landlock alone would let root set the clock of the host."""
    lines = shell(tier, "grep -E 'Cap(Prm|Eff|Inh|Amb)' /proc/self/status").stdout.split()
    assert set(lines[1::2]) == {b"0000000000000000"}


def test_sysctls_cannot_be_opened_for_writing(tier: Sandbox, repo: Path) -> None:
    code = "import os; os.close(os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY))"
    assert python(tier, code, cwd=repo).returncode != 0


@pytest.mark.parametrize("call", ["ptrace(0,0,0,0)", "unshare(0x10000000)", "syscall(425,1,0)"])
def test_dangerous_system_calls_are_refused(tier: Sandbox, repo: Path, call: str) -> None:
    code = f"import ctypes,sys; sys.exit(0 if ctypes.CDLL(None).{call} == -1 else 7)"
    assert python(tier, code, cwd=repo).returncode == 0


def test_threads_and_subprocesses_still_work(tier: Sandbox, repo: Path) -> None:
    code = (
        "import subprocess,threading,sys\n"
        "t=threading.Thread(target=print,args=('thread',)); t.start(); t.join()\n"
        "sys.stdout.flush(); subprocess.run(['/bin/echo','child'],check=True)\n"
    )
    result = python(tier, code, cwd=repo)
    assert result.stdout == b"thread\nchild\n", result.stderr


def test_interpreter_of_a_hidden_home_is_bound(tier: Sandbox, repo: Path) -> None:
    result = python(tier, "import pytest; print(pytest.__file__)", cwd=repo)
    assert result.returncode == 0, result.stderr


def test_interpreter_paths_never_follow_a_repository_out(tmp_path: Path) -> None:
    private = tmp_path / "home" / "private"
    (private / "bin").mkdir(parents=True)
    (private / "bin" / "python3").write_text("#!/bin/sh\n")
    venv = tmp_path / "repo" / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text(f"home = {private}/bin\n")
    (venv / "bin" / "python").symlink_to(private / "bin" / "python3")
    assert private not in interpreter_paths(venv / "bin" / "python")


@pytest.mark.parametrize("kind", ["missing", "fifo"])
def test_only_files_and_directories_are_given(tier: Sandbox, tmp_path: Path, kind: str) -> None:
    import os

    target = tmp_path / "trap"
    if kind == "fifo":
        os.mkfifo(target)
    with pytest.raises(SandboxError, match="cannot give"):
        tier.run(("true",), cwd=tmp_path, env={}, limits=Limits(), readable=(target,))


def test_missing_program_is_an_error_of_ours(tier: Sandbox, repo: Path) -> None:
    with pytest.raises(SandboxError, match="no program"):
        tier.run(("no-such-program",), cwd=repo, env={}, limits=Limits(), writable=(repo,))


def test_many_at_once_in_one_directory(tier: Sandbox, tmp_path: Path) -> None:
    """Workers share a scratch copy: the place of `.git` is held until the last has ended."""
    from concurrent.futures import ThreadPoolExecutor

    root = tmp_path / "plain"
    root.mkdir()

    def one(number: int) -> CommandResult:
        script = f"sleep 0.{number}; mkdir .git/hooks; echo {number}"
        return tier.run(
            ("/bin/sh", "-c", script), cwd=root, env={}, limits=Limits(), writable=(root,)
        )

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(one, range(1, 7)))
    assert [r.stdout for r in results] == [b"%d\n" % n for n in range(1, 7)]
    assert not (root / ".git").exists()
