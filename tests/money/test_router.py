"""The router: a golden table of decisions, and laws that hold for all facts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.ledger import StepRecord
from agent.router import Escalation, Place, Policy, RoutingFacts, explain, may_leave_to, route
from agent.types import Location, StepKind

STEPS: tuple[StepKind, ...] = (
    "reproduce", "plan", "edit", "test", "refactor", "repair", "chat", "summarise",
)  # fmt: skip
MINI = Place(
    location="local", provider="engine", model="pointsman-mini", context_window=2048,
    capable=frozenset(("edit", "repair")),
)  # fmt: skip
GGUF = Place(location="local", provider="engine", model="qwen-9b", context_window=32_768)
ONPREM = Place(location="onprem", provider="vllm", model="qwen-27b", context_window=131_072)
FRONTIER = Place(
    location="frontier", provider="anthropic", model="claude-opus-5-5", context_window=1_000_000,
    paid=True,
)  # fmt: skip
ALL = RoutingFacts(places=(GGUF, ONPREM, FRONTIER), prompt_tokens=1000, max_tokens=500)


def facts(*places: Place, **changes: Any) -> RoutingFacts:
    return replace(ALL, places=places or ALL.places, **changes)


def twice(location: Location) -> Escalation:
    return Escalation(failures=((location, 2),))


SCENARIOS: dict[str, RoutingFacts] = {
    "mini only": facts(MINI),
    "mini and a key": facts(MINI, FRONTIER),
    "mini and an endpoint": facts(MINI, ONPREM),
    "a gguf only": facts(GGUF),
    "everything": facts(),
    "everything, local-only": facts(policy=Policy(local_only=True)),
    "everything, offline": facts(policy=Policy(offline=True)),
    "everything, a local_only request": facts(privacy="local_only"),
    "everything, an onprem_ok request": facts(privacy="onprem_ok"),
    "everything, frontier forced": facts(policy=Policy(frontier="forced")),
    "everything, frontier never": facts(policy=Policy(frontier="never")),
    "no key, frontier forced": facts(GGUF, policy=Policy(frontier="forced")),
    "everything, budget used up": facts(budget_left_usd_micro=0),
    "everything, a prompt of 50k tokens": facts(prompt_tokens=50_000),
    "everything, two local failures": facts(escalation=twice("local")),
    "everything, failed everywhere": facts(
        escalation=Escalation(failures=(("local", 2), ("onprem", 2), ("frontier", 2)))
    ),
    "everything, latched to the frontier": facts(
        escalation=Escalation(failures=(("local", 2),), latched="frontier")
    ),
    "mini only, two failures": facts(MINI, escalation=twice("local")),
    "everything, local hopeless at edits": facts(
        history=(StepRecord(location="local", step_kind="edit", succeeded=1, failed=29),)
    ),
    "everything, local hopeless over too few": facts(
        history=(StepRecord(location="local", step_kind="edit", succeeded=0, failed=19),)
    ),
}


def table() -> str:
    blocks = []
    for name, given_facts in SCENARIOS.items():
        lines = [f"## {name}"]
        for step in STEPS:
            got = route(step, facts=given_facts)
            mark = " (escalated)" if got.escalated else ""
            lines.append(f"{step:10} {got.location or '-':9}{mark} {got.reason}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def test_golden() -> None:
    golden = Path(__file__).with_name("routes.golden.txt")
    assert table() == golden.read_text(encoding="utf-8")


def test_explain_golden() -> None:
    golden = Path(__file__).with_name("explain.golden.txt")
    shown = [
        explain("plan", facts=SCENARIOS["mini and a key"]),
        explain("edit", facts=SCENARIOS["everything, local hopeless at edits"]),
        explain("edit", facts=facts(privacy="local_only", budget_left_usd_micro=12_345)),
    ]
    assert "\n\n".join(shown) + "\n" == golden.read_text(encoding="utf-8")


locations = st.sampled_from(["local", "onprem", "frontier"])
places = st.builds(
    Place,
    location=locations,
    provider=st.just("p"),
    model=st.sampled_from(["a", "b"]),
    context_window=st.integers(0, 10_000),
    capable=st.frozensets(st.sampled_from(STEPS)),
    paid=st.booleans(),
)
any_facts = st.builds(
    RoutingFacts,
    places=st.lists(places, max_size=5).map(tuple),
    privacy=st.sampled_from(["open", "onprem_ok", "local_only"]),
    policy=st.builds(
        Policy,
        local_only=st.booleans(),
        offline=st.booleans(),
        frontier=st.sampled_from(["allowed", "forced", "never"]),
    ),
    budget_left_usd_micro=st.none() | st.integers(-5, 5),
    prompt_tokens=st.integers(0, 10_000),
    max_tokens=st.integers(0, 1000),
    history=st.lists(
        st.builds(
            StepRecord,
            location=locations,
            step_kind=st.sampled_from(STEPS),
            succeeded=st.integers(0, 40),
            failed=st.integers(0, 40),
        ),
        max_size=4,
    ).map(tuple),
    escalation=st.builds(
        Escalation,
        failures=st.lists(st.tuples(locations, st.integers(0, 3)), max_size=3).map(tuple),
        latched=st.none() | locations,
    ),
)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(STEPS), any_facts)
def test_laws(step: StepKind, given_facts: RoutingFacts) -> None:
    got = route(step, facts=given_facts)
    assert got == route(step, facts=given_facts)
    assert got.reason
    assert explain(step, facts=given_facts).startswith(f"{step}: {got.location or 'nowhere'}")
    if got.location is None:
        return
    policy = given_facts.policy
    if policy.local_only or policy.offline or given_facts.privacy == "local_only":
        assert got.location == "local"
    if given_facts.privacy == "onprem_ok" or policy.frontier == "never":
        assert got.location != "frontier"
    if policy.frontier == "forced":
        assert got.location == "frontier"
    fitting = [
        p
        for p in given_facts.places
        if (p.location, p.model) == (got.location, got.model)
        and step in p.capable
        and given_facts.prompt_tokens + given_facts.max_tokens <= p.context_window
    ]
    assert fitting
    assert given_facts.escalation.failed(got.location) < 2


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(STEPS), any_facts)
def test_a_latched_step_never_goes_back(step: StepKind, given_facts: RoutingFacts) -> None:
    latched = replace(given_facts, escalation=Escalation(latched="onprem"))
    assert route(step, facts=latched).location != "local"


@pytest.mark.parametrize("location", ["local", "onprem", "frontier"])
def test_an_unknown_label_goes_nowhere(location: Location) -> None:
    assert not may_leave_to(location, "public")  # type: ignore[arg-type]
