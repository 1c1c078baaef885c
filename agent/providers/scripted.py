"""A provider that answers from a script: for replaying runs and for tests.

ScriptedProvider([Turn(text="..."), RateLimited("slow down", billed="no"), Turn(text="...")])
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from agent.errors import Cancelled, ProviderError, RequestRejected
from agent.providers.base import check_window, estimate_tokens
from agent.types import (
    CancelToken,
    Choice,
    Completion,
    DecodeStats,
    Location,
    OnText,
    Request,
    StopReason,
    ToolCall,
    Usage,
)

__all__ = ["ScriptedProvider", "Turn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One scripted answer. `pieces` is how it streams; by default in one piece."""

    text: str = ""
    pieces: tuple[str, ...] = ()
    stop_reason: StopReason = "end"
    usage: Usage | None = None
    """None: estimated from the sizes, so that the ledger has figures."""
    tool_calls: tuple[ToolCall, ...] = ()
    choices: tuple[Choice, ...] = ()
    decode: DecodeStats | None = None


Answer = Turn | ProviderError | Callable[[Request], Turn]


class ScriptedProvider:
    """Answers each request with the next item of its script; an error in it is raised.

    A script that has run out raises RequestRejected: it never invents an answer. `seen` keeps the
    requests, in order.
    """

    def __init__(
        self,
        script: Iterable[Answer],
        *,
        name: str = "scripted",
        model: str = "scripted",
        location: Location = "local",
        context_window: int = 200_000,
    ) -> None:
        self._script = list(script)
        self._lock = threading.Lock()
        self.name = name
        self.model = model
        self.location: Location = location
        self.context_window = context_window
        self.seen: list[Request] = []

    @property
    def left(self) -> Sequence[Answer]:
        """What has not been used."""
        return tuple(self._script)

    def complete(self, request: Request, on_text: OnText, cancel: CancelToken) -> Completion:
        check_window(request, self.context_window)
        turn = self._next(request)
        for piece in turn.pieces or (turn.text,):
            if cancel.is_set():
                raise Cancelled("interrupted")
            if piece:
                on_text(piece)
        text = "".join(turn.pieces) or turn.text
        usage = turn.usage or Usage(input=estimate_tokens(request), output=len(text) // 3 + 1)
        return Completion(
            text=text,
            stop_reason=turn.stop_reason,
            usage=usage,
            model=self.model,
            provider=self.name,
            location=self.location,
            duration_s=0.0,
            tool_calls=turn.tool_calls,
            choices=turn.choices,
            decode=turn.decode,
        )

    def _next(self, request: Request) -> Turn:
        with self._lock:
            self.seen.append(request)
            if not self._script:
                raise RequestRejected("the script has no further answer", billed="no")
            answer = self._script.pop(0)
        if isinstance(answer, ProviderError):
            raise answer
        return answer if isinstance(answer, Turn) else answer(request)
