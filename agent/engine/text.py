"""From tokens to text as they arrive: whole characters, held back at a possible stop string."""

import codecs
from collections.abc import Sequence

from agent.engine.llama import Model

__all__ = ["TextStream"]


class TextStream:
    """Feed tokens, get text that is final. The stop string itself is never given out."""

    def __init__(self, model: Model, stop: Sequence[str] = ()) -> None:
        self._model = model
        self._stop = tuple(s for s in stop if s)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stopped = False
        self.text = ""
        """All text given out so far."""

    def feed(self, tokens: Sequence[int]) -> str:
        """The text that became final; empty once stopped."""
        for token in tokens:
            if self.stopped:
                break
            self._held += self._decoder.decode(self._model.piece(token))
            self._cut()
        return self._release(self._held if self.stopped else self._safe())

    def finish(self) -> str:
        """What was held back, when the generation ended without a stop string."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(b"", final=True)
        self._cut()
        return self._release(self._held)

    def _cut(self) -> None:
        found = [at for at in (self._held.find(s) for s in self._stop) if at >= 0]
        if found:
            self._held, self.stopped = self._held[: min(found)], True

    def _safe(self) -> str:
        """The held text without a tail that might become a stop string."""
        keep = 0
        for stop in self._stop:
            for n in range(min(len(stop) - 1, len(self._held)), keep, -1):
                if self._held.endswith(stop[:n]):
                    keep = n
                    break
        return self._held[: len(self._held) - keep]

    def _release(self, text: str) -> str:
        self._held = self._held[len(text) :] if not self.stopped else ""
        self.text += text
        return text
