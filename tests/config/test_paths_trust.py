"""Directories outside the repository, and trust that ends when the content changes."""

import os
import stat
from pathlib import Path

import pytest

from agent import paths
from agent.errors import ConfigError
from agent.trust import TrustStore


def test_everything_lies_in_the_users_directories(tmp_path: Path) -> None:
    key = paths.repo_key(tmp_path / "shop" / ".git")
    assert key.startswith("shop-")
    for path in (paths.index_dir(key), paths.journal_dir(key), paths.runs_dir(key),
                 paths.ledger_path(), paths.models_dir(), paths.user_config()):  # fmt: skip
        assert path.is_relative_to(tmp_path)
    assert paths.index_dir(key).is_relative_to(paths.cache_dir())
    assert paths.journal_dir(key).is_relative_to(paths.state_dir())


def test_worktrees_share_a_key_and_clones_do_not(tmp_path: Path) -> None:
    (tmp_path / "a" / ".git").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert paths.repo_key(tmp_path / "link" / ".git") == paths.repo_key(tmp_path / "a" / ".git")
    assert paths.repo_key(tmp_path / "b" / ".git") != paths.repo_key(tmp_path / "a" / ".git")
    odd = paths.repo_key(tmp_path / "a b\n\x1b[c" / ".git")
    assert odd.replace("-", "").replace(".", "").isalnum()


def test_the_runtime_directory_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    path = paths.runtime_dir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert path.parent == tmp_path
    path.chmod(0o755)
    with pytest.raises(ConfigError, match="not a private directory"):
        paths.runtime_dir()
    path.rmdir()
    (tmp_path / "theirs").mkdir()
    path.symlink_to(tmp_path / "theirs")
    with pytest.raises(ConfigError, match="not a private directory"):
        paths.runtime_dir()


def test_trust_is_for_these_bytes_in_this_repository(tmp_path: Path) -> None:
    store = TrustStore(tmp_path / "trust")
    assert not store.is_trusted("shop-1", b"a")
    store.trust("shop-1", ".pointsman.toml", b"a")
    assert store.is_trusted("shop-1", b"a")
    assert not store.is_trusted("shop-1", b"b")
    assert not store.is_trusted("shop-2", b"a")
    files = [Path(d) / f for d, _, names in os.walk(store.directory) for f in names]
    assert [stat.S_IMODE(f.stat().st_mode) for f in files] == [0o600]
    assert store.revoke("shop-1") == 1
    assert not store.is_trusted("shop-1", b"a")
