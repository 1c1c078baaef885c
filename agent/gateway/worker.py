"""Runs one attempt in a thread, so that its text can be yielded while it is being written."""

import queue
import threading
import time
from collections.abc import Generator

from agent.errors import Cancelled, ProviderUnavailable
from agent.types import CancelToken, Completion, Provider, Request

__all__ = ["Attempt"]

_POLL_S = 0.05
_GRACE_S = 2.0
"""For a provider to notice that it was stopped; then its thread is left behind."""


class Attempt:
    """One call of a provider.

    attempt = Attempt(provider, request, cancel, timeout_s=60)
    for text in attempt.texts(): ...
    completion = attempt.completion
    """

    def __init__(
        self, provider: Provider, request: Request, cancel: CancelToken, *, timeout_s: float
    ) -> None:
        self._provider = provider
        self._request = request
        self._cancel = cancel
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._abandoned = threading.Event()
        self._queue: queue.SimpleQueue[str | Completion | BaseException] = queue.SimpleQueue()
        self._completion: Completion | None = None

    @property
    def completion(self) -> Completion:
        """After `texts` has ended."""
        assert self._completion is not None
        return self._completion

    def is_set(self) -> bool:
        """The attempt is the provider's cancel token: interrupted, out of time, or abandoned."""
        return (
            self._cancel.is_set()
            or self._abandoned.is_set()
            or time.monotonic() > self._deadline
        )  # fmt: skip

    def texts(self) -> Generator[str, None, None]:
        """Pieces of the answer as they come. Raises what the provider raises.

        Raises Cancelled, or ProviderUnavailable at the deadline, though the provider hang on.
        """
        thread = threading.Thread(target=self._run, name="attempt", daemon=True)
        thread.start()
        try:
            yield from self._drain()
        finally:
            self._abandoned.set()

    def _run(self) -> None:
        try:
            done = self._provider.complete(self._request, self._queue.put, self)
        except BaseException as error:  # carried over to the thread that waits for it
            self._queue.put(error)
        else:
            self._queue.put(done)

    def _drain(self) -> Generator[str, None, None]:
        stopped_at: float | None = None
        while True:
            try:
                item = self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                item = None
            if isinstance(item, str):
                yield item
            elif isinstance(item, Completion):
                self._completion = item
                return
            elif item is not None:
                raise self._reason(item)
            if self.is_set():
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at > _GRACE_S:
                    raise self._reason(Cancelled("interrupted"))

    def _reason(self, error: BaseException) -> BaseException:
        """A provider that we stopped at the deadline says Cancelled; the user did not cancel."""
        if isinstance(error, Cancelled) and not self._cancel.is_set():
            return ProviderUnavailable(
                f"{self._provider.name}: no complete answer within {self._timeout_s:g} s"
            )
        return error
