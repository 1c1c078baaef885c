"""The one thread that owns the engine, and the bounded queue in front of it."""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

from agent.engine.engine import Answer, Engine, Query
from agent.engine.idle import Calibrator
from agent.errors import EngineError
from agent.serve.refusals import Busy

__all__ = ["Runner"]

_QUIET_S = 1.0
"""After an answer: an agent's next request often comes at once."""
_BETWEEN_S = 0.02
"""Between two points of the cost curve."""


class Runner:
    """Answers queries one after another; measures the cost curve while there are none."""

    def __init__(self, engine: Engine, *, calibrator: Calibrator, capacity: int = 8) -> None:
        self.engine, self.calibrator = engine, calibrator
        self._answered = False
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
            self._answered = True

        self.active += 1
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            self.active -= 1
            raise Busy("the engine's queue is full") from None
        return future

    def calibrate(self) -> None:
        """Measure the cost curve now, between requests; see `calibrator` for how far it is."""
        self.calibrator.hurry()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(_nothing)  # wakes the thread

    def _work(self) -> None:
        while True:
            task = self._next()
            if task is None:
                break
            task()
        self.calibrator.close()

    def _next(self) -> Callable[[], None] | None:
        """The next request. The time until it comes is used; a first one must have come, so that
        a worker started for one question is not busy when that arrives."""
        calibrator, pause = self.calibrator, _QUIET_S
        while not calibrator.finished and (self._answered or calibrator.hurried):
            try:
                return self._queue.get(timeout=_BETWEEN_S if calibrator.hurried else pause)
            except queue.Empty:
                pause = _BETWEEN_S
                try:
                    calibrator.step(self._waiting)
                except EngineError as error:  # as too little memory for a second context
                    calibrator.give_up(str(error))
        calibrator.close()
        return self._queue.get()

    def _waiting(self) -> bool:
        return self.active > 0 or not self._queue.empty()


def _nothing() -> None:
    pass
