"""The only spender: every request of a run, to any model anywhere, goes through here.

    completion = yield from gateway.complete(request, route, step_id=step.id, cancel=cancel)

egress check -> redaction -> recorded answer? -> [ reserve -> send -> settle | release | unknown ]*
"""

import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import UTC, datetime

from agent.errors import Cancelled, EngineError, PolicyError, ProviderError
from agent.events import (
    CompletionRecorded,
    Event,
    Notice,
    Progress,
    RequestFinished,
    RequestStarted,
    Spent,
    TextDelta,
    ThinkingDelta,
)
from agent.gateway.egress import check_egress, fingerprint, hide, redact, restore, restorer
from agent.gateway.retry import Breaker, RetryPolicy
from agent.gateway.worker import Attempt
from agent.ledger import Budgets, Entry, Ledger
from agent.prices import Prices
from agent.providers.base import encode_completion, token_upper_bound
from agent.types import (
    CancelToken,
    Completion,
    Location,
    Provider,
    Reading,
    Request,
    Route,
    Thought,
)
from tools.secrets import Redactor, Restorer

__all__ = ["Gateway"]

_SLICE_S = 0.1


def _no_notices() -> Iterable[str]:
    return ()


def _nothing_recorded(_: str) -> Completion | None:
    return None


class Gateway:
    """Sends requests for one run, within its budgets."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        providers: Mapping[Location, Provider],
        prices: Prices,
        budgets: Budgets,
        run_id: str,
        repo_key: str,
        redact: Redactor,
        retry: RetryPolicy | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        recorded: Callable[[str], Completion | None] = _nothing_recorded,
        notices: Callable[[], Iterable[str]] = _no_notices,
    ) -> None:
        """`notices`: what befell the providers since it was last asked."""
        self._ledger = ledger
        self._providers = dict(providers)
        self._prices = prices
        self._budgets = budgets
        self._run_id = run_id
        self._repo_key = repo_key
        self._redactor = redact
        self._retry = retry or RetryPolicy()
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._recorded = recorded
        self._notices = notices
        self._breaker = Breaker(self._retry, monotonic)

    def complete(
        self, request: Request, route: Route, *, step_id: str, cancel: CancelToken
    ) -> Generator[Event, None, Completion]:
        """One answer, with as many attempts as the policy allows; each is a ledger row.

        Raises PolicyError, BudgetExceeded, LedgerError (nothing was sent), Cancelled, EngineError,
        or the last attempt's ProviderError.
        """
        provider = self._provider(route)
        check_egress(request, provider.location)
        clean = redact(request, self._redactor)  # also learns what must not be written to disk
        name = fingerprint(request)
        known = self._recorded(name)
        if known is not None and (known.location, known.model) == (
            provider.location,
            provider.model,
        ):
            answer = restore(known, request, self._redactor)
            yield TextDelta(step_id=step_id, text=answer.text)
            return answer
        sent = request if provider.location == "local" else clean
        answer = yield from self._attempts(sent, route, provider, step_id, cancel)
        answer = restore(answer, request, self._redactor)
        yield CompletionRecorded(
            request_id=request.id,
            fingerprint=name,
            completion_json=encode_completion(hide(answer, request, self._redactor)),
        )
        yield self._spent()
        return answer

    # ------------------------------------------------------------------ attempts

    def _attempts(
        self,
        request: Request,
        route: Route,
        provider: Provider,
        step_id: str,
        cancel: CancelToken,
    ) -> Generator[Event, None, Completion]:
        for number in range(1, self._retry.max_attempts + 1):
            if cancel.is_set():
                raise Cancelled("interrupted")
            self._breaker.check(provider.name)
            try:
                done = yield from self._attempt(request, route, provider, step_id, number, cancel)
            except ProviderError as error:
                self._breaker.failed(provider.name, error)
                yield self._spent()
                wait = self._retry.wait(error, number, self._jitter())
                if wait is None:
                    raise
                what = self._redactor.hide(str(error))
                again = f"attempt {number + 1} of {self._retry.max_attempts} in {wait:.1f} s"
                yield Notice(message=f"{what}; {again}", level="warning")
                self._pause(wait, cancel)
            else:
                self._breaker.succeeded(provider.name)
                return done
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _attempt(
        self,
        request: Request,
        route: Route,
        provider: Provider,
        step_id: str,
        number: int,
        cancel: CancelToken,
    ) -> Generator[Event, None, Completion]:
        """One row: reserved before anything is sent, closed whatever happens."""
        at = self._clock()
        worst = self._prices.worst_case(
            provider.model,
            token_upper_bound(request),
            request.max_tokens * max(1, request.n),
            at=at,
            location=provider.location,
            provider=provider.name,
        )
        entry = Entry(
            run_id=self._run_id,
            repo_key=self._repo_key,
            step_id=step_id,
            step_kind=request.step_kind,
            request_id=request.id,
            attempt=number,
            location=provider.location,
            provider=provider.name,
            model=provider.model,
            reserved_usd_micro=worst,
            reason=route.reason,
        )
        row = self._ledger.reserve(entry, self._budgets, now=at.timestamp())
        closing = _Row(self._ledger, request.id, row, self._redactor.hide)
        try:
            yield RequestStarted(
                request_id=request.id,
                attempt=number,
                ledger_row=row,
                route=route,
                reserved_usd_micro=worst,
            )
        except BaseException as error:  # the consumer stopped here: nothing has been sent
            closing.release(error)
            raise
        try:
            attempt = Attempt(provider, request, cancel, timeout_s=self._retry.attempt_timeout_s)
            yield from self._stream(attempt, request, step_id)
        except (ProviderError, EngineError) as error:
            unbilled = isinstance(error, EngineError) or error.billed == "no"
            yield closing.release(error) if unbilled else closing.unknown(error)
            raise
        except BaseException as error:  # Cancelled, Ctrl-C, a consumer that stopped, a defect
            closing.unknown(error)
            raise
        yield self._settle(closing, attempt.completion, provider, at)
        return attempt.completion

    def _stream(
        self, attempt: Attempt, request: Request, step_id: str
    ) -> Generator[Event, None, None]:
        shown = Restorer(restorer(request, self._redactor))
        texts = attempt.texts()
        try:
            for piece in texts:
                yield from self._befallen()
                if isinstance(piece, Thought):
                    yield ThinkingDelta(step_id=step_id, text=piece)
                elif isinstance(piece, Reading):
                    yield Progress(phase="prefill", done=piece.done, total=piece.total)
                elif text := shown.feed(piece):
                    yield TextDelta(step_id=step_id, text=text)
        finally:
            texts.close()  # ends the attempt now, not when it is collected
        yield from self._befallen()
        if text := shown.flush():
            yield TextDelta(step_id=step_id, text=text)

    def _befallen(self) -> Iterator[Notice]:
        for message in self._notices():
            yield Notice(message=message, level="warning")

    def _settle(
        self, closing: "_Row", done: Completion, provider: Provider, at: datetime
    ) -> RequestFinished:
        usd = self._prices.price(
            provider.model, done.usage, at, location=provider.location, provider=provider.name
        )
        return closing.settle(done, usd)

    # ------------------------------------------------------------------ helpers

    def _provider(self, route: Route) -> Provider:
        if route.location is None:
            raise PolicyError(route.reason, remedy="agent doctor")
        provider = self._providers.get(route.location)
        if provider is None or provider.location != route.location:
            raise PolicyError(
                f"no provider is configured for {route.location}", remedy="agent doctor"
            )
        return provider

    def _spent(self) -> Spent:
        totals = self._ledger.totals(self._run_id)
        return Spent(totals=totals, budget_usd_micro=self._budgets.run_usd_micro)

    def _pause(self, seconds: float, cancel: CancelToken) -> None:
        """Sleeps in slices, so that Ctrl-C is heard."""
        while seconds > 0:
            if cancel.is_set():
                raise Cancelled("interrupted")
            self._sleep(min(_SLICE_S, seconds))
            seconds -= _SLICE_S


class _Row:
    """Closes one ledger row and says so."""

    def __init__(
        self, ledger: Ledger, request_id: str, row: int, hide: Callable[[str], str]
    ) -> None:
        self._ledger, self._request_id, self._row = ledger, request_id, row
        self._hide = hide  # a server's error may quote the prompt
        self._began = time.monotonic()

    def settle(self, done: Completion, usd_micro: int | None) -> RequestFinished:
        elapsed = time.monotonic() - self._began
        self._ledger.settle(
            self._row,
            usage=done.usage,
            usd_micro=usd_micro,
            duration_s=elapsed,
            decode=done.decode,
        )
        return RequestFinished(
            request_id=self._request_id,
            ledger_row=self._row,
            status="settled",
            usage=done.usage,
            usd_micro=usd_micro,
            duration_s=elapsed,
            decode=done.decode,
        )

    def release(self, error: BaseException) -> RequestFinished:
        elapsed = time.monotonic() - self._began
        self._ledger.release(self._row, reason=self._why(error), duration_s=elapsed)
        return self._failed("released", error, elapsed)

    def unknown(self, error: BaseException) -> RequestFinished:
        elapsed = time.monotonic() - self._began
        self._ledger.unknown(self._row, reason=self._why(error), duration_s=elapsed)
        return self._failed("unknown", error, elapsed)

    def _failed(self, status: str, error: BaseException, elapsed: float) -> RequestFinished:
        return RequestFinished(
            request_id=self._request_id,
            ledger_row=self._row,
            status="released" if status == "released" else "unknown",
            usage=None,
            usd_micro=None,
            duration_s=elapsed,
            error=self._why(error),
        )

    def _why(self, error: BaseException) -> str:
        return self._hide(f"{type(error).__name__}: {error}")[:500]
