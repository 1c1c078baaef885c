"""Ctrl-C: the first asks the run to end cleanly, the second ends it now."""

import signal
import sys
import threading
from types import FrameType
from typing import Any, Self

__all__ = ["Interrupt"]


class Interrupt:
    """A cancel token that SIGINT and SIGTERM set while the `with` block runs.

    The second signal raises KeyboardInterrupt wherever the main thread is; the third kills.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._count = 0
        self._previous: dict[int, Any] = {}

    def is_set(self) -> bool:
        return self._event.is_set()

    def __enter__(self) -> Self:
        # Only the main thread may install handlers; elsewhere the token is simply never set.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._event.set()
        self._count += 1
        if self._count == 1:
            sys.stderr.write("\nstopping cleanly; once more to stop at once\n")
            return
        if self._count > 2:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt
