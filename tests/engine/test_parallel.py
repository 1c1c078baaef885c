"""Beam and samples score what an independent pass over the same tokens gives."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from agent.engine.llama import Batch, Context, ContextOptions, Model
from agent.engine.parallel import Parallel
from agent.engine.sampling import Sampling
from agent.errors import Cancelled

PROMPT = "def add(a, b):\n    return a - b\n"


@pytest.fixture(scope="module", params=["f32", "noisy"])
def model(request: pytest.FixtureRequest, tiny_models: dict[str, Path]) -> Iterator[Model]:
    made = Model(tiny_models[request.param])
    yield made
    made.close()


def independent_score(model: Model, prompt: Sequence[int], tokens: Sequence[int]) -> float:
    context = Context(model, ContextOptions(n_ctx=512, n_batch=256, outputs=256, threads=1))
    batch = Batch(256)
    batch.set([*prompt, *tokens], 0, outputs="all")
    context.decode(batch)
    rows = context.logits().astype(np.float64)
    rows = rows - np.log(np.exp(rows).sum(1, keepdims=True))
    score = sum(float(rows[len(prompt) - 1 + i, t]) for i, t in enumerate(tokens))
    context.close()
    return score


def never(_: Sequence[int]) -> bool:
    return False


def test_a_beam_is_at_least_as_good_as_greedy_and_truly_scored(model: Model) -> None:
    prompt = model.tokenize(PROMPT, special=True)
    parallel = Parallel(model, width=8, n_ctx=1024, threads=1)
    beam = parallel.beam(
        prompt, 8, max_tokens=24, final=lambda t: len(t) == 16, cancelled=lambda: False
    )
    greedy = parallel.beam(
        prompt, 1, max_tokens=24, final=lambda t: len(t) == 16, cancelled=lambda: False
    )
    assert len({tuple(h.tokens) for h in beam}) == 8
    assert [h.logprob for h in beam] == sorted((h.logprob for h in beam), reverse=True)
    assert beam[0].logprob >= greedy[0].logprob - 1e-2
    for one in beam:
        assert len(one.tokens) == 16
        assert one.logprob == pytest.approx(independent_score(model, prompt, one.tokens), abs=0.05)
    parallel.close()


def test_samples_share_a_prompt_but_not_their_states(model: Model) -> None:
    prompt = model.tokenize(PROMPT, special=True)
    parallel = Parallel(model, width=6, n_ctx=1024, threads=1)
    settings = [Sampling(temperature=3, seed=i) for i in (1, 2, 3, 4, 5, 1)]

    def run() -> list[tuple[int, ...]]:
        found = parallel.sample(
            prompt, settings, max_tokens=20, final=never, cancelled=lambda: False
        )
        for one in found:
            expected = independent_score(model, prompt, one.tokens)
            assert one.logprob == pytest.approx(expected, abs=0.2)
        return [tuple(h.tokens) for h in found]

    first = run()
    assert first[0] == first[5], "one seed, one sample"
    assert len(set(first)) == 5
    assert run() == first, "a kept prompt gives the same samples again"
    parallel.close()


def test_a_cancelled_beam_stops_and_the_next_one_is_right(model: Model) -> None:
    prompt = model.tokenize(PROMPT, special=True)
    parallel = Parallel(model, width=4, n_ctx=1024, threads=1)
    whole = parallel.beam(prompt, 4, max_tokens=12, final=never, cancelled=lambda: False)
    calls = iter([False, False, False, True])
    with pytest.raises(Cancelled):
        parallel.beam(prompt, 4, max_tokens=12, final=never, cancelled=lambda: next(calls, True))
    again = parallel.beam(prompt, 4, max_tokens=12, final=never, cancelled=lambda: False)
    assert [h.tokens for h in again] == [h.tokens for h in whole]
    parallel.close()
