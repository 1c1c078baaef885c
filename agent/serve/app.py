"""The HTTP app of the worker: chat completions, models, health, tokens."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agent.engine.callgrammar import after_open, forced
from agent.engine.engine import Answer, Query, SelfTest
from agent.engine.grammar import CallGrammar, Grammar, schema_to_grammar
from agent.engine.sampling import Sampling
from agent.errors import ContextOverflow, PointsmanError, RequestRejected
from agent.serve import openai
from agent.serve.chat import ChatRequest, parse_request, parse_tokenize
from agent.serve.parts import Field, PartStream, part
from agent.serve.refusals import refusal
from agent.serve.runner import Runner
from agent.serve.streams import Watched, as_it_comes, body_of, event, unless_gone
from agent.types import Reading

__all__ = ["Worker"]


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
                Route("/calibrate", self.calibrate, methods=["POST"]),
                Route("/tokenize", self.tokenize, methods=["POST"]),
                Route("/detokenize", self.detokenize, methods=["POST"]),
            ],
            exception_handlers={PointsmanError: _on_error, HTTPException: _on_http_error},
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
                "calibration": self._calibration(),
                "prefixes": self._prefixes(),
                "active": self.runner.active,
                "uptime_s": round(time.monotonic() - self.started, 3),
            }
        )

    def _calibration(self) -> dict[str, Any]:
        """Whether the cost curve is measured here, and how far that is."""
        found = self.runner.calibrator
        note = {"note": found.note} if found.note else {}
        return {"state": found.state, "done": found.done, "of": found.of, **note}

    async def calibrate(self, _: Request) -> Response:
        """Measure the cost curve now; health tells how far it is."""
        self.last_used = time.monotonic()
        self.runner.calibrate()
        return JSONResponse(self._calibration(), status_code=202)

    def _prefixes(self) -> dict[str, Any] | None:
        """States on disk, of every model, and those that were ignored."""
        store = self.runner.engine.session.prefixes
        if store is None:
            return None
        files, size = store.usage()
        return {"files": files, "bytes": size, "notices": store.notices}

    async def models(self, _: Request) -> Response:
        one = {
            "id": self.model,
            "object": "model",
            "created": 0,
            "owned_by": "local",
            "max_model_len": self.runner.engine.session.n_ctx,
        }
        return JSONResponse({"object": "list", "data": [one]})

    async def tokenize(self, request: Request) -> Response:
        """Tokens of a text, or of the prompt that messages and tools would make."""
        asked = parse_tokenize(await body_of(request))
        self.last_used = time.monotonic()
        engine = self.runner.engine
        if asked.content is not None:
            text = asked.content
            tokens = await asyncio.to_thread(engine.model.tokenize, text, special=False)
        else:
            chat = asked.as_chat()
            tokens = await asyncio.to_thread(self._prompt, chat)
        return JSONResponse(
            {"tokens": tokens, "count": len(tokens), "max_model_len": engine.session.n_ctx}
        )

    async def detokenize(self, request: Request) -> Response:
        model = self.runner.engine.model
        try:
            tokens = json.loads(await body_of(request))["tokens"]
            pieces = [model.piece(t) for t in tokens if 0 <= t < model.n_vocab]
        except (ValueError, KeyError, TypeError) as error:
            raise RequestRejected('expected {"tokens": [ids]}', billed="no") from error
        if len(pieces) != len(tokens):
            raise RequestRejected(f"token ids are 0 to {model.n_vocab - 1}", billed="no")
        return JSONResponse({"content": b"".join(pieces).decode("utf-8", "replace")})

    async def chat(self, request: Request) -> Response:
        asked = parse_request(await body_of(request))
        query, thinking = await asyncio.to_thread(self._query, asked)
        gone = threading.Event()
        pieces: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def on_text(text: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, text)

        stopped = gone.is_set
        if asked.stream and asked.pointsman and query.n == 1:
            stopped = self._watched(query, gone, on_text).is_set
        future = asyncio.wrap_future(self.runner.submit(query, on_text, stopped))
        # A stream that is cut off leaves the future unread.
        future.add_done_callback(lambda f: f.cancelled() or f.exception())
        if asked.stream:
            body = self._stream(asked, thinking, future, pieces, gone)
            return StreamingResponse(body, media_type="text/event-stream")
        try:
            answer = await unless_gone(request, future)
        finally:
            gone.set()
            self.last_used = time.monotonic()
        if answer is None:
            return Response(status_code=499)
        parts = [part(c.text, tools=asked.offered(), thinking=thinking) for c in answer.choices]
        reasoning = [self._count(p.reasoning) for p in parts]
        return JSONResponse(openai.final_body(answer, parts, self.model, sum(reasoning)))

    def _watched(
        self, query: Query, gone: threading.Event, on_text: Callable[[str], None]
    ) -> Watched:
        """For clients that know our extension: others may not expect a chunk without choices."""
        target, total = self.runner.engine.session.target, len(query.prompt)
        on_text(Reading(0, total))
        return Watched(gone, total=total, read=lambda: len(target.tokens), tell=on_text)

    def _prompt(self, asked: ChatRequest) -> list[int]:
        return self.runner.engine.template.render(
            asked.template_messages(), tools=asked.offered(), thinking=asked.thinking()
        )

    def _count(self, text: str) -> int:
        return len(self.runner.engine.model.tokenize(text, special=False)) if text else 0

    def _query(self, asked: ChatRequest) -> tuple[Query, bool]:
        """Render and check everything that can be refused before the answer starts; whether the
        prompt ends inside a `<think>`."""
        engine = self.runner.engine
        prompt = self._prompt(asked)
        if len(prompt) >= engine.session.n_ctx:
            raise ContextOverflow(
                f"the prompt has {len(prompt)} tokens, the context {engine.session.n_ctx}",
                billed="no",
            )
        thinking = engine.template.opens_thinking(prompt)
        grammar, call_grammar = self._grammars(asked, thinking)
        query = Query(
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
            call_grammar=call_grammar,
            copy_sources=asked.copy_sources(),
            scored=asked.logprobs,
        )
        return query, thinking

    def _grammars(self, asked: ChatRequest, thinking: bool) -> tuple[str | None, str | None]:
        """Of the whole answer, and of the calls in a free one; both tried before it starts."""
        model, form = self.runner.engine.model, self.runner.engine.template.call_form
        choice, tools = asked.choice(), asked.offered()
        grammar = _grammar_of(asked)
        if choice not in ("none", "auto"):
            grammar = forced(
                tools,
                form,
                name=None if choice == "required" else choice,
                several=choice == "required" and asked.parallel_tool_calls,
                thinking=thinking,
            )
        if grammar:
            Grammar(model, grammar).close()
            return grammar, None
        if not tools:
            return None, None
        calls = after_open(tools, form)
        CallGrammar(model, calls).close()
        return None, calls

    async def _stream(
        self,
        asked: ChatRequest,
        thinking: bool,
        future: "asyncio.Future[Answer]",
        pieces: "asyncio.Queue[str]",
        gone: threading.Event,
    ) -> AsyncIterator[str]:
        out = _Chunks(openai.new_id(), self.model)
        parted = PartStream(tools=asked.offered(), thinking=thinking)
        try:
            yield out.delta({"role": "assistant", "content": ""})
            async for text in as_it_comes(future, pieces):
                if text is None:
                    yield ": keep-alive\n\n"
                    continue
                if isinstance(text, Reading):
                    yield out.reading(text)
                    continue
                for field, ready in parted.feed(text):
                    yield out.delta({field: ready})
            answer = future.result()
            for chunk in self._ends(out, asked, answer, parted, thinking):
                yield chunk
            yield event(self._last(out.ident, asked, answer, thinking))
            yield "data: [DONE]\n\n"
        except PointsmanError as error:
            yield event(refusal(error).body)
        finally:
            gone.set()
            self.last_used = time.monotonic()

    def _ends(
        self, out: "_Chunks", asked: ChatRequest, answer: Answer, one: PartStream, thinking: bool
    ) -> Iterator[str]:
        """What is left of each choice. Of several nothing has been sent before."""
        for index, choice in enumerate(answer.choices):
            parted, ready = one, list[tuple[Field, str]]()
            if len(answer.choices) > 1:
                parted = PartStream(tools=asked.offered(), thinking=thinking)
                ready = parted.feed(choice.text)
            rest, calls = parted.finish()
            for field, text in (*ready, *rest):
                yield out.delta({field: text}, index=index)
            if calls:
                yield out.delta({"tool_calls": openai.calls_body(calls)}, index=index)
            yield out.delta({}, openai.finish_reason(answer.ends[index], calls), index)

    def _last(
        self, ident: str, asked: ChatRequest, answer: Answer, thinking: bool
    ) -> dict[str, Any]:
        """The chunk without choices that carries usage (if asked for) and our statistics."""
        made = openai.chunk(ident, self.model, delta={})
        made["choices"] = []
        if asked.stream_options.include_usage:
            thoughts = [part(c.text, tools=(), thinking=thinking).reasoning for c in answer.choices]
            made["usage"] = openai.usage_of(answer, sum(map(self._count, thoughts)))
        made["pointsman"] = openai.extension_of(answer)
        return made


class _Chunks:
    """The chunks of one stream."""

    def __init__(self, ident: str, model: str) -> None:
        self.ident, self._model = ident, model

    def reading(self, now: Reading) -> str:
        body = openai.chunk(self.ident, self._model, delta={})
        prefill = {"done": now.done, "total": now.total}
        return event({**body, "choices": [], "pointsman": {"prefill": prefill}})

    def delta(self, delta: dict[str, Any], finish: str | None = None, index: int = 0) -> str:
        return event(openai.chunk(self.ident, self._model, index=index, delta=delta, finish=finish))


def _grammar_of(asked: ChatRequest) -> str | None:
    own, schema = asked.pointsman.grammar if asked.pointsman else None, asked.answer_schema()
    if schema is None:
        return own
    if own:
        raise RequestRejected("grammar and response_format exclude each other", billed="no")
    return schema_to_grammar(schema)


async def _on_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, PointsmanError)
    told = refusal(error)
    return JSONResponse(told.body, status_code=told.status, headers=dict(told.headers))


async def _on_http_error(_: Request, error: Exception) -> Response:
    """An unknown path or method."""
    assert isinstance(error, HTTPException)
    kind = "invalid_request_error"
    body = {"error": {"message": error.detail, "type": kind, "param": None, "code": "not_found"}}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)
