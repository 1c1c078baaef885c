"""The one thread that owns the engine, and the bounded queue in front of it."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from agent.engine.engine import Answer, Engine, Query
from agent.serve.refusals import Busy

__all__ = ["Runner"]


class Runner:
    """Answers queries one after another."""

    def __init__(self, engine: Engine, *, capacity: int = 8) -> None:
        self.engine = engine
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=capacity)
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self.active = 0
        """Requests waiting or running."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """After the running request; those waiting are dropped."""
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                break
        self._queue.put(None)
        self._thread.join(timeout=10)

    def submit(
        self, query: Query, on_text: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> Future[Answer]:
        """Raises Busy when the queue is full."""
        future: Future[Answer] = Future()

        def work() -> None:
            try:
                future.set_result(self.engine.answer(query, on_text, cancelled))
            except BaseException as error:  # the thread must live; the waiter gets the error
                future.set_exception(error)
            finally:
                self.active -= 1
            self.engine.session.settle()

        self.active += 1
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            self.active -= 1
            raise Busy("the engine's queue is full") from None
        return future

    def _work(self) -> None:
        while True:
            task: Any = self._queue.get()
            if task is None:
                return
            task()
