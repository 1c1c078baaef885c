"""A hub on loopback: the listing of a repository, and its files with ranges; it can misbehave."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


@dataclass
class Hub:
    """`files`: content by repository and path. `cut`: bytes after which a download breaks off, for
    as many downloads as it has items. `then`: what the next downloads get after the cuts.
    `swap`: what is sent in place of a file, same length."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    cut: list[int] = field(default_factory=list)
    then: Literal["serve", "fail"] = "serve"
    stall: int | None = None
    """Bytes after which a download is held until the client goes away."""
    swap: bytes | None = None
    gated: set[str] = field(default_factory=set)
    url: str = ""
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and Range of every request."""

    def downloads(self) -> list[str | None]:
        return [r for method, path, r in self.seen if method == "GET" and "/resolve/" in path]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.seen.append((self.command, path, self.headers.get("Range")))
        plain = path.strip("/").removeprefix("api/").removeprefix("models/")
        owner, name, *rest = plain.removeprefix("datasets/").split("/")
        repo = f"{owner}/{name}"
        if repo in self.hub.gated:
            self._error(403, "GatedRepo")
        elif repo not in self.hub.files:
            self._error(404, "RepoNotFound")
        elif path.startswith("/api/datasets/") and rest[:1] == ["tree"]:
            self._tree(repo)
        elif path.startswith("/api/models/"):
            self._listing(repo)
        elif rest[:1] == ["resolve"] and "/".join(rest[2:]) in self.hub.files[repo]:
            self._file(self.hub.files[repo]["/".join(rest[2:])])
        else:
            self._error(404, "EntryNotFound")

    def _error(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _tree(self, repo: str) -> None:
        """A page of a data set's files."""
        rows = [
            {"type": "file", "path": path, "size": len(data), "oid": "b" * 40}
            for path, data in self.hub.files[repo].items()
        ]
        self._send(rows)

    def _listing(self, repo: str) -> None:
        files = [
            {
                "rfilename": path,
                "size": len(data),
                "blobId": "b" * 40,
                "lfs": {
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "size": len(data),
                    "pointerSize": 130,
                },
            }
            for path, data in self.hub.files[repo].items()
        ]
        self._send({"id": repo, "sha": COMMIT, "siblings": files})

    def _send(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, data: bytes) -> None:
        hub = self.hub
        sent = hub.swap if hub.swap is not None else data
        start = int((self.headers.get("Range") or "bytes=0-").split("=")[1].split("-")[0])
        if not hub.cut and hub.then == "fail" and self.command == "GET":
            self._error(503, "Overloaded")
            return
        self.send_response(206 if self.headers.get("Range") else 200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if self.headers.get("Range"):
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        if hub.stall is not None:
            self.wfile.write(sent[start : start + hub.stall])
            self.wfile.flush()
            self.rfile.read(1)  # ends when the client goes away
            self.close_connection = True
        elif hub.cut:
            self.wfile.write(sent[start : start + hub.cut.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(sent[start:])


@contextmanager
def serve() -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub, "protocol_version": "HTTP/1.1"})
    )
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
