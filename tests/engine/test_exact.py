"""The fast path equals the naive one: every strategy gives the tokens of plain decoding."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.engine.drafters import Drafter
from agent.engine.drafters.copy import CopyDrafter
from agent.engine.drafters.head import DraftHead
from agent.engine.drafters.mtp import MtpDrafter
from agent.engine.generate import Generated, Job, Proposer, generate
from agent.engine.ggml import find_tensor
from agent.engine.llama import Model
from agent.engine.routed import Decision, Routed
from agent.engine.sampling import Sampler, Sampling
from agent.engine.strategy import Arm, Choice, Costs
from agent.engine.target import Target
from tests.engine.scripted import Scripted

PROMPTS = (
    "def add(a, b):\n    return a - b\n",
    "the cat in there sat over the mat; for i in range(10): print(i)",
    "x",
)


class Fixed:
    """Drafts of a fixed length from one drafter."""

    name = "fixed"

    def __init__(self, drafter: Drafter | None, k: int) -> None:
        self.drafter, self.k = drafter, k

    def propose(self, token: int, room: int) -> Sequence[int]:
        return self.drafter.draft(token, min(self.k, room)) if self.drafter and self.k else ()

    def judged(self, drafted: int, accepted: int, committed: Sequence[int]) -> None:
        pass


class Bench:
    """A model with its target and drafter, emptied before each run."""

    def __init__(self, path: Path) -> None:
        self.model = Model(path)
        self.target = Target(self.model, n_ctx=512, threads=1, n_batch=64)
        self.mtp = MtpDrafter(self.target, threads=1) if self.model.has_mtp else None

    def run(
        self, prompt: str, proposer: Proposer, settings: Sampling | None = None, n: int = 96
    ) -> Generated:
        drafters = (self.mtp,) if self.mtp else ()
        self.target.reset()
        for drafter in drafters:
            drafter.reset()
        ids = self.model.tokenize(prompt, special=True)

        def observe(tokens: Sequence[int], hidden: object) -> None:
            for drafter in drafters:
                drafter.observe(tokens, hidden)  # type: ignore[arg-type]

        row = self.target.prefill(ids, observe, lambda: None)
        job = Job(
            sampler=Sampler(settings or Sampling()),
            proposer=proposer,
            max_tokens=n,
            drafters=drafters,
        )
        running = generate(self.target, row, job)
        while True:
            try:
                next(running)
            except StopIteration as stop:
                result: Generated = stop.value
                return result

    def close(self) -> None:
        if self.mtp:
            self.mtp.close()
        self.target.close()
        self.model.close()


@pytest.fixture(scope="module", params=["f32", "q8_0", "noisy"])
def bench(request: pytest.FixtureRequest, tiny_models: dict[str, Path]) -> Iterator[Bench]:
    made = Bench(tiny_models[request.param])
    yield made
    made.close()


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6, 8])
def test_mtp_gives_the_tokens_of_plain_decoding(bench: Bench, k: int) -> None:
    drafted = accepted = 0
    for prompt in PROMPTS:
        plain = bench.run(prompt, Fixed(None, 0))
        fast = bench.run(prompt, Fixed(bench.mtp, k))
        assert fast.tokens == plain.tokens
        assert fast.stats.cycles < plain.stats.cycles
        drafted, accepted = drafted + fast.stats.drafted, accepted + fast.stats.accepted
    assert 0 < accepted < drafted, "both full and partial accepts must have happened"


def test_drafts_of_a_part_of_the_vocabulary_change_nothing(bench: Bench) -> None:
    assert bench.mtp is not None
    tensor = find_tensor(bench.model.path, ("output.weight",), bench.model.n_embd)
    assert tensor is not None
    plain = bench.run(PROMPTS[0], Fixed(None, 0))
    whole = bench.run(PROMPTS[0], Fixed(bench.mtp, 3))
    bench.mtp.head, bench.mtp.trimmed = DraftHead(tensor, 160, seen=32), True
    try:
        part = bench.run(PROMPTS[0], Fixed(bench.mtp, 3))
    finally:
        bench.mtp.head.close()
        bench.mtp.head = None
    assert part.tokens == plain.tokens
    assert 0 < part.stats.accepted <= whole.stats.accepted


@pytest.mark.parametrize("temperature", [0.7, 2.5])
def test_sampled_tokens_do_not_depend_on_the_strategy(bench: Bench, temperature: float) -> None:
    settings_ = Sampling(temperature=temperature, top_p=0.95, top_k=50, min_p=0.01, seed=5)
    plain = bench.run(PROMPTS[1], Fixed(None, 0), settings_)
    assert bench.run(PROMPTS[1], Fixed(bench.mtp, 3), settings_).tokens == plain.tokens
    other = Sampling(temperature=9.0, seed=6)
    assert bench.run(PROMPTS[1], Fixed(bench.mtp, 2), other).tokens != plain.tokens


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(script=st.lists(st.tuples(st.integers(0, 32), st.integers(0, 32)), min_size=1, max_size=6))
def test_no_draft_however_wrong_changes_the_output(
    bench: Bench, script: list[tuple[int, int]]
) -> None:
    plain = bench.run(PROMPTS[0], Fixed(None, 0), n=48)
    assert bench.run(PROMPTS[0], Scripted(plain.tokens, script), n=48).tokens == plain.tokens


def test_copy_and_combined_give_the_tokens_of_plain_decoding(bench: Bench) -> None:
    plain = bench.run(PROMPTS[0], Fixed(None, 0))
    prompt = bench.model.tokenize(PROMPTS[0], special=True)
    source = [*plain.tokens[:40], 1, *plain.tokens[41:]]
    arms: tuple[Arm, ...] = ("copy", "combined")
    for arm in arms:
        routed = Routed(
            Choice(arm=arm, draft_length=None, reason="test", least=1),
            costs=Costs(),
            mtp=bench.mtp,
            copy=CopyDrafter([source], prompt),
        )
        fast = bench.run(PROMPTS[0], routed)
        assert fast.tokens == plain.tokens
        assert fast.stats.accepted > 48, "the source holds nearly the whole answer"


@pytest.mark.parametrize("k", [1, 3])
def test_passes_of_one_width_give_the_tokens_of_plain_decoding(bench: Bench, k: int) -> None:
    plain = bench.run(PROMPTS[0], Fixed(None, 0))
    choice = Choice(arm="combined", draft_length=k, reason="test", fixed_width=True)
    source = [*plain.tokens[:20], 1, *plain.tokens[21:40]]
    copy = CopyDrafter([source], bench.model.tokenize(PROMPTS[0], special=True))
    log: list[Decision] = []
    routed = Routed(choice, costs=Costs(), mtp=bench.mtp, copy=copy, log=log.append)
    assert bench.run(PROMPTS[0], routed).tokens == plain.tokens
    widths = [len(d.drafts) for d in log[1:]]
    assert set(widths[: -k - 1]) == {k}, "only where the answer ends there is no room"
    assert {d.source for d in log[1:]} >= {"copy", "mtp"}


def test_logits_after_a_partial_accept_equal_a_fresh_prefill(bench: Bench) -> None:
    """Twice in a row, since a second rollback is where llama.cpp goes silently wrong."""
    target = bench.target
    target.reset()
    ids = bench.model.tokenize(PROMPTS[1], special=True)
    target.prefill(ids, lambda *_: None, lambda: None)
    for keep in (2, 3):
        target.decode([40, 41, 42, 43, 44, 45], lambda *_: None)
        assert target.take_back(6 - keep)
    after = target.decode([50], lambda *_: None)[0].copy()
    known = list(target.tokens)
    target.reset()
    naive = target.prefill(known, lambda *_: None, lambda: None)
    assert known == [*ids, 40, 41, 40, 41, 42, 50]
    assert np.abs(after - naive).max() < 2e-3


@pytest.mark.parametrize(("width", "keeps"), [(33, (1, 20)), (17, (12, 3)), (33, (24, 25))])
def test_logits_after_a_long_run_is_cut_short_equal_a_fresh_prefill(
    bench: Bench, width: int, keeps: tuple[int, int]
) -> None:
    """Beyond the snapshots a saved state is restored and what stays decoded again; the second
    save is made while the first rollback is pending."""
    target = bench.target
    target.reset()
    target.prefill(bench.model.tokenize(PROMPTS[1], special=True), lambda *_: None, lambda: None)
    run = [(17 * i + 5) % 250 for i in range(width)]
    for keep in keeps:
        target.decode(run, lambda *_: None)
        assert target.take_back(width - keep)
        assert not target.take_back(1), "a second rollback before a decode"
    after = target.decode([50], lambda *_: None)[0].copy()
    known = list(target.tokens)
    assert known[-1 - sum(keeps) :] == [*run[: keeps[0]], *run[: keeps[1]], 50]
    target.reset()
    naive = target.prefill(known, lambda *_: None, lambda: None)
    # The wide passes alone differ from a prefill by up to 0.03 (Q8_0: 0.33), nothing taken back.
    assert np.abs(after - naive).max() < 0.6
    assert after.argmax() == naive.argmax()


def test_copied_runs_of_32_give_the_tokens_of_plain_decoding(bench: Bench) -> None:
    plain = bench.run(PROMPTS[0], Fixed(None, 0), n=160)
    # Right, cut short beyond the window, within it, and at the last token.
    script = [(32, 0), (3, 29), (32, 0), (28, 4), (31, 1), (0, 32)]
    fast = bench.run(PROMPTS[0], Scripted(plain.tokens, script), n=160)
    assert fast.tokens == plain.tokens
    assert fast.stats.cycles < 20


def test_a_rollback_that_llama_cpp_gets_wrong_is_refused(bench: Bench) -> None:
    target = bench.target
    target.reset()
    target.prefill([1, 2, 3, 4], lambda *_: None, lambda: None)
    target.decode([5], lambda *_: None)
    target.decode([6], lambda *_: None)
    assert not target.take_back(1), "reaches before the last decode"
    target.decode([7, 8, 9], lambda *_: None)
    assert not target.take_back(3), "the whole last decode"
    assert target.take_back(1)
    assert not target.take_back(1), "a second rollback before a decode"
    assert target.tokens == [1, 2, 3, 4, 5, 6, 7, 8]
