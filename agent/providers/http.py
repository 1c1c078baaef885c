"""One HTTP attempt that cannot run away: a total deadline, a byte cap, prompt cancellation.

Timeouts of HTTP clients count between two reads, so a server that drips a byte a second holds the
caller for ever, and a blocked read does not see Ctrl-C. Here a watcher shuts the socket down; the
read then fails at once, and `Guard.error` says what it really was.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent.errors import (
    AuthError,
    Billed,
    Cancelled,
    ContextOverflow,
    PointsmanError,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from agent.types import CancelToken

if TYPE_CHECKING:
    import socket
    import ssl

    import httpx2

__all__ = ["Guard", "HttpLimits", "guarded", "status_error", "transport_error"]

_POLL_S = 0.05
_SENT = "http11.send_request_headers.started"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Limits of one attempt."""

    connect_s: float = 10.0
    total_s: float = 600.0
    """From the first byte sent to the last received."""
    body_bytes: int = 32 << 20
    """Of the response, as it comes over the wire; compression is refused."""


class Guard:
    """What the attempt did: whether anything was sent, and why it was stopped."""

    def __init__(self, name: str, limits: HttpLimits, cancel: CancelToken) -> None:
        self.name = name
        self.limits = limits
        self.sent = False
        self._stopped: Literal["", "cancelled", "deadline", "bytes", "encoding"] = ""
        self._cancel = cancel
        self._deadline = time.monotonic() + limits.total_s
        self._socket: socket.socket | None = None
        self._received = 0
        self._done = threading.Event()
        self._lock = threading.Lock()

    @property
    def billed(self) -> Billed:
        """Before the request went out nothing can have been billed."""
        return "unknown" if self.sent else "no"

    def error(self) -> PointsmanError | None:
        """Why we stopped the attempt; None if we did not."""
        if self._stopped == "cancelled":
            return Cancelled("interrupted")
        texts = {
            "deadline": f"no complete answer within {self.limits.total_s:g} s",
            "bytes": f"sent more than {self.limits.body_bytes} bytes",
            "encoding": "sent a compressed answer, which was not asked for",
        }
        text = texts.get(self._stopped)
        return ProviderUnavailable(f"{self.name}: {text}", billed=self.billed) if text else None

    def check(self, received: int = 0) -> None:
        """Called for every chunk. Raises what `error` says."""
        self._received += received
        if self._received > self.limits.body_bytes:
            self._stop("bytes")
        self._look()
        error = self.error()
        if error is not None:
            raise error

    def refuse_encoding(self) -> None:
        self._stop("encoding")
        self.check()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """httpcore's trace hook: learns the socket, and when the request goes out."""
        if event == _SENT:
            self.sent = True
        elif event.endswith(("connect_tcp.complete", "connect_unix_socket.complete")):
            self._socket = info["return_value"].get_extra_info("socket")

    def watch(self) -> None:
        """Runs in a thread until `finish`."""
        while not self._done.wait(_POLL_S):
            self._look()
            if self._stopped:
                self._shut()

    def finish(self) -> None:
        self._done.set()

    def _look(self) -> None:
        if self._cancel.is_set():
            self._stop("cancelled")
        elif time.monotonic() > self._deadline:
            self._stop("deadline")

    def _stop(self, why: Literal["cancelled", "deadline", "bytes", "encoding"]) -> None:
        with self._lock:
            self._stopped = self._stopped or why

    def _shut(self) -> None:
        import socket

        if self._socket is None:
            return
        try:
            # The base class's: SSLSocket.shutdown drops its TLS state under the reading thread.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:
            return  # already closed


@contextmanager
def guarded(
    name: str,
    limits: HttpLimits,
    cancel: CancelToken,
    *,
    uds: Path | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[tuple["httpx2.Client", Guard]]:
    """A client for one attempt, under guard.

    No redirects (the body carries source code), no proxies or netrc from the environment, no
    compression (a bomb would pass the byte cap), a connection of its own.
    """
    import httpx2

    guard = Guard(name, limits, cancel)
    client = httpx2.Client(
        transport=_transport(guard, uds),
        # Behind the watcher, should it fail: it says "deadline", a read only "timed out".
        timeout=httpx2.Timeout(limits.total_s + 5, connect=limits.connect_s),
        follow_redirects=False,
        trust_env=False,
        headers={"accept-encoding": "identity", **(headers or {})},
    )
    watcher = threading.Thread(target=guard.watch, name=f"watch-{name}", daemon=True)
    watcher.start()
    try:
        with client:
            yield client, guard
    finally:
        guard.finish()
        watcher.join()


def transport_error(error: Exception, guard: Guard) -> PointsmanError:
    """Whatever escaped an attempt, as one of ours."""
    ours = guard.error()
    if ours is not None:
        return ours
    if isinstance(error, PointsmanError):
        return error
    kind = type(error).__name__
    what = "could not be reached" if not guard.sent else "broke off"
    why = f"{kind}: {_short(str(error))}"
    if kind == "RemoteProtocolError" and guard.sent:
        why = "the connection ended before the answer did"
    return ProviderUnavailable(
        f"{guard.name} {what}: {why}",
        billed=guard.billed,
        remedy=None if guard.sent else "check the address and the network, or use --local-only",
    )


def status_error(
    name: str, status: int, text: str, *, retry_after: str | None = None
) -> ProviderError:
    """An HTTP status that is not a success, as one of ours. Refusals are not billed."""
    message = f"{name} answered {status}: {_short(text)}"
    if 300 <= status < 400:
        return RequestRejected(
            f"{name} answered {status}, a redirect, which is never followed",
            billed="no",
            remedy="configure the address it should be sent to",
        )
    if status in (401, 403):
        return AuthError(message, billed="no", remedy="check the API key of this provider")
    if status in (429, 503, 529):
        return RateLimited(message, billed="no", retry_after_s=_seconds(retry_after))
    if status in (408, 409) or status >= 500:
        billed: Billed = "no" if status in (408, 409) else "unknown"
        return ProviderUnavailable(message, billed=billed, retry_after_s=_seconds(retry_after))
    if status == 413 or _is_overflow(text):
        return ContextOverflow(message, billed="no", remedy="give the step fewer files")
    return RequestRejected(message, billed="no")


def _is_overflow(text: str) -> bool:
    low = text.lower()
    return any(
        sign in low
        for sign in ("context_length", "context length", "context window", "prompt is too long")
    )


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After`, in seconds; a date or nonsense gives None."""
    try:
        value = float(retry_after or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _short(text: str) -> str:
    """One line without control characters: it goes to a terminal and a log."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
    return clean if len(clean) <= 300 else f"{clean[:299]}…"


@cache
def _tls() -> "ssl.SSLContext":
    # Building one reads the whole certificate store (20-30 ms): once, not per attempt.
    import httpx2

    return httpx2.create_ssl_context(trust_env=False)


def _transport(guard: Guard, uds: Path | None) -> "httpx2.BaseTransport":
    import httpx2

    class Body(httpx2.SyncByteStream):
        def __init__(self, inner: httpx2.SyncByteStream) -> None:
            self._inner = inner

        def __iter__(self) -> Iterator[bytes]:
            for chunk in self._inner:
                guard.check(len(chunk))
                yield chunk

        def close(self) -> None:
            self._inner.close()

    class Transport(httpx2.HTTPTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            guard.check()
            request.extensions = {**request.extensions, "trace": guard.trace}
            response = super().handle_request(request)
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                response.close()
                guard.refuse_encoding()
            stream = response.stream
            assert isinstance(stream, httpx2.SyncByteStream)
            response.stream = Body(stream)
            return response

    return Transport(verify=_tls(), trust_env=False, uds=None if uds is None else str(uds))
