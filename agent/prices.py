"""What tokens cost, in integer micro-dollars. The only module that computes money.

Prices come from the `genai-prices` snapshot that is installed (offline, dated by its version) or
from the configuration. None means unknown, never zero. Local and on-prem are 0 unless configured.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from agent.ledger.values import Estimate
from agent.types import Location, Usage

__all__ = [
    "CHEAPEST_HOSTED",
    "DEFAULT_FRONTIER",
    "Estimate",
    "ModelPrice",
    "Prices",
    "context_window",
    "snapshot_version",
]

DEFAULT_FRONTIER = "claude-opus-5-5"
CHEAPEST_HOSTED = "claude-haiku-5-5"
"""$0.10/$0.50 per million tokens: what a saving must be measured against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """Dollars per million tokens, as configured. A cache price of None is the input price."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None

    def usd_micro(self, usage: Usage) -> int:
        """Dollars per million tokens are micro-dollars per token. Rounded up."""

        def rate(cache: Decimal | None) -> Decimal:
            return self.input if cache is None else cache

        total = (
            usage.input * self.input
            + usage.cache_read * rate(self.cache_read)
            + usage.cache_write_5m * rate(self.cache_write_5m)
            + usage.cache_write_1h * rate(self.cache_write_1h)
            + (usage.output + usage.thinking) * self.output
        )
        return math.ceil(total)


class Prices:
    """Price lookups. `overrides` are keyed by model name and win over the snapshot."""

    def __init__(self, overrides: Mapping[str, ModelPrice] | None = None) -> None:
        self._overrides = dict(overrides or {})

    def price(
        self,
        model: str,
        usage: Usage,
        at: datetime,
        *,
        location: Location = "frontier",
        provider: str = "anthropic",
    ) -> int | None:
        """Micro-dollars for `usage` at the prices of the time `at`; None if unknown."""
        override = self._overrides.get(model)
        if override is not None:
            return override.usd_micro(usage)
        if location != "frontier":
            return 0
        return _snapshot_price(model, usage, at, provider)

    def worst_case(
        self,
        model: str,
        input_tokens: int,
        max_tokens: int,
        *,
        at: datetime,
        location: Location = "frontier",
        provider: str = "anthropic",
    ) -> int | None:
        """The most a request can cost: all output written, all input in the dearest bucket.

        `input_tokens` is an upper bound. None if the price is unknown.
        """
        usages = (
            Usage(input=input_tokens, output=max_tokens),
            Usage(cache_write_5m=input_tokens, output=max_tokens),
            Usage(cache_write_1h=input_tokens, output=max_tokens),
        )
        known = [
            self.price(model, usage, at, location=location, provider=provider) for usage in usages
        ]
        priced = [amount for amount in known if amount is not None]
        return max(priced) if len(priced) == len(known) else None

    def counterfactual(
        self, models: tuple[str, ...], *, input_tokens: int, output_tokens: int, at: datetime
    ) -> tuple[Estimate, ...]:
        """One uncached request with a step's context, answered by the accepted patch, per model."""
        usage = Usage(input=input_tokens, output=output_tokens)
        return tuple(
            Estimate(
                model=model,
                usd_micro=self.price(model, usage, at),
                input_tokens=input_tokens,
                output_tokens=output_tokens,
            )
            for model in models
        )


def snapshot_version() -> str:
    """Which price snapshot is installed: shown beside every figure."""
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"


def context_window(model: str, provider: str = "anthropic") -> int | None:
    """Tokens the model's window holds, as the snapshot knows it."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        _, found = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    return found.context_window


def _snapshot_price(model: str, usage: Usage, at: datetime, provider: str) -> int | None:
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    writes = usage.cache_write_5m + usage.cache_write_1h
    tokens = Tokens(
        input_tokens=usage.input + usage.cache_read + writes,  # theirs is the total
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=writes,
        cache_write_1h_tokens=usage.cache_write_1h,
        output_tokens=usage.output + usage.thinking,
    )
    try:
        found = calc_price(tokens, model, provider_id=provider, genai_request_timestamp=at)
    except LookupError:
        return None
    return math.ceil(found.total_price * 1_000_000)
