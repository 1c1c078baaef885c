"""Asks the user for an approval from the thread that runs the turn."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.tui.items import Question

if TYPE_CHECKING:
    from agent.approvals import Approval, Decision
    from agent.types import CancelToken

__all__ = ["Asker"]

LOOK_S = 0.1
"""How often the waiting thread looks whether the turn was stopped."""


class Asker:
    """An Approver: hands a Question to `post` and waits. Stopping the turn is a no."""

    def __init__(self, post: Callable[[Question], None], cancel: "CancelToken") -> None:
        self._post = post
        self._cancel = cancel

    def approve(self, request: "Approval") -> "Decision":
        from agent.approvals import Decision

        answered = threading.Event()
        found: list[Decision] = []

        def answer(decision: "Decision") -> None:
            found.append(decision)
            answered.set()

        self._post(Question(approval=request, answer=answer))
        while not answered.wait(LOOK_S):
            if self._cancel.is_set():
                return Decision(answer="no", reason="the user stopped the turn")
        return found[0]
