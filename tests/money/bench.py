"""A gateway on a real ledger, and a server for it to talk to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.events import (
    Event,
)
from agent.gateway import Gateway, RetryPolicy
from agent.ledger import Budgets, Ledger
from agent.prices import Prices
from agent.providers.anthropic import AnthropicProvider
from agent.providers.http import HttpLimits
from agent.types import (
    CancelToken,
    Completion,
    Location,
    Provider,
    Route,
)
from tests.loopback import Loopback
from tests.providers.asks import Never, ask

FAST = RetryPolicy(base_s=0.01, attempt_timeout_s=10)


class Bench:
    """A gateway on a real ledger; `run` drives one request to its end."""

    def __init__(self, path: Path, *providers: Provider, **options: Any) -> None:
        from tools.secrets import Redactor

        self.ledger = Ledger(path / "ledger.sqlite")
        self.waits: list[float] = []
        self.events: list[Event] = []
        self.now = 0.0
        settings: dict[str, Any] = {
            "budgets": Budgets(), "retry": FAST, "jitter": lambda: 1.0,
            "redact": Redactor(key=b"run1"), "monotonic": lambda: self.now, **options,
        }  # fmt: skip
        self.gateway = Gateway(
            ledger=self.ledger,
            providers={p.location: p for p in providers},
            prices=Prices(),
            run_id="run1",
            repo_key="repo",
            sleep=self.waits.append,
            **settings,
        )

    def run(
        self, location: Location | None, cancel: CancelToken | None = None, **changes: Any
    ) -> Completion:
        route = Route(location=location, provider="p", model="m", reason="a test")
        stream = self.gateway.complete(
            ask(**changes), route, step_id="s1", cancel=cancel or Never()
        )
        while True:
            try:
                self.events.append(next(stream))
            except StopIteration as stop:
                done = stop.value
                assert isinstance(done, Completion)
                return done

    def states(self) -> list[str]:
        return [r.state for r in self.ledger.rows()]

    def of(self, kind: type) -> list[Any]:
        return [e for e in self.events if isinstance(e, kind)]


def hosted(server: Loopback, **limits: Any) -> AnthropicProvider:
    return AnthropicProvider(
        api_key="k", model="claude-opus-5-5", context_window=1_000_000, base_url=server.url,
        limits=HttpLimits(**{"total_s": 5.0, **limits}),
    )  # fmt: skip


Against = Callable[..., tuple[Bench, Loopback]]
