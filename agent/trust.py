"""What the user has agreed to, by content: a changed file must be agreed to again.

A repository may suggest a test command (`.pointsman.toml`) or name commands in `AGENTS.md`. Such
text is data until the user trusts exactly these bytes for this repository. One small file
per decision under the user's state directory: existence is the decision, so two processes cannot
lose each other's.
"""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TrustStore", "digest"]


def digest(content: bytes) -> str:
    """SHA-256 of the exact bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class TrustStore:
    """Decisions kept in `directory`, usually `paths.state_dir() / "trust"`."""

    directory: Path

    def is_trusted(self, key: str, content: bytes) -> bool:
        """Whether the user trusted these bytes in the repository `key` (see `paths.repo_key`)."""
        return self._file(key, content).is_file()

    def trust(self, key: str, path: str, content: bytes) -> None:
        """Record that the user trusts these bytes; `path` is kept for people to read."""
        file = self._file(key, content)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        note = {"path": path, "trusted_at": int(time.time())}
        file.write_text(json.dumps(note) + "\n", encoding="utf-8")
        file.chmod(0o600)

    def revoke(self, key: str) -> int:
        """Forget every decision for the repository; returns how many there were."""
        files = sorted((self.directory / key).glob("*.json"))
        for file in files:
            file.unlink(missing_ok=True)
        return len(files)

    def _file(self, key: str, content: bytes) -> Path:
        return self.directory / key / f"{digest(content)}.json"
