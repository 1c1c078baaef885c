"""Prices, against figures worked out by hand from the published price list."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.prices import (
    CHEAPEST_HOSTED,
    DEFAULT_FRONTIER,
    ModelPrice,
    Prices,
    context_window,
    snapshot_version,
)
from agent.types import Usage

AT = datetime(2026, 11, 20, tzinfo=UTC)
PRICES = Prices()


@pytest.mark.parametrize(
    ("model", "usage", "usd_micro"),
    [
        ("claude-opus-5-5", Usage(input=1000, output=50), 5000),
        ("claude-opus-5-5", Usage(cache_read=1000), 200),
        ("claude-opus-5-5", Usage(cache_write_5m=1000), 5000),
        ("claude-opus-5-5", Usage(cache_write_1h=1000), 8000),
        ("claude-opus-5-5", Usage(output=30, thinking=20), 1000),
        ("claude-sonnet-5-5", Usage(input=1_000_000, output=1_000_000), 12_000_000),
        ("claude-haiku-5-5", Usage(input=100_000), 10_000),
        ("claude-haiku-5-5", Usage(input=200_000), 100_000),  # five times as dear above 100k
        ("claude-haiku-5-5", Usage(input=1), 1),  # a tenth of a micro-dollar, rounded up
        ("claude-opus-5-5", Usage(), 0),
        ("no-such-model", Usage(input=1), None),
    ],
)
def test_price(model: str, usage: Usage, usd_micro: int | None) -> None:
    assert PRICES.price(model, usage, AT) == usd_micro


def test_local_and_onprem_cost_nothing_unless_configured() -> None:
    usage = Usage(input=1000, output=1000)
    assert PRICES.price("qwen", usage, AT, location="local") == 0
    assert PRICES.price("qwen", usage, AT, location="onprem", provider="vllm") == 0
    assert PRICES.price("qwen", usage, AT, location="frontier", provider="vllm") is None
    configured = Prices({"qwen": ModelPrice(input=Decimal("0.2"), output=Decimal("0.35"))})
    assert configured.price("qwen", usage, AT, location="onprem") == 550
    assert configured.worst_case("qwen", 1000, 1000, at=AT, location="onprem") == 550


def test_overrides_price_every_bucket() -> None:
    price = ModelPrice(
        input=Decimal(1), output=Decimal(10), cache_read=Decimal("0.5"), cache_write_1h=Decimal(2)
    )
    usage = Usage(input=1, cache_read=2, cache_write_5m=3, cache_write_1h=4, output=5, thinking=6)
    assert Prices({"m": price}).price("m", usage, AT) == 1 + 1 + 3 + 8 + 110


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["claude-opus-5-5", "claude-haiku-5-5", "claude-sonnet-4-5"]),
    st.lists(st.integers(0, 120_000), min_size=4, max_size=4),
    st.integers(0, 50_000),
    st.integers(0, 50_000),
)
def test_no_split_of_the_tokens_costs_more_than_the_worst_case(
    model: str, split: list[int], output: int, thinking: int
) -> None:
    usage = Usage(
        input=split[0], cache_read=split[1], cache_write_5m=split[2], cache_write_1h=split[3],
        output=output, thinking=thinking,
    )  # fmt: skip
    worst = PRICES.worst_case(model, sum(split), output + thinking, at=AT)
    price = PRICES.price(model, usage, AT)
    assert worst is not None
    assert price is not None
    assert price <= worst


def test_an_unknown_price_has_no_worst_case() -> None:
    assert PRICES.worst_case("no-such-model", 10, 10, at=AT) is None


def test_the_defaults_are_priced_and_ordered() -> None:
    frontier, cheapest = PRICES.counterfactual(
        (DEFAULT_FRONTIER, CHEAPEST_HOSTED), input_tokens=8000, output_tokens=400, at=AT
    )
    assert frontier.usd_micro == 40_000
    assert cheapest.usd_micro == 1000
    assert context_window(DEFAULT_FRONTIER) == 1_000_000
    assert context_window("no-such-model") is None
    assert snapshot_version().startswith("genai-prices 0.")


def test_the_default_models_are_ids_the_sdk_knows() -> None:
    from typing import get_args

    from anthropic.types import ModelParam

    known = get_args(get_args(ModelParam)[0])
    assert DEFAULT_FRONTIER in known
    assert CHEAPEST_HOSTED in known
