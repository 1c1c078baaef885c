"""Parts that need no model."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.drafters.copy import CopyDrafter
from agent.engine.routed import Routed
from agent.engine.sampling import Sampler, Sampling, log_probability, loops
from agent.engine.strategy import Choice, Costs, choose
from agent.engine.toolcalls import split_tool_calls
from agent.types import StepKind


def test_sampled_frequencies_follow_the_distribution() -> None:
    """χ² over 8 tokens at temperature 0.7; 24.3 is the 99.9 % point for 7 degrees of freedom."""
    row = np.array([2.0, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0, -2.0], dtype=np.float32)
    sampler, n = Sampler(Sampling(temperature=0.7, seed=42)), 4000
    counts = np.bincount([sampler.pick(row, (), i) for i in range(n)], minlength=8)
    expected = np.exp(row / 0.7) / np.exp(row / 0.7).sum() * n
    assert float(((counts - expected) ** 2 / expected).sum()) < 24.3


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        (Sampling(temperature=9, top_k=2), {0, 1}),
        (Sampling(temperature=1, top_p=0.6), {0}),
        (Sampling(temperature=1, min_p=0.3), {0, 1}),
        (Sampling(temperature=0), {0}),
    ],
)
def test_filters_keep_the_likeliest(settings: Sampling, allowed: set[int]) -> None:
    row = np.array([3.0, 2.0, 0.0, -1.0], dtype=np.float32)
    sampler = Sampler(settings)
    assert {sampler.pick(row, (), i) for i in range(300)} == allowed


def test_a_penalty_makes_repeats_rarer() -> None:
    row = np.array([2.0, 1.9, -1.0], dtype=np.float32)
    sampler = Sampler(Sampling(repeat_penalty=1.5))
    assert sampler.pick(row, (), 0) == 0
    assert sampler.pick(row, (0,), 1) == 1
    assert row[0] == 2.0, "the row belongs to the context"


def test_log_probabilities_sum_to_one() -> None:
    row = np.array([900.0, 901.0, 899.0], dtype=np.float32)
    assert sum(np.exp(log_probability(row, t)) for t in range(3)) == pytest.approx(1)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_a_repeated_run_is_a_loop(run: list[int]) -> None:
    assert loops((run * 200)[:400])


def test_ordinary_repetition_is_no_loop() -> None:
    rows = [t for i in range(60) for t in (1, 2, 3, 4, i % 10, 6)]
    assert not loops(rows)


def test_the_copy_drafter_follows_a_source_and_ends_at_its_border() -> None:
    source = list(range(100, 130))
    copy = CopyDrafter([source, [200, 201]], prompt=[1, 2, 3])
    assert copy.propose(3, 8) == ()
    copy.commit([100, 101, 102])
    assert list(copy.propose(102, 5)) == [103, 104, 105, 106, 107]
    copy.commit([103, 104])
    assert list(copy.propose(104, 3)) == [105, 106, 107]
    copy.commit([7])
    assert copy.propose(7, 3) == ()
    copy.commit([126, 127, 128])
    assert list(copy.propose(128, 9)) == [129]


@pytest.mark.parametrize(
    ("kind", "sources", "has_mtp", "arm"),
    [
        ("edit", 500, True, "combined"),
        ("edit", 500, False, "copy"),
        ("edit", 0, True, "mtp"),
        ("chat", 0, True, "plain"),
        ("edit", 0, False, "plain"),
    ],
)
def test_the_step_kind_decides_the_arm(
    kind: StepKind, sources: int, has_mtp: bool, arm: str
) -> None:
    decision = choose(
        step_kind=kind,
        edit_format=None,
        wanted="auto",
        draft_length=None,
        has_mtp=has_mtp,
        copy_sources=sources,
        costs=Costs(),
    )
    assert decision.arm == arm
    assert decision.reason


def test_costs_decide_the_draft_length() -> None:
    curve = (0, 1, 1.02, 1.04, 1.06, 1.08, 1.1, 1.12, 1.14, 1.16)
    cheap = Costs(verify=curve, mtp_row=0.02, mtp_first=0.03)
    assert cheap.best_k("mtp", 0.9, 6) > 4
    assert Costs().best_k("mtp", 0.3, 6) == 0
    assert Costs().best_k("copy", 0.95, 8) >= 2
    dear = Costs(mtp_first=0.9)
    assert dear.best_k("mtp", 0.8, 6) == 0, "the first draft is part of the price"


class Wrong:
    """A drafter that is always wrong."""

    asked = 0

    def draft(self, token: int, k: int, expected: Sequence[int] = ()) -> list[int]:
        self.asked += 1
        return [0] * k


def test_a_drafter_that_does_not_pay_is_probed_only() -> None:
    drafter = Wrong()
    routed = Routed(
        Choice(arm="mtp", draft_length=None, reason="test"),
        costs=Costs(),
        mtp=drafter,
        copy=None,
        step_kind="edit",
    )
    for _ in range(640):
        drafts = routed.propose(1, 8)
        routed.judged(len(drafts), 0, [1])
    assert 5 < drafter.asked < 40


TOOLS = [
    {
        "function": {
            "name": "read",
            "parameters": {"properties": {"path": {"type": "string"}, "line": {"type": "integer"}}},
        }
    }
]


@pytest.mark.parametrize(
    "call",
    [
        '<tool_call>\n{"name": "read", "arguments": {"path": "a.py", "line": 3}}\n</tool_call>',
        "<tool_call>\n<function=read>\n<parameter=path>\na.py\n</parameter>\n"
        "<parameter=line>\n3\n</parameter>\n</function>\n</tool_call>",
    ],
)
def test_both_published_forms_of_tool_calls_are_read(call: str) -> None:
    text, calls = split_tool_calls(f"I look.\n{call}", TOOLS)
    assert text == "I look."
    assert [(c.name, c.arguments) for c in calls] == [("read", '{"path": "a.py", "line": 3}')]


def test_a_malformed_call_stays_text() -> None:
    text = "<tool_call>{broken</tool_call>"
    assert split_tool_calls(text, TOOLS) == (text, ())
