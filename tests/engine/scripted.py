"""A proposer that is told what to propose."""

from collections.abc import Sequence


class Scripted:
    """Of each step's drafts so many are right and so many wrong, as a script says in turn."""

    name = "scripted"

    def __init__(self, truth: Sequence[int], script: Sequence[tuple[int, int]]) -> None:
        self.truth, self.script, self.done, self.step = list(truth), script, 0, 0

    def propose(self, token: int, room: int) -> Sequence[int]:
        right, wrong = self.script[self.step % len(self.script)]
        self.step += 1
        good = self.truth[self.done : self.done + right]
        return [*good, *[(t * 7 + 3) % 256 for t in range(wrong)]][:room]

    def judged(self, drafted: int, accepted: int, committed: Sequence[int]) -> None:
        self.done += len(committed)
