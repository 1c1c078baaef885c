"""Pulling from a hub on loopback: resumed, checked, offline, and every refusal told."""

import fcntl
import hashlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent.errors import ConfigError, EngineError
from agent.models.pull import Source, pull, source_of

REPO = "acme/Test-6M-GGUF"
FILE = "Test-6M-Q4_K_M.gguf"
SOURCE = Source(repo=REPO, pattern="*-Q4_K_M*.gguf")


@pytest.fixture
def stocked(hub: Any, gguf_bytes: bytes) -> Any:
    hub.files[REPO] = {
        "README.md": b"# a card",
        FILE: gguf_bytes,
        "Test-6M-Q8_0.gguf": b"another",
        "mmproj-Test-Q4_K_M.gguf": b"a picture encoder",
        "MTP/mtp-Test-Q4_K_M.gguf": b"a draft head alone",
        "UD/Test-6M-UD-special-Q4_K_M.gguf": b"a variant",
    }
    return hub


def test_a_file_is_fetched_checked_and_not_fetched_again(
    stocked: Any, gguf_bytes: bytes, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    done = pull(SOURCE, tmp_path, progress=lambda *p: told.append(p), endpoint=stocked.url)
    assert done.path == tmp_path / FILE
    assert done.path.read_bytes() == gguf_bytes
    assert done.sha256 == hashlib.sha256(gguf_bytes).hexdigest()
    assert done.fetched == done.size == len(gguf_bytes)
    assert told[0] == (FILE, 0, len(gguf_bytes))
    assert told[-1] == (FILE, len(gguf_bytes), len(gguf_bytes))
    assert len(told) >= 3
    again = pull(SOURCE, tmp_path, endpoint=stocked.url)
    assert again.fetched == 0
    assert len(stocked.downloads()) == 1
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


def test_a_broken_connection_is_resumed_at_once(
    stocked: Any, gguf_bytes: bytes, tmp_path: Path
) -> None:
    stocked.cut = [15_000_000]
    done = pull(SOURCE, tmp_path, endpoint=stocked.url)
    assert done.path.read_bytes() == gguf_bytes
    first, second = stocked.downloads()
    assert first is None
    assert second is not None
    assert second.startswith("bytes=1048")  # the whole chunks of 10 MiB that had come


def test_the_next_run_goes_on_where_this_one_ended(
    stocked: Any, gguf_bytes: bytes, tmp_path: Path
) -> None:
    stocked.cut, stocked.then = [15_000_000], "fail"
    with pytest.raises(EngineError, match="answered 503") as told:
        pull(SOURCE, tmp_path, endpoint=stocked.url)
    assert "goes on where it ended" in (told.value.remedy or "")
    assert list(tmp_path.glob("*.gguf")) == [], "half a file is not a model"
    stocked.then = "serve"
    stocked.seen.clear()
    done = pull(SOURCE, tmp_path, endpoint=stocked.url)
    assert done.path.read_bytes() == gguf_bytes
    assert stocked.downloads() == [f"bytes={10 * 2**20}-"]
    assert done.fetched == len(gguf_bytes) - 10 * 2**20


def test_a_killed_pull_is_resumed(stocked: Any, gguf_bytes: bytes, tmp_path: Path) -> None:
    """What a process left that died in the middle: a partial file, and no lock."""
    (tmp_path / f".{FILE}.partial").write_bytes(gguf_bytes[:20_000_000])
    done = pull(SOURCE, tmp_path, endpoint=stocked.url)
    assert done.path.read_bytes() == gguf_bytes
    assert stocked.downloads() == ["bytes=20000000-"]


def test_a_wrong_hash_is_refused_and_nothing_is_kept(
    stocked: Any, gguf_bytes: bytes, tmp_path: Path
) -> None:
    stocked.swap = gguf_bytes[:-5] + b"evil!"
    with pytest.raises(EngineError, match="SHA-256 is") as told:
        pull(SOURCE, tmp_path, endpoint=stocked.url)
    assert hashlib.sha256(gguf_bytes).hexdigest()[:16] in str(told.value)
    assert list(tmp_path.iterdir()) == []
    stocked.swap = None
    assert pull(SOURCE, tmp_path, endpoint=stocked.url).path.read_bytes() == gguf_bytes


def test_a_file_damaged_on_the_disk_is_noticed_and_left(
    stocked: Any, gguf_bytes: bytes, tmp_path: Path
) -> None:
    mine = tmp_path / FILE
    mine.write_bytes(gguf_bytes[:-1] + b"?")
    with pytest.raises(EngineError, match="SHA-256 is"):
        pull(SOURCE, tmp_path, endpoint=stocked.url)
    assert mine.exists(), "it is the user's file"
    mine.write_bytes(b"short")
    with pytest.raises(EngineError, match="with another size"):
        pull(SOURCE, tmp_path, endpoint=stocked.url)


def test_two_pulls_of_one_file_do_not_mix(stocked: Any, tmp_path: Path) -> None:
    with (tmp_path / f".{FILE}.partial").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(EngineError, match="another process"):
            pull(SOURCE, tmp_path, endpoint=stocked.url)


def test_a_model_in_several_files_comes_whole(
    stocked: Any, gguf_bytes: bytes, tmp_path: Path
) -> None:
    shards = {f"Q6/Test-6M-Q6_K-0000{i}-of-00002.gguf": gguf_bytes for i in (1, 2)}
    stocked.files[REPO].update(shards)
    done = pull(Source(repo=REPO, pattern="*Q6_K*.gguf"), tmp_path, endpoint=stocked.url)
    assert done.path.name == "Test-6M-Q6_K-00001-of-00002.gguf"
    assert done.size == 2 * len(gguf_bytes)
    assert len(list(tmp_path.glob("*.gguf"))) == 2
    from agent import models

    listed = [m.path.name for m in models.installed(tmp_path)]
    assert done.path.name in listed
    assert "Test-6M-Q6_K-00002-of-00002.gguf" not in listed, "loaded by its first file"


@pytest.mark.parametrize(
    ("repo", "pattern", "message"),
    [
        ("acme/none", "*.gguf", "the hub has no acme/none"),
        (REPO, "*Q2_K*.gguf", "has no file"),
        ("acme/gated", "*.gguf", "accept its terms"),
    ],
)
def test_what_cannot_be_had_is_said(
    stocked: Any, tmp_path: Path, repo: str, pattern: str, message: str
) -> None:
    stocked.gated.add("acme/gated")
    with pytest.raises(EngineError, match=message) as told:
        pull(Source(repo=repo, pattern=pattern), tmp_path, endpoint=stocked.url)
    assert told.value.remedy


def test_a_full_disk_is_said_before_the_download(
    stocked: Any, tmp_path: Path, gguf_bytes: bytes
) -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 10**18

    stocked.files[REPO][FILE] = Huge(gguf_bytes)
    with pytest.raises(EngineError, match="GB are free"):
        pull(SOURCE, tmp_path, endpoint=stocked.url)
    assert stocked.downloads() == []


def test_no_hub_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be fetched"):
        pull(SOURCE, tmp_path, endpoint="http://127.0.0.1:9")


def test_offline_uses_what_is_here(stocked: Any, gguf_bytes: bytes, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="not on this machine"):
        pull(SOURCE, tmp_path, offline=True, endpoint=stocked.url)
    pull(SOURCE, tmp_path, endpoint=stocked.url)
    stocked.seen.clear()
    assert pull(SOURCE, tmp_path, offline=True, endpoint=stocked.url).path == tmp_path / FILE
    assert stocked.seen == []


def test_names_of_the_catalogue_and_of_the_hub() -> None:
    assert source_of("qwen3.5-4b").repo.lower().endswith("qwen3.5-4b-mtp-gguf")
    assert source_of("qwen3.5-4b", "Q8_0").pattern == "*Q8_0*.gguf"
    assert source_of("acme/thing-GGUF") == Source(repo="acme/thing-GGUF", pattern="*Q4_K_M*.gguf")
    with pytest.raises(ConfigError, match="no 'gpt-9'") as told:
        source_of("gpt-9")
    assert "qwen3.5-4b" in (told.value.remedy or "")
    with pytest.raises(ConfigError, match="ships with the package"):
        source_of("mini")


COMMAND = (
    sys.executable, "-c", "import sys; from agent.cli.main import main; sys.exit(main())",
    "models", "pull",
)  # fmt: skip


def command(env: dict[str, str], *args: str) -> "subprocess.CompletedProcess[str]":
    """The whole command in a process of its own: the hub's settings are read once per process."""
    return subprocess.run(
        [*COMMAND, *args],
        env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_command_follows_the_hubs_settings(
    stocked: Any, gguf_bytes: bytes, tmp_path: Path
) -> None:
    env = {"HF_ENDPOINT": stocked.url, "HF_HOME": str(tmp_path / "hf")}
    done = command(env, REPO, "--json")
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(gguf_bytes).hexdigest() in done.stdout
    assert "agent models use Test-6M-Q4_K_M" in done.stderr
    offline = command({**env, "HF_HUB_OFFLINE": "1"}, "acme/other")
    assert offline.returncode == 5
    assert "not on this machine" in offline.stderr
    assert "HF_HUB_OFFLINE" in offline.stderr


def test_the_hubs_own_cache_is_used(stocked: Any, gguf_bytes: bytes, tmp_path: Path) -> None:
    """Another tool fetched it before: offline it is linked."""
    home = tmp_path / "hf"
    snapshot = home / "hub" / "models--acme--Test-6M-GGUF" / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / FILE).write_bytes(gguf_bytes)
    done = command({"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}, REPO)
    assert done.returncode == 0, done.stderr
    data = Path(os.environ["XDG_DATA_HOME"]) / "pointsman" / "models" / FILE
    assert data.is_symlink()
    assert data.read_bytes() == gguf_bytes


def test_interrupted_by_the_user_it_goes_on_later(
    stocked: Any, gguf_bytes: bytes, tmp_path: Path
) -> None:
    """On a terminal, with the bar: Ctrl-C in the middle, then the same command again."""
    env = {**os.environ, "HF_ENDPOINT": stocked.url, "HF_HOME": str(tmp_path / "hf"),
           "TERM": "xterm-256color", "COLUMNS": "120"}  # fmt: skip
    stocked.stall = 12_000_000
    master, slave = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, REPO], env=env, stdin=slave, stdout=slave, stderr=slave
    ) as run:
        os.close(slave)
        shown = read_until(master, b"10.5/24.6 MB")
        run.send_signal(signal.SIGINT)
        try:
            assert run.wait(20) == 130
        finally:
            run.kill()  # or the block would wait for ever
    os.close(master)
    assert FILE.encode()[:12] in shown
    folder = Path(os.environ["XDG_DATA_HOME"]) / "pointsman" / "models"
    assert [p.name for p in folder.iterdir()] == [f".{FILE}.partial"]
    stocked.stall = None
    stocked.seen.clear()
    done = command(env, REPO)
    assert done.returncode == 0, done.stderr
    assert stocked.downloads() == [f"bytes={10 * 2**20}-"]
    assert (folder / FILE).read_bytes() == gguf_bytes


def read_until(terminal: int, wanted: bytes) -> bytes:
    shown = b""
    deadline = time.monotonic() + 30
    while wanted not in shown:
        assert time.monotonic() < deadline, shown.decode("utf-8", "replace")
        ready, _, _ = select.select([terminal], [], [], 1)
        if ready:
            shown += os.read(terminal, 65_536)
    return shown
