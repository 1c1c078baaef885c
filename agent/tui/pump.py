"""From the job's thread to the screen: text that streams is handed on in batches."""

import time
from collections.abc import Callable, Iterable, Iterator

from agent.events import TextDelta
from agent.tui.items import Item

__all__ = ["BATCH_S", "batched"]

BATCH_S = 0.05
"""Streamed text is handed on this often; a token at a time would be 300 layouts a second."""


def batched(
    items: Iterable[Item],
    every: float = BATCH_S,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Item]:
    """The same items in the same order; neighbouring pieces of one step's text become one."""
    step, parts, since = "", list[str](), clock()
    for item in items:
        if isinstance(item, TextDelta) and (not parts or item.step_id == step):
            step = item.step_id
            parts.append(item.text)
            if clock() - since < every:
                continue
            item = TextDelta(step_id=step, text="".join(parts))
            parts = []
        elif parts:
            yield TextDelta(step_id=step, text="".join(parts))
            parts = []
        since = clock()
        yield item
    if parts:
        yield TextDelta(step_id=step, text="".join(parts))
