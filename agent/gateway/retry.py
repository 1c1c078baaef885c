"""When to try again, and when to leave a provider alone."""

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.errors import ProviderError, ProviderUnavailable, RateLimited

__all__ = ["Breaker", "RetryPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Attempts per request and the waits between them, in seconds."""

    max_attempts: int = 4
    base_s: float = 0.5
    longest_s: float = 8.0
    retry_after_cap_s: float = 30.0
    """A server that asks for more is left alone: waiting less than asked cannot help."""
    attempt_timeout_s: float = 1800.0
    """Total deadline of one attempt, whatever the provider."""
    breaker_failures: int = 6
    """Consecutive failed attempts that close a provider."""
    breaker_cooldown_s: float = 30.0

    def wait(self, error: ProviderError, attempt: int, jitter: float) -> float | None:
        """Seconds to wait after failed attempt number `attempt` (from 1); None: give up.

        `jitter` in [0, 1) spreads clients that failed together.
        """
        if attempt >= self.max_attempts or not isinstance(error, ProviderUnavailable | RateLimited):
            return None
        asked = error.retry_after_s
        if asked is not None and asked > self.retry_after_cap_s:
            return None
        backoff = min(self.longest_s, self.base_s * 2.0 ** (attempt - 1)) * (0.5 + jitter / 2)
        return max(asked or 0.0, backoff)


@dataclass(slots=True)
class Breaker:
    """Counts a provider's failures; while open, attempts fail without being sent."""

    policy: RetryPolicy
    monotonic: Callable[[], float]
    _failures: dict[str, int] = field(default_factory=dict)
    _open_until: dict[str, float] = field(default_factory=dict)

    def check(self, name: str) -> None:
        """Raises ProviderUnavailable while the provider is left alone. After that one attempt
        is let through; if it fails the breaker opens again."""
        left = self._open_until.get(name, 0.0) - self.monotonic()
        if left > 0:
            raise ProviderUnavailable(
                f"{name} is left alone for another {left:.0f} s after repeated failures",
                billed="no",
                retry_after_s=left,
                remedy="wait, or run with --local-only",
            )

    def succeeded(self, name: str) -> None:
        self._failures.pop(name, None)
        self._open_until.pop(name, None)

    def failed(self, name: str, error: ProviderError) -> None:
        """Only failures of the service count; a refused request says nothing about it."""
        if not isinstance(error, ProviderUnavailable | RateLimited):
            return
        self._failures[name] = self._failures.get(name, 0) + 1
        asked = error.retry_after_s or 0.0
        if asked > self.policy.retry_after_cap_s:
            self._open_until[name] = self.monotonic() + asked
        elif self._failures[name] >= self.policy.breaker_failures:
            self._open_until[name] = self.monotonic() + self.policy.breaker_cooldown_s
