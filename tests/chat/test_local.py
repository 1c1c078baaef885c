"""The local worker with the shipped GGUF: whatever a weak model writes, calls can be read."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent import events, models, paths
from agent.chat.tools import TOOLS, specs
from agent.places import Places
from agent.providers.openai_compatible import OpenAICompatibleProvider
from agent.router import ALL_STEPS, Place
from agent.serve.supervise import ensure_worker
from agent.types import DecodeHints, Message, Request
from agent.work import ModelFacts
from tests.chat.talking import app_for, of, shop, turn
from tests.providers.asks import Never


def worker(context: int) -> OpenAICompatibleProvider:
    model = models.shipped()
    assert model is not None
    return OpenAICompatibleProvider(
        name="worker",
        model="mini",
        location="local",
        context_window=context,
        dialect="pointsman",
        endpoint=lambda: ensure_worker(
            model, runtime_dir=paths.runtime_dir(), context=context, threads=1, idle_s=60.0
        ),
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_call_that_was_required_can_always_be_read(seed: int) -> None:
    request = Request(
        id="r",
        step_kind="chat",
        messages=(Message(role="user", content="Read shop.py and fix the bug."),),
        max_tokens=300,
        privacy="open",
        hints=DecodeHints(step_kind="chat"),
        seed=seed,
        temperature=1.0,
        tools=specs(TOOLS),
        tool_choice="required",
    )
    done = worker(4096).complete(request, lambda _: None, Never())
    wanted = {t.name: set(t.properties) for t in TOOLS}
    if done.stop_reason == "length":  # a random string may not end within the limit
        assert done.tool_calls == ()
        return
    assert done.tool_calls
    for call in done.tool_calls:
        assert not call.malformed
        assert set(json.loads(call.arguments)) == wanted[call.name]


class Trusting(Places):
    """Takes the shipped model for one that can hold a conversation."""

    def places(self) -> tuple[Place, ...]:
        return tuple(
            Place(
                location=location,
                provider=p.name,
                model=p.model,
                context_window=p.context_window,
                capable=ALL_STEPS,
            )
            for location, p in self.providers().items()
        )

    def facts(self, location: Any) -> ModelFacts:
        window = self.providers()[location].context_window
        return ModelFacts(name="mini", window=window, edit_format="search_replace")


def test_a_turn_with_the_local_engine(tmp_path: Path) -> None:
    """What Mini says is nonsense; the turn ends in order, is billed to nobody, and is kept."""
    app = app_for(shop(tmp_path / "shop"), local_model="mini", local_context=4096)
    app.__dict__["places"] = Trusting(app.settings)
    with app.talks.conversation() as talk:
        seen = turn(app, talk, "What does clamp do?", mode="plan")
        rows = app.ledger.rows(run_id=talk.id)
    assert seen[-1].status in ("answered", "limit"), seen[-1]
    assert {r.entry.location for r in rows} == {"local"}
    assert {r.state for r in rows} == {"settled"}
    assert of(seen, events.RequestFinished)[0].decode.decode_tokens > 0
