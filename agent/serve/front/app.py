"""The HTTP app at the front: both dialects over one desk.

Every request is answered by a thread of a small pool; the client that leaves sets the request's
cancel token, and so does the end of the server.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agent.errors import PointsmanError
from agent.serve.front import anthropic, openai
from agent.serve.front.counting import Counter
from agent.serve.front.desk import AUTO, Desk, Question, Served
from agent.serve.front.guard import Guard, dialect_of
from agent.serve.refusals import Busy, Dialect, NoSuchModel, Refusal, refusal
from agent.serve.streams import as_it_comes, body_of, event, unless_gone

__all__ = ["Front", "Told"]

T = TypeVar("T")
Kind = Literal["thinking", "text"]
Piece = tuple[Kind, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One request, as the log of the server shows it. `served` None: it failed, and why."""

    dialect: str
    model: str
    served: Served | None
    error: str
    duration_s: float


@dataclass(slots=True)
class _Cancel:
    """Set when the client has gone, or the server ends."""

    stopping: threading.Event
    gone: threading.Event = field(default_factory=threading.Event)

    def is_set(self) -> bool:
        return self.gone.is_set() or self.stopping.is_set()


@dataclass(slots=True)
class _Job:
    """A question under way."""

    question: Question
    future: "asyncio.Future[Served]"
    pieces: "asyncio.Queue[Piece]"
    cancel: _Cancel


class Front:
    """The app's state and its handlers."""

    def __init__(
        self,
        desk: Desk,
        *,
        token: str,
        counter: Counter,
        tell: Callable[[Told], None] = lambda _: None,
        threads: int = 16,
        waiting: int = 16,
    ) -> None:
        self._desk, self._count_tokens, self._tell = desk, counter, tell
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="front")
        self._most = threads + waiting
        self._stopping = threading.Event()
        self._open = 0
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/messages", self.messages, methods=["POST"]),
                Route("/v1/messages/count_tokens", self.count_tokens, methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/v1/models/{name:path}", self.model),
                Route("/health", self.health),
            ],
            middleware=[Middleware(Guard, token=token)],
            exception_handlers={PointsmanError: _on_error, HTTPException: _on_http_error},
        )

    def stop(self) -> None:
        """End what is running: every cancel token is set."""
        self._stopping.set()

    def close(self) -> None:
        self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    # ------------------------------------------------------------------ what there is

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "open": self._open})

    async def models(self, _: Request) -> Response:
        found = await asyncio.to_thread(self._models)
        ids = [m["id"] for m in found]
        ends = {"first_id": ids[0], "last_id": ids[-1], "has_more": False}
        return JSONResponse({"object": "list", "data": found, **ends})

    async def model(self, request: Request) -> Response:
        name = request.path_params["name"]
        found = await asyncio.to_thread(self._models)
        one = next((m for m in found if m["id"] == name), None)
        if one is None:
            raise NoSuchModel(f"there is no model {name[:100]!r} here")
        return JSONResponse(one)

    def _models(self) -> list[dict[str, Any]]:
        """In the shape of both dialects at once: neither minds the other's fields."""
        places = self._desk.places()
        rows = [(AUTO, "pointsman", max((p.context_window for p in places), default=0))]
        rows += [(p.model, p.location, p.context_window) for p in places]
        return [
            {
                "id": name,
                "object": "model",
                "created": 0,
                "owned_by": owner,
                "max_model_len": window,
                "type": "model",
                "display_name": name,
                "created_at": "1970-01-01T00:00:00Z",
            }
            for name, owner, window in rows
        ]

    # ------------------------------------------------------------------ OpenAI

    async def chat(self, request: Request) -> Response:
        body = await body_of(request)
        asked, question = openai.question(body, privacy=self._desk.privacy)
        job = self._start(question, "openai")
        if asked.stream:
            out = self._chat_stream(job, with_usage=asked.stream_options.include_usage)
            return StreamingResponse(out, media_type="text/event-stream")
        served, thinking = await self._whole(request, job)
        if served is None:
            return Response(status_code=499)
        return JSONResponse(openai.body_of(served, thinking))

    async def _chat_stream(self, job: _Job, *, with_usage: bool) -> AsyncIterator[str]:
        made = openai.Chunks(job.question.model)
        try:
            yield event(made.first())
            async for piece in as_it_comes(job.future, job.pieces):
                yield event(made.said(*piece)) if piece else ": keep-alive\n\n"
            for chunk in made.end(job.future.result(), with_usage=with_usage):
                yield event(chunk)
            yield "data: [DONE]\n\n"
        except PointsmanError as error:
            yield event(refusal(error).body)
        finally:
            job.cancel.gone.set()

    # ------------------------------------------------------------------ Anthropic

    async def messages(self, request: Request) -> Response:
        body = await body_of(request)
        asked, question = anthropic.question(body, privacy=self._desk.privacy)
        job = self._start(question, "anthropic")
        if asked.stream:
            return StreamingResponse(self._events(job), media_type="text/event-stream")
        served, thinking = await self._whole(request, job)
        if served is None:
            return Response(status_code=499)
        return JSONResponse(anthropic.body_of(served, thinking))

    async def _events(self, job: _Job) -> AsyncIterator[str]:
        blocks = anthropic.Blocks()
        try:
            for made in blocks.begin(job.question):
                yield event(made, name=made["type"])
            async for piece in as_it_comes(job.future, job.pieces):
                told = blocks.said(*piece) if piece else [{"type": "ping"}]
                for made in told:
                    yield event(made, name=made["type"])
            for made in blocks.end(job.future.result()):
                yield event(made, name=made["type"])
        except PointsmanError as error:
            yield event(refusal(error, "anthropic").body, name="error")
        finally:
            job.cancel.gone.set()

    async def count_tokens(self, request: Request) -> Response:
        body = await body_of(request)
        _, question = anthropic.question(body, privacy=self._desk.privacy, counting=True)
        counted = await asyncio.to_thread(self._counted, question)
        return JSONResponse({"input_tokens": counted})

    def _counted(self, question: Question) -> int:
        _, place = self._desk.route(question)
        return self._count_tokens(question.request, place)

    # ------------------------------------------------------------------ under way

    def _start(self, question: Question, dialect: Dialect) -> _Job:
        """Raises Busy when too many are under way; what the router refuses is told at once."""
        if self._open >= self._most:
            raise Busy("too many requests are waiting here")
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Piece] = asyncio.Queue()
        cancel = _Cancel(self._stopping)

        def said(kind: Kind, text: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, (kind, text))

        def work() -> Served:
            began = time.monotonic()
            served, told = None, ""
            try:
                served = self._desk.answer(question, said, cancel)
                return served
            except PointsmanError as error:
                told = str(error)
                raise
            finally:
                self._tell(
                    Told(
                        dialect=dialect,
                        model=question.model,
                        served=served,
                        error=told,
                        duration_s=time.monotonic() - began,
                    )
                )

        self._open += 1
        future = asyncio.ensure_future(asyncio.wrap_future(self._pool.submit(work)))
        future.add_done_callback(self._done)
        return _Job(question, future, pieces, cancel)

    def _done(self, future: "asyncio.Future[Served]") -> None:
        self._open -= 1
        if not future.cancelled():
            future.exception()  # a stream that was cut off leaves it unread

    async def _whole(self, request: Request, job: _Job) -> tuple[Served | None, str]:
        """The answer and what was thought for it; None when the client hung up first."""
        try:
            served = await unless_gone(request, job.future)
        finally:
            job.cancel.gone.set()
        found = [job.pieces.get_nowait() for _ in range(job.pieces.qsize())]
        return served, "".join(text for kind, text in found if kind == "thinking")


def _answer(told: Refusal) -> Response:
    return JSONResponse(told.body, status_code=told.status, headers=dict(told.headers))


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PointsmanError)
    return _answer(refusal(error, dialect_of(request.url.path, request.headers)))


async def _on_http_error(request: Request, error: Exception) -> Response:
    """An unknown path or method."""
    assert isinstance(error, HTTPException)
    told = refusal(NoSuchModel(error.detail), dialect_of(request.url.path, request.headers))
    return JSONResponse(told.body, status_code=error.status_code, headers=error.headers)
