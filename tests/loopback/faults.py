"""Answers that are wrong, each in one way."""

import gzip
import json
from dataclasses import replace

from tests.loopback.server import Reply

_JSON = (("content-type", "application/json"),)


def status(code: int, kind: str = "error", *, retry_after: str | None = None) -> Reply:
    """An error response of either dialect."""
    body = {"type": "error", "error": {"type": kind, "message": f"{kind} from the fake"}}
    extra = () if retry_after is None else (("retry-after", retry_after),)
    return Reply(status=code, headers=(*_JSON, *extra), pieces=(json.dumps(body).encode(),))


def rate_limited(retry_after: str | None = None) -> Reply:
    return status(429, "rate_limit_error", retry_after=retry_after)


def overloaded() -> Reply:
    return status(529, "overloaded_error")


def redirect(to: str) -> Reply:
    return Reply(status=307, headers=(("location", to),), pieces=(b"over there",))


def cut(reply: Reply, keep: int) -> Reply:
    """The connection breaks after `keep` pieces."""
    return replace(reply, pieces=reply.pieces[:keep], end="cut")


def ended(reply: Reply, keep: int) -> Reply:
    """The stream ends cleanly after `keep` pieces: nothing tells it from a finished one."""
    return replace(reply, pieces=reply.pieces[:keep])


def drip(reply: Reply, pause_s: float) -> Reply:
    """Every piece comes after a pause."""
    slow = tuple(part for piece in reply.pieces for part in (pause_s, piece))
    return replace(reply, pieces=slow)


def hang(seconds: float) -> Reply:
    """Headers, then nothing."""
    return Reply(pieces=(seconds,))


def empty() -> Reply:
    return Reply()


def html() -> Reply:
    page = b"<html><body>Please log in to the hotel network</body></html>"
    return Reply(headers=(("content-type", "text/html"),), pieces=(page,))


def huge(size: int) -> Reply:
    """`size` bytes of comments, which are legal in an event stream."""
    line = b": " + b"x" * 65_533 + b"\n"
    return Reply(pieces=(line,) * (size // len(line)))


def gzip_bomb(size: int = 64 << 20) -> Reply:
    headers = (("content-type", "text/event-stream"), ("content-encoding", "gzip"))
    return Reply(headers=headers, pieces=(gzip.compress(b"\n" * size),))


def malformed(reply: Reply, at: int) -> Reply:
    """Piece number `at` is no JSON any more."""
    pieces = list(reply.pieces)
    pieces[at] = b"event: content_block_delta\ndata: {not json\n\n"
    return replace(reply, pieces=tuple(pieces))


def reordered(reply: Reply) -> Reply:
    """The same pieces, backwards."""
    return replace(reply, pieces=reply.pieces[::-1])
