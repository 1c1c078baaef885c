"""What an answer that takes a while needs: text as it comes, signs of life, a client that left."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from starlette.requests import Request

from agent.serve.refusals import TooLarge
from agent.types import Reading

__all__ = ["KEEP_ALIVE_S", "Watched", "as_it_comes", "body_of", "event", "unless_gone"]

MAX_BODY = 32 * 2**20
KEEP_ALIVE_S = 5.0

T = TypeVar("T")
Piece = TypeVar("Piece")


class Watched:
    """Whether the client is gone. The engine looks between two batches of a prompt: each time it
    is told how far the prompt is."""

    def __init__(
        self,
        gone: threading.Event,
        *,
        total: int,
        read: Callable[[], int],
        tell: Callable[[Reading], None],
    ) -> None:
        """`read`: tokens in the context now; more than `total` while an answer is decoded."""
        self._gone, self._total, self._read, self._tell = gone, total, read, tell
        self._told = 0

    def is_set(self) -> bool:
        done = self._read()
        if self._told < done <= self._total:
            self._told = done
            self._tell(Reading(done, self._total))
        return self._gone.is_set()


async def as_it_comes(
    future: "asyncio.Future[T]", pieces: "asyncio.Queue[Piece]"
) -> AsyncIterator[Piece | None]:
    """Pieces as they come; None when it is time for a sign of life. Ends when the future has."""
    while True:
        waiter = asyncio.ensure_future(pieces.get())
        both: set[asyncio.Future[Any]] = {waiter, future}
        try:
            await asyncio.wait(both, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
            if waiter.done():
                yield waiter.result()
            elif not future.done():
                yield None
            else:
                break
        finally:
            waiter.cancel()
    while not pieces.empty():
        yield pieces.get_nowait()


async def unless_gone(request: Request, future: "asyncio.Future[T]") -> T | None:
    """The future's result; None when the client hung up first."""

    async def hung_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    watcher = asyncio.ensure_future(hung_up())
    both: set[asyncio.Future[Any]] = {watcher, future}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return future.result() if future.done() else None
    finally:
        watcher.cancel()


async def body_of(request: Request) -> bytes:
    """The whole body. Raises TooLarge."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise TooLarge(f"the request is larger than {MAX_BODY} bytes", billed="no")
    return body


def event(body: dict[str, Any], *, name: str = "") -> str:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(body, ensure_ascii=False)}\n\n"
