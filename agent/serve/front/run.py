"""Listens on loopback until it is told to stop; keeps the token."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ConfigError, PolicyError

if TYPE_CHECKING:
    from agent.serve.front.app import Front

__all__ = ["HOSTS", "listen", "serve", "token"]

HOSTS = ("127.0.0.1", "localhost", "::1")
_GRACE_S = 5


def token(path: Path, *, new: bool = False) -> tuple[str, bool]:
    """The token in a file only the user can read, made if there is none; whether it is new.

    One that others could have read is replaced.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        facts = path.lstat()
        safe = facts.st_uid == os.getuid() and not facts.st_mode & 0o077 and not path.is_symlink()
        known = path.read_text(encoding="utf-8").strip() if safe and not new else ""
        if len(known) >= 32:
            return known, False
        path.unlink()
    made = secrets.token_urlsafe(32)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(made + "\n")
    return made, True


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises PolicyError for an address others can reach, ConfigError for one
    that is taken."""
    if host not in HOSTS:
        raise PolicyError(
            f"{host} is not this machine's loopback address",
            remedy="--host 127.0.0.1; from elsewhere: ssh -L 8484:127.0.0.1:8484 this-machine",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{host}:{port}: {error.strerror}", remedy="another --port, or --port 0 for any"
        ) from error
    listener.listen(128)
    return listener


def serve(front: "Front", listener: socket.socket) -> None:
    """Answer until SIGINT or SIGTERM; then what is running is cancelled and its rows are closed."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Ours are set below: uvicorn's own raise the signal once more at the end."""
            yield

    config = uvicorn.Config(
        front.app,
        log_level="warning",
        lifespan="off",
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = Server(config)

    async def run() -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            front.stop()
            server.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        await server.serve(sockets=[listener])

    try:
        asyncio.run(run())
    finally:
        front.close()
        listener.close()
