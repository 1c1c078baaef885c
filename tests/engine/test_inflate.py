"""A small model in a larger shape decodes the same tokens and accepts the same drafts."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.engine.engine import Engine, Query
from agent.engine.sampling import Sampling
from agent.types import DecodeHints
from evals.bench.inflate import MINI, Shape, inflate, places, read_shape

PROMPT = "<|im_start|>user\nFix the bug in a.py.\n\nL1 def add(a, b):\n>2     return a - b\n"


def decoded(model: Path) -> tuple[str, int, int]:
    engine = Engine(model, n_ctx=256, threads=1)
    prompt = tuple(
        engine.model.tokenize(PROMPT + "<|im_end|>\n<|im_start|>assistant\n", special=True)
    )
    hints = DecodeHints(step_kind="edit", strategy="mtp", draft_length=3)
    query = Query(prompt=prompt, sampling=Sampling(), max_tokens=40, hints=hints)
    answer = engine.answer(query, lambda _: None, lambda: False)
    engine.close()
    return answer.choices[0].text, answer.stats.drafted, answer.stats.accepted


@pytest.mark.parametrize(("values", "kv_heads"), [(1, 1), (3, 2)])
def test_the_function_is_preserved(tmp_path: Path, values: int, kv_heads: int) -> None:
    """`values`: value heads to a key head of the recurrent blocks, as 0.8B and 27B have them."""
    large, shape = tmp_path / "large.gguf", read_shape(MINI)
    # Wider, deeper, with more and wider heads, another pattern of blocks, a larger vocabulary.
    inflate(
        MINI,
        large,
        Shape(
            width=shape.width + 64,
            layers=2 * shape.layers,
            interval=2 * shape.interval,
            ff=shape.ff + 64,
            heads=kv_heads * (shape.heads + 1),
            kv_heads=kv_heads,
            head=2 * shape.head,
            ssm_heads=shape.ssm_heads + 1,
            ssm_values=values * (shape.ssm_heads + 1),
            ssm_state=2 * shape.ssm_state,
            vocabulary=shape.vocabulary + 904,
        ),
    )
    small = decoded(MINI)
    assert small[0].startswith("L")
    assert decoded(large) == small
    assert small[2] > 0


def test_blocks_take_the_places_of_their_kind() -> None:
    small = replace(read_shape(MINI), layers=4, interval=2)
    assert places(small, replace(small, layers=8, interval=4)) == [
        0,
        None,
        None,
        1,
        2,
        None,
        None,
        3,
    ]
