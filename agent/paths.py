"""Where Pointsman keeps things: XDG directories, and per-repository ones outside the repository.

An index or journal inside the repository could be planted by an archive, so all of them live in
the user's directories under a key made from the git common directory (shared by worktrees).
"""

import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path

from agent.errors import ConfigError

__all__ = [
    "approvals_dir",
    "cache_dir",
    "chats_dir",
    "config_dir",
    "data_dir",
    "decisions_file",
    "index_dir",
    "journal_dir",
    "ledger_path",
    "models_dir",
    "repo_key",
    "runs_dir",
    "runtime_dir",
    "state_dir",
    "user_config",
]

APP = "pointsman"


def config_dir() -> Path:
    """`$XDG_CONFIG_HOME/pointsman`: written by the user."""
    from platformdirs import user_config_path

    return user_config_path(APP)


def cache_dir() -> Path:
    """`$XDG_CACHE_HOME/pointsman`: may be deleted at any time."""
    from platformdirs import user_cache_path

    return user_cache_path(APP)


def data_dir() -> Path:
    """`$XDG_DATA_HOME/pointsman`: downloaded models."""
    from platformdirs import user_data_path

    return user_data_path(APP)


def decisions_file() -> Path:
    """How answers of the local model were decoded, where `local.record_decisions` is set."""
    return state_dir() / "decisions.jsonl"


def state_dir() -> Path:
    """`$XDG_STATE_HOME/pointsman`: ledger, journals, runs, trust."""
    from platformdirs import user_state_path

    return user_state_path(APP)


def runtime_dir() -> Path:
    """A directory of ours with mode 0700 for sockets and locks; created.

    `$XDG_RUNTIME_DIR/pointsman`, else `/tmp/pointsman-UID`: a socket's path must stay below 108
    bytes, which directories under a deep home do not promise. Raises ConfigError if somebody else
    owns it or can enter it.
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base and Path(base).is_dir():
        path = Path(base) / APP
    else:
        path = Path(tempfile.gettempdir()) / f"{APP}-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    info = path.lstat()
    ours = stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid()
    if not ours or info.st_mode & 0o077:
        raise ConfigError(
            f"{path} is not a private directory of yours",
            remedy=f"remove it, or point XDG_RUNTIME_DIR elsewhere: ls -ld {path}",
        )
    return path


def repo_key(common_dir: Path) -> str:
    """A readable, unique name for a repository, from its git common directory.

    `/home/ada/shop/.git` -> `shop-1f0c2a9b3d4e`. Outside git, give the root directory.
    """
    path = common_dir.resolve()
    stem = path.parent.name if path.name == ".git" else path.name.removesuffix(".git")
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:40] or "repo"
    return f"{slug}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"


def user_config() -> Path:
    """The user's settings file; it need not exist."""
    return config_dir() / "config.toml"


def ledger_path() -> Path:
    return state_dir() / "ledger.sqlite"


def models_dir() -> Path:
    return data_dir() / "models"


def index_dir(key: str) -> Path:
    """The rebuildable index of the repository `key`."""
    return cache_dir() / "index" / key


def journal_dir(key: str) -> Path:
    """The undo journal of the repository `key`. Not rebuildable: state, not cache."""
    return state_dir() / "journal" / key


def runs_dir(key: str) -> Path:
    """Trajectories and logs of the repository `key`, one directory per run."""
    return state_dir() / "runs" / key


def chats_dir(key: str) -> Path:
    """Conversations about the repository `key`, one file each."""
    return state_dir() / "chats" / key


def approvals_dir(key: str) -> Path:
    """What the user allowed for good in the repository `key` (see agent.approvals)."""
    return state_dir() / "approvals" / key
