"""Ctrl-C: the first asks the run to end cleanly, the second ends it now."""

import signal
import sys
import threading
from types import FrameType
from typing import Any, Self

__all__ = ["Interrupt"]

GRACE_S = 1.0
"""What looks at the token does so between chunks of an answer; a test run that is waited for does
not, so after this long it is interrupted as well."""


class Interrupt:
    """A cancel token that SIGINT and SIGTERM set while the `with` block runs.

    After `GRACE_S`, or at the second signal, KeyboardInterrupt is raised wherever the main thread
    is: the loop turns it into the run's last event. The third signal kills.
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
            self._previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._late)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._event.set()
        self._count += 1
        if self._count == 1:
            sys.stderr.write("\nstopping cleanly; once more to stop at once\n")
            signal.setitimer(signal.ITIMER_REAL, GRACE_S)
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._count > 2:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    def _late(self, number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt
