"""A real HTTP server on 127.0.0.1 or a Unix socket that answers from a script."""

import json
import socket
import socketserver
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.raw))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. `pieces` are sent in order; a number is a pause in seconds."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", "text/event-stream"),)
    pieces: tuple[bytes | float, ...] = ()
    end: Literal["clean", "cut"] = "clean"
    """`cut` closes the connection without the last chunk."""


Script = Iterable[Reply] | Callable[[Received], Reply]


@dataclass(slots=True)
class Loopback:
    """A running server. `received` grows with every request, in order of arrival."""

    url: str
    uds: Path | None
    received: list[Received] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    """Set once a client closed its connection before the answer ended."""


@contextmanager
def serve(script: Script, *, unix: bool = False) -> Iterator[Loopback]:
    """Answers each request with the next reply; past the end of the script, with a 500."""
    with tempfile.TemporaryDirectory(prefix="pm-") as directory:
        path = Path(directory) / "s"
        server: HTTPServer = (
            _Unix(str(path)) if unix else ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        )
        url = "http://worker" if unix else f"http://127.0.0.1:{server.server_address[1]}"
        loopback = Loopback(url=url, uds=path if unix else None)
        answer = script if callable(script) else _in_order(script)
        server.loopback, server.answer = loopback, answer  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield loopback
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _in_order(script: Iterable[Reply]) -> Callable[[Received], Reply]:
    replies, lock = iter(tuple(script)), threading.Lock()
    exhausted = Reply(status=500, headers=(), pieces=(b"the script is exhausted",))

    def answer(_: Received) -> Reply:
        with lock:
            return next(replies, exhausted)

    return answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        # A Unix socket has no Nagle's algorithm to switch off.
        self.disable_nagle_algorithm = isinstance(self.client_address, tuple)
        super().setup()

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        headers = {k.lower(): v for k, v in self.headers.items()}
        got = Received(path=self.path, headers=headers, raw=self.rfile.read(length))
        loopback: Loopback = self.server.loopback  # type: ignore[attr-defined]
        loopback.received.append(got)
        reply: Reply = self.server.answer(got)  # type: ignore[attr-defined]
        try:
            self._send(reply)
        except OSError:
            loopback.hung_up.set()
            self.close_connection = True

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("transfer-encoding", "chunked")
        self.send_header("connection", "close")
        self.end_headers()
        for piece in reply.pieces:
            if isinstance(piece, bytes):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            else:
                time.sleep(piece)
        if reply.end == "clean":
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Silent: what arrived is in `received`."""


class _Unix(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = True
    address_family = socket.AF_UNIX

    def __init__(self, path: str) -> None:
        super().__init__(path, _Handler)  # type: ignore[arg-type]

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "worker", 0

    def get_request(self) -> tuple[Any, Any]:
        connection, _ = super().get_request()
        return connection, "unix"
