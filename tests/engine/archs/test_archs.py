"""Every architecture of the catalogue loads, and no draft changes what it says.

Three ways back after a rejected draft: attention-only models forget positions; qwen35 and
qwen35moe keep snapshots of their recurrent states; qwen3next has none: its state is saved before
the draft, and the accepted tokens are decoded once more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import models
from agent.engine.engine import Answer, Engine, Query
from agent.engine.generate import Generated, Job, generate
from agent.engine.llama import Model
from agent.engine.prefixes import PrefixStore
from agent.engine.sampling import Sampler, Sampling
from agent.engine.sessions import Session
from agent.engine.target import ROLLBACK
from agent.engine.weights import Weights
from agent.types import DecodeHints
from tests.engine.scripted import Scripted

TIE = 0.05
"""Rows of a wide and a narrow pass differ by up to this here (f16 KV cache, logits of ±10): where
the best two tokens are nearer, either is right. Elsewhere the margin is 3 and more."""
PROMPTS = ("def add(a, b):\n    return a - b\n", "the cat in there sat over the mat", "x")


@dataclass(frozen=True, slots=True)
class Expected:
    hybrid: bool
    snapshots: int
    mtp: bool


EXPECTED = {
    "qwen2": Expected(False, 0, False),
    "qwen3": Expected(False, 0, False),
    "qwen3moe": Expected(False, 0, False),
    "qwen35": Expected(True, ROLLBACK, True),
    "qwen35moe": Expected(True, ROLLBACK, True),
    "qwen3next": Expected(True, 0, False),
}


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def engine(request: pytest.FixtureRequest, architectures: dict[str, Path]) -> Iterator[Engine]:
    made = Engine(architectures[request.param], n_ctx=512, threads=1)
    yield made
    made.close()


def run(session: Session, prompt: str, script: Sequence[tuple[int, int]], truth: Sequence[int],
        n: int = 48) -> Generated:  # fmt: skip
    ids = session.model.tokenize(prompt, special=True)
    job = Job(
        sampler=Sampler(Sampling()),
        proposer=Scripted(truth, script),
        max_tokens=n,
        drafters=(session.mtp,) if session.mtp else (),
    )
    running = generate(session.target, session.begin(ids, fresh=True).row, job)
    while True:
        try:
            next(running)
        except StopIteration as stop:
            result: Generated = stop.value
            return result


def assert_same(session: Session, prompt: str, fast: Sequence[int], plain: Sequence[int]) -> None:
    """Token for token, up to where plain decoding itself is undecided."""
    differ = [i for i, (a, b) in enumerate(zip(fast, plain, strict=False)) if a != b]
    if not differ:
        assert len(fast) == len(plain)
        return
    ids = session.model.tokenize(prompt, special=True)
    row = session.begin([*ids, *plain[: differ[0]]], fresh=True).row
    second, best = np.partition(row, -2)[-2:]
    assert best - second < TIE, f"token {differ[0]} is {fast[differ[0]]}, not {plain[differ[0]]}"


def answer(engine: Engine, prompt: str, **hints: object) -> Answer:
    query = Query(
        prompt=tuple(engine.model.tokenize(prompt, special=True)),
        sampling=Sampling(),
        max_tokens=64,
        hints=DecodeHints(step_kind="edit", **hints),  # type: ignore[arg-type]
        copy_sources=(prompt,),
    )
    return engine.answer(query, lambda _: None, lambda: False)


def test_each_loads_and_is_what_its_header_says(engine: Engine) -> None:
    info = models.inspect(engine.model.path)
    expected = EXPECTED[info.architecture]
    assert Expected(info.hybrid, engine.session.target.context.rollback, info.has_mtp) == expected
    assert (engine.model.is_hybrid, engine.model.has_mtp) == (expected.hybrid, expected.mtp)
    assert engine.self_test().exact
    assert engine.mtp_trusted is expected.mtp


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(script=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=6))
def test_no_draft_changes_the_output(engine: Engine, script: list[tuple[int, int]]) -> None:
    plain = run(engine.session, PROMPTS[0], [(0, 0)], ())
    assert len(set(plain.tokens)) > 8, "a constant text would hide a wrong state"
    fast = run(engine.session, PROMPTS[0], script, plain.tokens)
    assert_same(engine.session, PROMPTS[0], fast.tokens, plain.tokens)


@pytest.mark.parametrize("script", [[(3, 2)], [(0, 8)], [(8, 0)], [(1, 7), (7, 1), (0, 0)]])
def test_partial_accepts_happen_and_save_passes(
    engine: Engine, script: list[tuple[int, int]]
) -> None:
    for prompt in PROMPTS:
        plain = run(engine.session, prompt, [(0, 0)], ())
        fast = run(engine.session, prompt, script, plain.tokens)
        assert_same(engine.session, prompt, fast.tokens, plain.tokens)
        assert fast.stats.drafted > fast.stats.accepted or script == [(8, 0)]
        if any(right for right, _ in script):
            assert fast.stats.cycles < plain.stats.cycles


def test_logits_after_a_partial_accept_equal_a_fresh_prefill(engine: Engine) -> None:
    """Twice in a row, and the state must be the same to the last row."""
    target = engine.session.target
    target.reset()
    ids = engine.model.tokenize(PROMPTS[1], special=True)
    target.prefill(ids, lambda *_: None, lambda: None)
    for keep in (2, 3):
        target.decode([40, 41, 42, 43, 44, 45], lambda *_: None)
        assert target.take_back(6 - keep)
    after = target.decode([50], lambda *_: None)[0].copy()
    known = list(target.tokens)
    assert known == [*ids, 40, 41, 40, 41, 42, 50]
    target.reset()
    naive = target.prefill(known, lambda *_: None, lambda: None).copy()
    wrong = np.abs(after - naive).max()
    assert wrong < TIE
    target.reset()
    other = target.prefill([*known[:-2], 43, 50], lambda *_: None, lambda: None)
    assert np.abs(other - naive).max() > 5 * TIE, "the history must show"


def test_what_cannot_be_taken_back_is_refused(engine: Engine) -> None:
    target = engine.session.target
    target.reset()
    target.prefill([1, 2, 3, 4], lambda *_: None, lambda: None)
    target.decode([5], lambda *_: None)
    target.decode([6], lambda *_: None)
    attention_only = not engine.model.is_hybrid
    assert target.take_back(2) is attention_only
    assert not target.take_back(50)


def test_copying_and_mtp_give_the_answer_of_plain_decoding(engine: Engine) -> None:
    plain = answer(engine, PROMPTS[0], strategy="plain")
    for strategy in ("copy", "mtp", "combined"):
        fast = answer(engine, PROMPTS[0], strategy=strategy)
        assert fast.choices == plain.choices
        if strategy == "mtp" and engine.model.has_mtp:
            assert fast.stats.drafted > 0


def test_a_known_beginning_is_not_decoded_again(engine: Engine) -> None:
    system = "<|im_start|>system\n" + "be brief. " * 12 + "<|im_end|>\n<|im_start|>user\n"
    answer(engine, system + "one<|im_end|>\n")
    second = answer(engine, system + "two<|im_end|>\n", strategy="plain")
    assert second.reused_tokens > 100
    cold = answer(engine, system + "two<|im_end|>\n", strategy="plain", reproducible=True)
    assert cold.reused_tokens == 0
    assert second.choices == cold.choices


def test_an_attention_only_model_keeps_any_shared_beginning(engine: Engine) -> None:
    """Not only up to a message's border: the prompts part in the middle of one."""
    session, body = engine.session, "x = 1\n" * 30
    before, prompt = (engine.model.tokenize(body + end, special=True) for end in ("a.b()", "a.c"))
    session.begin(prompt[:-1], fresh=True)
    cold = session.begin(prompt).row.copy()  # in the same two passes, or rounding would show
    session.begin(before, fresh=True)
    warm = session.begin(prompt)
    assert warm.reused == (0 if engine.model.is_hybrid else len(prompt) - 1)
    if warm.reused:
        assert np.abs(warm.row - cold).max() < 1e-5
        again = session.begin(prompt)
        assert again.reused == len(prompt) - 1, "its last row is needed"
        assert np.abs(again.row - cold).max() < 1e-5


def test_several_choices_share_a_prompt(engine: Engine) -> None:
    query = Query(
        prompt=tuple(engine.model.tokenize(PROMPTS[0], special=True)),
        sampling=Sampling(),
        max_tokens=12,
        n=3,
    )
    several = engine.answer(query, lambda _: None, lambda: False)
    assert len({c.text for c in several.choices}) == 1, "greedy three times"


def test_a_checkpoint_costs_the_same_after_a_long_text(architectures: dict[str, Path]) -> None:
    """Only the recurrent part is saved: what attention holds grows with the text."""
    engine = Engine(architectures["qwen3next"], n_ctx=512, threads=1)
    target = engine.session.target
    sizes = []
    for n in (4, 400):
        target.reset()
        target.prefill([7] * n, lambda *_: None, lambda: None)
        target.decode([1, 2], lambda *_: None)
        sizes.append((len(target.context._checkpoint), len(target.save())))
    engine.close()
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] < sizes[1][1]


@pytest.mark.parametrize("name", ["qwen2", "qwen35moe", "qwen3next"])
def test_an_8_bit_cache_and_placed_experts_keep_drafts_exact(
    architectures: dict[str, Path], name: str
) -> None:
    """On a CPU the experts are in RAM anyway: the same tokens, loaded by another way."""
    texts = {}
    for weights in (
        Weights(),
        Weights(experts_in_ram=True, gpu_layers=2),
        Weights(kv_type="q8_0"),
    ):
        engine = Engine(architectures[name], n_ctx=512, threads=1, weights=weights)
        plain = run(engine.session, PROMPTS[0], [(0, 0)], ())
        fast = run(engine.session, PROMPTS[0], [(3, 2), (0, 8), (5, 0)], plain.tokens)
        assert_same(engine.session, PROMPTS[0], fast.tokens, plain.tokens)
        texts[weights] = (plain.tokens, len(engine.session.target.save()))
        engine.close()
    (default, size), (placed, same_size), (_, smaller) = texts.values()
    assert placed == default
    assert smaller < same_size == size, "the cache takes less"


def test_an_attention_only_model_also_goes_on_from_the_disk(
    architectures: dict[str, Path], tmp_path: Path
) -> None:
    model = Model(architectures["qwen3"])
    system = "<|im_start|>system\n" + "Repair Python. " * 40 + "<|im_end|>\n"
    one, two = (
        model.tokenize(f"{system}<|im_start|>user\n{t}<|im_end|>\n<|im_start|>", special=True)
        for t in ("one", "another")
    )
    first = Session(model, n_ctx=2048, prefixes=PrefixStore(tmp_path, identity="x"))
    first.begin(one)
    first.settle()
    expected = first.begin(two).row.copy()
    first.close()
    second = Session(model, n_ctx=2048, prefixes=PrefixStore(tmp_path, identity="x"))
    again = second.begin(two)
    assert again.reused > 256
    np.testing.assert_allclose(again.row, expected, atol=TIE)
    second.close()
    model.close()
