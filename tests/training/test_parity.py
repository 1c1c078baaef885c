"""llama.cpp against what torch computed: no torch here, its logits are stored.

`tiny.f32.gguf` and `tiny_reference.npz` come from `training.run tiny` and `training.reference`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from training.llama import LlamaModel
from training.parity import compare
from training.render import CHAT_TEMPLATE, chat, edit_prompt

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "agent" / "models" / "pointsman-mini.gguf"
CODE = '''def merge(left, right):
    """Merge two sorted lists."""
    result = []
    while left and right:
        if left[0] < right[0]:
            result.append(left.pop(0))
        else:
            result.append(right.pop(0))
    result.extend(left)
    result.extend(right)
    return result'''


@pytest.fixture(scope="module")
def shipped() -> Iterator[LlamaModel]:
    with LlamaModel(SHIPPED, 1024) as model:
        yield model


def test_llama_cpp_computes_what_torch_computed() -> None:
    found = compare(HERE / "tiny.f32.gguf", HERE / "tiny_reference.npz")
    assert found.positions == 48
    assert found.trunk < 2e-3
    assert found.mtp < 5e-3
    assert found.chain < 5e-3
    assert found.trunk_same_best == found.mtp_same_best == 1.0


def test_a_changed_weight_is_noticed(tmp_path: Path) -> None:
    data = bytearray((HERE / "tiny.f32.gguf").read_bytes())
    data[-4:] = np.array([100.0], "<f4").tobytes()  # in the draft head: tensors come last
    changed = tmp_path / "changed.gguf"
    changed.write_bytes(data)
    found = compare(changed, HERE / "tiny_reference.npz")
    assert found.trunk < 2e-3 < 0.1 < found.mtp


def test_the_shipped_file_is_a_small_hybrid_with_a_draft_head() -> None:
    import gguf

    reader = gguf.GGUFReader(SHIPPED)
    names = {t.name for t in reader.tensors}
    field = {name: f.contents() for name, f in reader.fields.items()}
    assert SHIPPED.stat().st_size <= 4_000_000
    assert field["general.architecture"] == "qwen35"
    assert field["tokenizer.ggml.pre"] == "qwen35"
    assert field["tokenizer.chat_template"] == CHAT_TEMPLATE
    assert field["qwen35.context_length"] >= 2048
    last = field["qwen35.block_count"] - 1
    assert f"blk.{last}.nextn.eh_proj.weight" in names
    assert "blk.0.ssm_conv1d.weight" in names, "no recurrent layer"


def test_the_draft_head_is_trained(shipped: LlamaModel) -> None:
    tokens = shipped.tokenize(chat(edit_prompt("merge.py", CODE.split("\n"), {5, 6, 8})))
    trunk, draft = shipped.logits(tokens)
    agree = (trunk.argmax(1) == draft.argmax(1))[8:].mean()
    wrong = (trunk[1:].argmax(1) == draft[:-1].argmax(1))[8:].mean()
    assert agree > 0.5
    assert wrong < agree / 2, "the head's rows are shifted"


def test_the_shipped_model_knows_some_python(shipped: LlamaModel) -> None:
    tokens = shipped.tokenize(chat(edit_prompt("merge.py", CODE.split("\n"), {5, 6, 8})))
    trunk, _ = shipped.logits(tokens)
    rows = trunk[:-1] - trunk[:-1].max(1, keepdims=True)
    logs = rows - np.log(np.exp(rows).sum(1, keepdims=True))
    loss = -logs[np.arange(len(tokens) - 1), tokens[1:]].mean()
    assert loss < 5.0, "a uniform guess over 4096 tokens is 8.3"
