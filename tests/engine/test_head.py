"""The draft head: rows of the real head, in the file's quantisation, for some of the tokens."""

from pathlib import Path

import numpy as np
import pytest

from agent.engine.costs import Costs
from agent.engine.drafters.head import DraftHead, head_for
from agent.engine.drafters.mtp import MtpDrafter
from agent.engine.ggml import Rows, find_tensor
from agent.engine.llama import Model
from agent.engine.target import Target
from agent.errors import EngineError

WIDTH = 64


@pytest.fixture(params=["f32", "q8_0"])
def path(request: pytest.FixtureRequest, tiny_models: dict[str, Path]) -> Path:
    return tiny_models[request.param]


def made(path: Path, *, rows: int = 160, seen: int = 32) -> DraftHead:
    tensor = find_tensor(path, ("absent.weight", "output.weight"), WIDTH)
    assert tensor is not None
    return DraftHead(tensor, rows, seen=seen)


def test_it_gives_the_best_of_the_tokens_it_holds(path: Path) -> None:
    model = Model(path)
    target = Target(model, n_ctx=256, threads=1)
    mtp, head = MtpDrafter(target, threads=1), made(path)
    target.prefill(model.tokenize("def add(a, b):", special=False), mtp.observe, lambda: None)
    head.learn([250, 251])
    held = [*range(128), 250, 251]
    for token in range(40):
        mtp.draft(token, 1)
        rows = mtp._batch.size
        full = mtp._context.logits()[0]
        best = head.best(mtp._context.hidden(rows)[rows - 1])
        assert full[best] == pytest.approx(max(full[t] for t in held), abs=2e-2)
    head.close()
    mtp.close()
    target.close()
    model.close()


def test_tokens_that_were_seen_are_held_and_the_oldest_give_way(path: Path) -> None:
    head = made(path, rows=132, seen=4)
    assert head.holds([0, 127, 128]) == 2
    head.learn([128, 129, 130, 131, 5, 128])
    assert head.holds([128, 129, 130, 131]) == 4
    head.learn([140, 141])
    assert head.holds([128, 129]) == 0
    assert head.holds([130, 131, 140, 141]) == 4
    vector = np.ones(WIDTH, dtype=np.float32)
    whole = made(path, rows=260, seen=1)
    assert head.best(vector) in {*range(128), 130, 131, 140, 141}
    at = 128 + [140, 141, 130, 131].index(140)
    assert head._rows.times(vector)[at] == pytest.approx(whole._rows.times(vector)[140], rel=1e-5)
    head.close()
    whole.close()


def test_nothing_is_trimmed_where_the_vocabulary_is_short(path: Path) -> None:
    model = Model(path)
    assert head_for(model) is None
    model.close()


def test_a_file_without_the_tensor_and_rows_that_do_not_fit(path: Path) -> None:
    assert find_tensor(path, ("absent.weight",), WIDTH) is None
    assert find_tensor(path.with_name("absent.gguf"), ("output.weight",), WIDTH) is None
    tensor = find_tensor(path, ("output.weight",), WIDTH)
    assert tensor is not None
    rows = Rows(tensor, 4)
    with pytest.raises(EngineError):
        rows.put(3, b"\0" * 2 * tensor.row_bytes)
    with pytest.raises(EngineError):
        rows.put(0, b"\0")
    rows.close()


def test_a_trimmed_draft_is_assumed_to_be_cheap() -> None:
    whole, part = (Costs.assumed(trimmed=t, window=8) for t in (False, True))
    assert part.best("mtp", [0.8] * 6)[1] > whole.best("mtp", [0.8] * 6)[1] > 1
