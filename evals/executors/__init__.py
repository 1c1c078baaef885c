"""Where units run: every executor runs the same pure unit and yields results as they end."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from evals.result import Result, Unit

__all__ = ["Executor"]


class Executor(Protocol):
    """Runs units, each in its directory; the order of results is that in which they end.

    Units are taken from the iterable only as there is room for them: it may end early.
    """

    def map(self, units: Iterable[tuple[Unit, Path]]) -> Iterator[Result]: ...
