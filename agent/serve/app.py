"""The HTTP app of the worker: chat completions, models, health, tokenise."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agent.engine.engine import Answer, Query, SelfTest
from agent.engine.grammar import Grammar, schema_to_grammar
from agent.engine.sampling import Sampling
from agent.engine.toolcalls import OPEN, split_tool_calls
from agent.errors import Cancelled, ContextOverflow, PointsmanError, RequestRejected
from agent.serve import openai
from agent.serve.runner import Busy, Runner
from agent.types import ToolCall

__all__ = ["Worker"]

MAX_BODY = 32 * 2**20
KEEP_ALIVE_S = 5.0


class Worker:
    """The app's state and its handlers."""

    def __init__(self, runner: Runner, *, model: Path, self_test: SelfTest) -> None:
        self.runner, self.self_test = runner, self_test
        self.model = model.stem
        self.started = self.last_used = time.monotonic()
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/health", self.health),
                Route("/tokenize", self.tokenize, methods=["POST"]),
            ],
            exception_handlers={PointsmanError: _on_error},
        )

    def idle_s(self) -> float:
        """Seconds since the last request ended; 0 while one is running."""
        if self.runner.active:
            self.last_used = time.monotonic()
        return time.monotonic() - self.last_used

    async def health(self, _: Request) -> Response:
        engine = self.runner.engine
        return JSONResponse(
            {
                "status": "ok",
                "model": self.model,
                "context": engine.session.n_ctx,
                "threads": engine.session.threads,
                "mtp": engine.mtp_trusted,
                "self_test": asdict(self.self_test),
                "costs": asdict(engine.costs),
                "active": self.runner.active,
                "uptime_s": round(time.monotonic() - self.started, 3),
            }
        )

    async def models(self, _: Request) -> Response:
        one = {
            "id": self.model,
            "object": "model",
            "owned_by": "local",
            "max_model_len": self.runner.engine.session.n_ctx,
        }
        return JSONResponse({"object": "list", "data": [one]})

    async def tokenize(self, request: Request) -> Response:
        try:
            raw = json.loads(await _body(request))
            text = raw["content"]
        except (ValueError, KeyError, TypeError) as error:
            raise RequestRejected('expected {"content": text}', billed="no") from error
        if not isinstance(text, str):
            raise RequestRejected("content must be text", billed="no")
        self.last_used = time.monotonic()
        tokens = await asyncio.to_thread(self.runner.engine.model.tokenize, text, special=False)
        return JSONResponse({"tokens": tokens})

    async def chat(self, request: Request) -> Response:
        asked = openai.parse_request(await _body(request))
        query = await asyncio.to_thread(self._query, asked)
        gone = threading.Event()
        events: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def on_text(text: str) -> None:
            loop.call_soon_threadsafe(events.put_nowait, text)

        future = asyncio.wrap_future(self.runner.submit(query, on_text, gone.is_set))
        # A stream that is cut off leaves the future unread.
        future.add_done_callback(lambda f: f.cancelled() or f.exception())
        if asked.stream:
            body = self._stream(asked, future, events, gone)
            return StreamingResponse(body, media_type="text/event-stream")
        try:
            answer = await _unless_gone(request, future)
        finally:
            gone.set()
            self.last_used = time.monotonic()
        if answer is None:
            return Response(status_code=499)
        texts = [split_tool_calls(c.text, asked.tools) for c in answer.choices]
        return JSONResponse(openai.final_body(answer, texts, self.model))

    def _query(self, asked: openai.ChatRequest) -> Query:
        """Render and check everything that can be refused before the answer starts."""
        engine = self.runner.engine
        prompt = engine.template.render(
            asked.template_messages(),
            tools=() if asked.tool_choice == "none" else asked.tools,
            thinking=asked.chat_template_kwargs.enable_thinking,
        )
        if len(prompt) >= engine.session.n_ctx:
            raise ContextOverflow(
                f"the prompt has {len(prompt)} tokens, the context {engine.session.n_ctx}",
                billed="no",
            )
        grammar = _grammar_of(asked)
        if grammar:
            Grammar(engine.model, grammar).close()
        return Query(
            prompt=tuple(prompt),
            sampling=Sampling(
                temperature=1.0 if asked.temperature is None else asked.temperature,
                top_k=asked.top_k,
                top_p=asked.top_p,
                min_p=asked.min_p,
                repeat_penalty=asked.repeat_penalty,
                seed=asked.seed if asked.seed is not None else time.time_ns(),
            ),
            max_tokens=asked.limit(),
            hints=asked.hints(),
            n=asked.n,
            stop=asked.stops(),
            grammar=grammar,
            copy_sources=asked.copy_sources(),
            scored=asked.logprobs,
        )

    async def _stream(
        self,
        asked: openai.ChatRequest,
        future: "asyncio.Future[Answer]",
        events: "asyncio.Queue[str]",
        gone: threading.Event,
    ) -> AsyncIterator[str]:
        ident, held = openai.new_id(), _Held(bool(asked.tools))

        def send(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> str:
            made = openai.chunk(ident, self.model, index=index, delta=delta, finish=finish)
            return _event(made)

        try:
            yield send({"role": "assistant", "content": ""})
            async for text in _texts(future, events):
                if text is None:
                    yield ": keep-alive\n\n"
                elif ready := held.feed(text):
                    yield send({"content": ready})
            answer = future.result()
            for index, choice in enumerate(answer.choices):
                rest, calls = held.finish(choice.text, asked.tools, single=len(answer.choices) == 1)
                if rest:
                    yield send({"content": rest}, index=index)
                if calls:
                    yield send({"tool_calls": openai.calls_body(calls)}, index=index)
                yield send({}, openai.finish_reason(answer.ends[index], calls), index)
            yield _event(self._last(ident, asked, answer))
            yield "data: [DONE]\n\n"
        except PointsmanError as error:
            yield _event(_error_body(error)[1])
        finally:
            gone.set()
            self.last_used = time.monotonic()

    def _last(self, ident: str, asked: openai.ChatRequest, answer: Answer) -> dict[str, Any]:
        """The chunk without choices that carries usage (if asked for) and our statistics."""
        made = openai.chunk(ident, self.model, delta={})
        made["choices"] = []
        if asked.stream_options.include_usage:
            made["usage"] = openai.usage_of(answer)
        made["pointsman"] = openai.extension_of(answer)
        return made


class _Held:
    """Holds text back from where a tool call may begin."""

    def __init__(self, tools: bool) -> None:
        self._marker = OPEN if tools else ""
        self._text = ""
        self._sent = 0

    def feed(self, text: str) -> str:
        self._text += text
        end = len(self._text)
        if self._marker:
            at = self._text.find(self._marker)
            if at >= 0:
                end = at
            else:
                sizes = range(min(len(self._marker), end), 0, -1)
                keep = next((n for n in sizes if self._text.endswith(self._marker[:n])), 0)
                end -= keep
        ready, self._sent = self._text[self._sent : end], max(end, self._sent)
        return ready

    def finish(
        self, text: str, tools: Sequence[Any], *, single: bool
    ) -> tuple[str, tuple[ToolCall, ...]]:
        """What is still to be sent of a choice's whole text, and its calls."""
        content, calls = split_tool_calls(text, tools) if self._marker else (text, ())
        if not single:
            return content, calls
        return ("" if calls else text[self._sent :]), calls


async def _texts(
    future: "asyncio.Future[Answer]", events: "asyncio.Queue[str]"
) -> AsyncIterator[str | None]:
    """Text as it comes; None when it is time for a sign of life. Ends when the answer is there."""
    while True:
        waiter = asyncio.ensure_future(events.get())
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
    while not events.empty():
        yield events.get_nowait()


async def _unless_gone(request: Request, future: "asyncio.Future[Answer]") -> Answer | None:
    """The answer; None when the client hung up first."""

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


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise RequestRejected(f"the request is larger than {MAX_BODY} bytes", billed="no")
    return body


def _grammar_of(asked: openai.ChatRequest) -> str | None:
    wanted = asked.response_format
    own = asked.pointsman.grammar if asked.pointsman else None
    if wanted is None or wanted.type == "text":
        return own
    if own:
        raise RequestRejected("grammar and response_format exclude each other", billed="no")
    schema = wanted.json_schema.schema_ if wanted.json_schema else {"type": "object"}
    return schema_to_grammar(json.dumps(schema))


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


_STATUS: tuple[tuple[type[PointsmanError], int, str, str], ...] = (
    (ContextOverflow, 400, "invalid_request_error", "context_length_exceeded"),
    (RequestRejected, 400, "invalid_request_error", "invalid_request"),
    (Busy, 503, "overloaded_error", "queue_full"),
    (Cancelled, 499, "cancelled", "cancelled"),
    (PointsmanError, 500, "engine_error", "engine_error"),
)


def _error_body(error: PointsmanError) -> tuple[int, dict[str, Any]]:
    status, kind, code = next(row[1:] for row in _STATUS if isinstance(error, row[0]))
    return status, {"error": {"message": str(error), "type": kind, "code": code}}


async def _on_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, PointsmanError)
    status, body = _error_body(error)
    headers = {"retry-after": "1"} if status == 503 else None
    return JSONResponse(body, status_code=status, headers=headers)
