"""From the jobs' threads to the screen: in order, text that streams in batches."""

import threading
from dataclasses import replace
from typing import TypeGuard

from agent.events import TextDelta, ThinkingDelta
from agent.tui.items import Item

__all__ = ["BATCH_S", "Pump"]

BATCH_S = 0.05
"""Streamed text is handed on this often; a token at a time would be 300 layouts a second."""


class Pump:
    """What waits for the screen; neighbouring pieces of one text are one. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: list[Item] = []
        self._parts: list[str] = []
        """The pieces of the last item's text."""

    def put(self, item: Item) -> bool:
        """Whether the screen is to be told: something waits now that did not, or may not wait."""
        with self._lock:
            if _streams(item) and self._items and _same(self._items[-1], item):
                self._parts.append(item.text)
                return False
            first = not self._items
            self._join()
            self._items.append(item)
            self._parts = [item.text] if _streams(item) else []
            return first or not _streams(item)

    @property
    def patient(self) -> bool:
        """Nothing but streamed text waits."""
        with self._lock:
            return all(_streams(item) for item in self._items)

    def take(self) -> list[Item]:
        """Everything that waits, in order."""
        with self._lock:
            self._join()
            items, self._items, self._parts = self._items, [], []
        return items

    def _join(self) -> None:
        if len(self._parts) > 1:
            last = self._items[-1]
            assert _streams(last)
            self._items[-1] = replace(last, text="".join(self._parts))


def _streams(item: Item) -> TypeGuard[TextDelta | ThinkingDelta]:
    return isinstance(item, TextDelta | ThinkingDelta)


def _same(before: Item, item: TextDelta | ThinkingDelta) -> bool:
    return _streams(before) and type(before) is type(item) and before.step_id == item.step_id
