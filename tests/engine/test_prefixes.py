"""States on disk: exact, private, bounded, and harmless when damaged."""

import os
import stat
from pathlib import Path

import pytest

from agent.engine.llama import Model
from agent.engine.prefixes import Prefix, PrefixStore, model_identity
from agent.engine.sessions import Session


def system_then(model: Model, text: str) -> list[int]:
    """A prompt with a long system message."""
    system = "<|im_start|>system\n" + "Repair Python. " * 40 + "<|im_end|>\n"
    user = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    return model.tokenize(system + user, special=True)


@pytest.mark.parametrize("kind", ["f32", "headless"])
def test_a_new_session_goes_on_from_the_disk_exactly(
    tiny_models: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    import numpy as np

    model = Model(tiny_models[kind])
    store = PrefixStore(tmp_path / "p", identity="x")
    first = Session(model, n_ctx=2048, prefixes=store)
    first.begin(system_then(model, "one"))
    first.settle()
    first.close()
    (file,) = (tmp_path / "p").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    second = Session(model, n_ctx=2048, prefixes=PrefixStore(tmp_path / "p", identity="x"))
    prompt = system_then(model, "quite another question")
    warm = second.begin(prompt)
    assert warm.reused > 256
    row = warm.row.copy()
    drafts = list(second.mtp.draft(prompt[-1], 3)) if second.mtp else []
    cold = Session(model, n_ctx=2048)
    assert cold.begin(prompt).reused == 0
    np.testing.assert_array_equal(row, cold.target.context.logits()[0])
    assert drafts == (list(cold.mtp.draft(prompt[-1], 3)) if cold.mtp else [])
    cold.close()
    second.close()
    model.close()


def test_damaged_and_foreign_files_are_ignored_and_named(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    model = Model(tiny_models["f32"])
    store = PrefixStore(tmp_path, identity="x")
    session = Session(model, n_ctx=2048, prefixes=store)
    session.begin(system_then(model, "one"))
    session.settle()
    session.close()
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    prompt = system_then(model, "two")
    for damage in (whole[:-3], whole[:50], b"", whole[:100] + b"\x00\x01" + whole[102:], b"x" * 99):
        file.write_bytes(damage)
        again = PrefixStore(tmp_path, identity="x")
        other = Session(model, n_ctx=2048, prefixes=again)
        assert other.begin(prompt).reused == 0
        assert "ignored and removed" in again.notices[0]
        other.close()
        assert not file.exists()
    file.write_bytes(whole)
    assert PrefixStore(tmp_path, identity="other weights").longest(prompt, beyond=0) is None
    assert PrefixStore(tmp_path, identity="x").longest(prompt, beyond=0) is not None
    model.close()


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path, identity="x", limit=3000, least_tokens=1)
    for i in range(3):
        store.write(Prefix((i, i), bytes(900), None))
    for i, age in ((0, 5), (1, 50), (2, 20)):
        (path,) = tmp_path.glob(store._name((i, i)))
        os.utime(path, (1e9 - age, 1e9 - age))
    assert store.longest((0, 0, 7), beyond=0) is not None
    store.write(Prefix((3, 3), bytes(900), None))
    left = [i for i in range(4) if store.holds((i, i))]
    assert left == [0, 2, 3]
    assert store.usage()[1] <= 3000


def test_what_is_not_worth_its_place_is_not_written() -> None:
    store = PrefixStore(Path("unused"), identity="x", limit=10**9)
    assert store.wanted(1000, 10**7, seconds=1.0)
    assert not store.wanted(100, 10**7, seconds=1.0), "too few tokens"
    assert not store.wanted(1000, 10**7, seconds=0.01), "as quickly decoded"
    assert not store.wanted(1000, 9 * 10**8, seconds=60.0), "most of the room"


def test_a_directory_that_cannot_be_written_is_a_notice(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    store = PrefixStore(blocked / "p", identity="x")
    store.write(Prefix((1, 2), b"state", None))
    assert "cannot be written" in store.notices[0]


def test_an_identity_is_of_the_weights_not_of_the_name(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.gguf"
    data = tiny_models["f32"].read_bytes()
    copy.write_bytes(data)
    assert model_identity(copy) == model_identity(tiny_models["f32"])
    copy.write_bytes(data[:500_000] + bytes(64) + data[500_064:])
    assert model_identity(copy) != model_identity(tiny_models["f32"])
