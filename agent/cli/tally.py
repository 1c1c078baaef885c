"""What a run amounts to, summed from its events: the numbers of the closing table."""

from dataclasses import dataclass, field

from agent.events import (
    CandidatesTried,
    Event,
    RequestFinished,
    RequestStarted,
    Spent,
    TestsFinished,
)
from agent.types import DecodeStats, Location, Usage

__all__ = ["Decoding", "Tally", "tokens"]


@dataclass(slots=True)
class Decoding:
    """Local generation so far, by strategy."""

    by_strategy: dict[str, int] = field(default_factory=dict)
    """Strategy -> tokens it committed."""
    tokens: int = 0
    seconds: float = 0.0
    prefill_tokens: int = 0
    prefill_s: float = 0.0
    drafted: int = 0
    accepted: int = 0

    def add(self, stats: DecodeStats) -> None:
        seen = self.by_strategy.get(stats.strategy, 0)
        self.by_strategy[stats.strategy] = seen + stats.decode_tokens
        self.tokens += stats.decode_tokens
        self.seconds += stats.decode_s
        self.prefill_tokens += stats.prefill_tokens
        self.prefill_s += stats.prefill_s
        self.drafted += stats.drafted
        self.accepted += stats.accepted


@dataclass(slots=True)
class Tally:
    """Fed with every event, in order. Resumed and replayed runs count what they show."""

    before: TestsFinished | None = None
    after: TestsFinished | None = None
    candidates: CandidatesTried | None = None
    spent: Spent | None = None
    tokens_by_location: dict[Location, int] = field(default_factory=dict)
    decoding: Decoding = field(default_factory=Decoding)
    requests: int = 0
    _where: dict[str, Location] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        match event:
            case TestsFinished(purpose="baseline"):
                self.before = event
            case TestsFinished(purpose="verify"):
                self.after = event
            case CandidatesTried():
                self.candidates = event
            case Spent():
                self.spent = event
            case RequestStarted():
                self.requests += 1
                if event.route.location is not None:
                    self._where[event.request_id] = event.route.location
            case RequestFinished():
                self._finished(event)
            case _:
                pass

    def _finished(self, event: RequestFinished) -> None:
        where = self._where.get(event.request_id)
        if event.usage is not None and where is not None:
            have = self.tokens_by_location.get(where, 0)
            self.tokens_by_location[where] = have + tokens(event.usage)
        if event.decode is not None:
            self.decoding.add(event.decode)


def tokens(usage: Usage) -> int:
    """The sum of the disjoint buckets."""
    written = usage.cache_write_5m + usage.cache_write_1h
    return usage.input + usage.cache_read + written + usage.output + usage.thinking
