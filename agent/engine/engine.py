"""One model, ready to answer: prefix reuse, strategy, constraint and text around the loop."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.engine.costs import Costs
from agent.engine.drafters.copy import CopyDrafter
from agent.engine.generate import Constraint, EndReason, Generated, Job, generate
from agent.engine.grammar import CallGrammar, Grammar
from agent.engine.llama import Model, build
from agent.engine.parallel import Hypothesis, Parallel
from agent.engine.prefixes import PrefixStore, model_identity
from agent.engine.replay import Opening, Recorder
from agent.engine.routed import Chained, Routed
from agent.engine.sampling import Sampler, Sampling
from agent.engine.segments import Segments
from agent.engine.sessions import Prefilled, Session
from agent.engine.strategy import Choice as Strategy
from agent.engine.strategy import choose, reproducible
from agent.engine.template import ChatTemplate
from agent.engine.text import TextStream
from agent.engine.watch import Pace
from agent.engine.weights import Weights
from agent.errors import Cancelled, ContextOverflow, EngineError, RequestRejected
from agent.types import Choice, DecodeHints, DecodeStats

__all__ = ["Answer", "Engine", "Query", "SelfTest"]

MAX_PARALLEL = 32
"""Most choices of one request: each has a recurrent state of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to generate. Tokens in; `copy_sources` are texts the output may repeat."""

    prompt: tuple[int, ...]
    sampling: Sampling
    max_tokens: int
    hints: DecodeHints | None = None
    """None: a foreign client that says nothing about its text."""
    n: int = 1
    stop: tuple[str, ...] = ()
    grammar: str | None = None
    """GBNF of the whole answer."""
    call_grammar: str | None = None
    """GBNF of what follows each `<tool_call>` in a free answer."""
    copy_sources: tuple[str, ...] = ()
    scored: bool = False
    """Give the summed log-probability also for a single choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One or more choices, best or first first; `ends` says how each ended."""

    choices: tuple[Choice, ...]
    ends: tuple[EndReason, ...]
    stats: DecodeStats
    reason: str
    """Why this strategy."""
    prompt_tokens: int
    reused_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """Start-up check: MTP decoding against plain decoding on a short prompt."""

    exact: bool
    tokens: int
    acceptance: float | None
    """None without an MTP head."""


class Engine:
    """Not thread-safe: one thread owns it."""

    def __init__(
        self,
        path: Path,
        *,
        n_ctx: int,
        threads: int | None = None,
        weights: Weights = Weights(),  # noqa: B008  (frozen)
        prefixes: Path | None = None,
        extra_buffers: bool | None = None,
    ) -> None:
        """`prefixes`: a directory where states of long beginnings are kept; None: in memory only.
        `extra_buffers`: see Model."""
        self.model = Model(path, weights=weights, extra_buffers=extra_buffers)
        store = _store(prefixes, path, self.model) if prefixes else None
        self.session = Session(self.model, n_ctx=n_ctx, threads=threads, prefixes=store)
        self.template = ChatTemplate(self.model)
        self.pace = Pace(self._assumed())
        self.mtp_trusted = self.session.mtp is not None
        """False when the self-test found MTP decoding not to be exact here."""
        self.recorder: Recorder | None = None
        self._parallel: Parallel | None = None

    @property
    def costs(self) -> Costs:
        return self.pace.costs

    @costs.setter
    def costs(self, costs: Costs) -> None:
        """What was measured in use is forgotten with the curve it refers to."""
        self.pace = Pace(costs)
        if self.session.mtp:
            self.session.mtp.trimmed = costs.trimmed

    def _assumed(self) -> Costs:
        mtp = self.session.mtp
        trimmed = mtp is not None and mtp.head is not None and mtp.trimmed
        return Costs.assumed(trimmed=trimmed, window=self.session.target.rollback)

    def close(self) -> None:
        if self._parallel:
            self._parallel.close()
        self.session.close()
        self.model.close()

    def answer(
        self, query: Query, on_text: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> Answer:
        """Run one query. Raises ContextOverflow, RequestRejected, Cancelled, EngineError.

        `on_text` gets the text of a single choice as it becomes final; with several choices
        nothing is streamed.
        """
        beam = query.hints.beam if query.hints else 0
        room = self.session.n_ctx - len(query.prompt)
        if room < 1:
            raise ContextOverflow(
                f"the prompt has {len(query.prompt)} tokens, the context {self.session.n_ctx}",
                billed="no",
            )
        query = replace(query, max_tokens=min(query.max_tokens, room))
        if beam or query.n > 1:
            return self._several(query, beam, cancelled)
        return self._single(query, on_text, cancelled)

    def self_test(self, *, tokens: int = 24) -> SelfTest:
        """Decode a short text plain and with MTP; MTP is not trusted when they differ."""
        prompt = tuple(self.model.tokenize("def add(a, b):\n    return", special=False))
        plain = self._probe(prompt, tokens, "plain")
        if self.session.mtp is None:
            return SelfTest(exact=True, tokens=len(plain.tokens), acceptance=None)
        fast = self._probe(prompt, tokens, "mtp")
        exact = fast.tokens == plain.tokens
        self.mtp_trusted = exact
        rate = fast.stats.acceptance_rate or 0.0
        return SelfTest(exact=exact, tokens=len(plain.tokens), acceptance=rate)

    def _probe(self, prompt: Sequence[int], tokens: int, arm: str) -> Generated:
        k = 2 if arm == "mtp" else None
        decision = Strategy(
            arm="mtp" if arm == "mtp" else "plain", draft_length=k, reason="self-test"
        )
        prefilled = self.session.begin(prompt, fresh=True)
        routed = Routed(decision, costs=self.costs, mtp=self.session.mtp, copy=None)
        query = Query(prompt=tuple(prompt), sampling=Sampling(), max_tokens=tokens)
        return self._drive(query, prefilled, routed, None, TextStream(self.model), _ignore, _never)

    def _single(
        self, query: Query, on_text: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> Answer:
        grammar = self._constraint(query)
        try:
            decision, routed = self.route(query)
            fresh = bool(query.hints and query.hints.reproducible)
            prefilled = self.session.begin(query.prompt, fresh=fresh, between=_raiser(cancelled))
            stream = TextStream(self.model, query.stop)
            done = self._drive(query, prefilled, routed, grammar, stream, on_text, cancelled)
        except EngineError:
            self.session.reset()
            raise
        finally:
            if grammar:
                grammar.close()
            if self.recorder:
                self.recorder.end()
        if done.end == "cancelled":
            raise Cancelled("cancelled")
        return Answer(
            choices=(Choice(text=stream.text, logprob=done.logprob),),
            ends=(done.end,),
            stats=done.stats,
            reason=decision.reason,
            prompt_tokens=len(query.prompt),
            reused_tokens=prefilled.reused,
            output_tokens=len(done.tokens),
        )

    def _constraint(self, query: Query) -> Grammar | CallGrammar | None:
        """Of one choice; to be closed. Raises RequestRejected for a malformed grammar."""
        if query.grammar:
            return Grammar(self.model, query.grammar)
        return CallGrammar(self.model, query.call_grammar) if query.call_grammar else None

    def route(self, query: Query, *, mtp: Chained | None = None) -> tuple[Strategy, Routed]:
        """The strategy of a query and what will propose its drafts. `mtp` stands in for the
        model's own drafter (a measurement sets its acceptance so)."""
        hints = query.hints or DecodeHints(step_kind="chat")
        kind, edit_format = hints.step_kind if query.hints else None, hints.edit_format
        sources = [self.model.tokenize(s, special=False) for s in query.copy_sources]
        segments = Segments(
            self.model.piece,
            kind=kind,
            edit_format=edit_format,
            prompt=query.prompt,
            constrained="json" if query.grammar else None,
        )
        if hints.reproducible:
            decision = reproducible(hints.strategy, hints.draft_length, has_mtp=self.mtp_trusted)
        else:
            decision = choose(
                step_kind=kind,
                edit_format=edit_format,
                wanted=hints.strategy,
                draft_length=hints.draft_length,
                has_mtp=self.mtp_trusted,
                copy_sources=sum(map(len, sources)),
                costs=self.costs,
                segment=segments.now,
                handicap=self.pace.handicap("mtp"),
            )
        copies = decision.arm in ("copy", "combined") or decision.lookup
        timed = not decision.fixed_width
        opening = Opening(
            choice=decision,
            costs=self.costs,
            step_kind=kind,
            segment=segments.now,
            pace=self.pace.state() if timed else None,
            prompt=query.prompt if copies else (),
            sources=tuple(map(tuple, sources)),
        )
        routed = Routed(
            decision,
            costs=self.costs,
            mtp=mtp or self.session.mtp,
            copy=CopyDrafter(sources, query.prompt) if copies else None,
            step_kind=kind,
            segments=segments,
            clock=self.session.clock if timed else None,
            pace=self.pace,
            log=self.recorder.begin(opening) if self.recorder else None,
        )
        return decision, routed

    def _drive(
        self,
        query: Query,
        prefilled: Prefilled,
        routed: Routed,
        grammar: Constraint | None,
        stream: TextStream,
        on_text: Callable[[str], None],
        cancelled: Callable[[], bool],
    ) -> Generated:
        mtp = self.session.mtp
        job = Job(
            sampler=Sampler(query.sampling),
            proposer=routed,
            max_tokens=query.max_tokens,
            drafters=(mtp,) if mtp else (),
            cancelled=cancelled,
            constraint=grammar,
            scored=query.scored,
            prefill_tokens=prefilled.decoded,
            prefill_s=prefilled.seconds,
        )
        running = generate(self.session.target, prefilled.row, job)
        try:
            tokens = next(running)
            while True:
                text = stream.feed(tokens)
                if text:
                    on_text(text)
                tokens = running.send(stream.stopped)
        except StopIteration as stop:
            done: Generated = stop.value
        rest = stream.finish()
        if rest:
            on_text(rest)
        return done

    def _several(self, query: Query, beam: int, cancelled: Callable[[], bool]) -> Answer:
        if query.grammar and beam:
            raise RequestRejected("a beam cannot be constrained: ask for n samples", billed="no")
        width = max(beam, query.n)
        if width > MAX_PARALLEL:
            raise RequestRejected(f"at most {MAX_PARALLEL} choices at once", billed="no")
        parallel = self._context_for(width, len(query.prompt) + width * query.max_tokens)
        started = time.monotonic()
        parallel.prefill(query.prompt, cancelled)
        middle = time.monotonic()

        def final(tokens: Sequence[int]) -> bool:
            stream = TextStream(self.model, query.stop)
            stream.feed(tokens)
            return stream.stopped

        rule = final if query.stop else _never_final
        found = self._continue(parallel, query, beam, rule, cancelled)
        found = found[: query.n]
        tokens = sum(len(h.tokens) for h in found)
        stats = DecodeStats(
            strategy=f"beam:{beam}" if beam else f"samples:{query.n}",
            prefill_tokens=len(query.prompt),
            prefill_s=middle - started,
            decode_tokens=tokens,
            decode_s=time.monotonic() - middle,
            cycles=max((len(h.tokens) for h in found), default=0),
        )
        return Answer(
            choices=tuple(self._choice(h, query.stop) for h in found),
            ends=tuple("end" if h.ended else "length" for h in found),
            stats=stats,
            reason="several choices share one prompt",
            prompt_tokens=len(query.prompt),
            reused_tokens=0,
            output_tokens=tokens,
        )

    def _continue(
        self,
        parallel: Parallel,
        query: Query,
        beam: int,
        final: Callable[[Sequence[int]], bool],
        cancelled: Callable[[], bool],
    ) -> list[Hypothesis]:
        if beam:
            return parallel.beam(
                query.prompt, beam, max_tokens=query.max_tokens, final=final, cancelled=cancelled
            )
        settings = [replace(query.sampling, seed=query.sampling.seed + i) for i in range(query.n)]
        made = [self._constraint(query) for _ in settings]
        constraints = [c for c in made if c is not None]
        try:
            return parallel.sample(
                query.prompt,
                settings,
                max_tokens=query.max_tokens,
                final=final,
                cancelled=cancelled,
                constraints=constraints,
            )
        finally:
            for constraint in constraints:
                constraint.close()

    def _choice(self, one: Hypothesis, stop: Sequence[str]) -> Choice:
        stream = TextStream(self.model, stop)
        stream.feed(one.tokens)
        stream.finish()
        return Choice(text=stream.text, logprob=one.logprob)

    def _context_for(self, width: int, cells: int) -> Parallel:
        """The parallel context, made anew when it is too small."""
        have = self._parallel
        if have and have.width >= width and have.n_ctx >= cells:
            return have
        if have:
            have.close()
            self._parallel = None
        size = max(2048, 1 << (cells - 1).bit_length())
        self._parallel = Parallel(self.model, width=width, n_ctx=size, threads=self.session.threads)
        return self._parallel


def _store(folder: Path, path: Path, model: Model) -> PrefixStore:
    """A state is of use to the same weights, build and cache type only."""
    parts = (model_identity(path), build(), model.weights.kv_type, model.has_mtp)
    return PrefixStore(folder, identity=":".join(map(str, parts)))


def _ignore(_: str) -> None:
    pass


def _never() -> bool:
    return False


def _never_final(_: Sequence[int]) -> bool:
    return False


def _raiser(cancelled: Callable[[], bool]) -> Callable[[], None]:
    def check() -> None:
        if cancelled():
            raise Cancelled("cancelled during prefill")

    return check
