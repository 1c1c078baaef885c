"""No test sees the user's keys, configuration or network."""

import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SECRETS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY")
TERMINAL = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
LOOPBACK = ("127.0.0.1", "::1", "localhost")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell ignores it in what it starts in the background, and that is inherited: the commands
    # that tests interrupt would never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def _runtime() -> Iterator[Path]:
    """Sockets and locks. Not below tmp_path: a socket's path must be shorter than 108 bytes."""
    from agent.serve.supervise import stop_all

    with tempfile.TemporaryDirectory(prefix="pm-rt-") as directory:
        yield Path(directory)
        stop_all(Path(directory) / "pointsman")


@pytest.fixture(autouse=True)
def _sealed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, _runtime: Path) -> None:
    """Keys blanked, XDG directories and HOME inside `tmp_path`, connections to loopback only."""
    for name in (*SECRETS, *TERMINAL):
        monkeypatch.delenv(name, raising=False)
    for name in [n for n in os.environ if n.startswith("POINTSMAN_")]:
        monkeypatch.delenv(name)
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / f"xdg-{name.lower()}"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(_runtime))
    monkeypatch.setenv("POINTSMAN_AS_ROOT", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")

    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in LOOPBACK:
            raise AssertionError(f"a test tried to reach {address!r}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
