"""The catalogue is complete and consistent, and names mean what people expect."""

import dataclasses

import pytest

from agent import models
from agent.context import edit_format_of
from agent.models import Entry

FAMILIES = (
    "qwen3.5-", "qwen3.6-", "qwen3.8-", "qwen2.5-coder-", "qwen3-coder-30b", "qwen3-coder-next",
)  # fmt: skip
ARCHITECTURES = {"qwen2", "qwen3moe", "qwen35", "qwen35moe", "qwen3next"}
entries = pytest.mark.parametrize("entry", models.catalogue(), ids=lambda e: e.name)


@entries
def test_every_entry_is_complete(entry: Entry) -> None:
    may_be_zero = {"experts", "state_bytes", "mtp", "recommend"}
    if entry.name == "mini":
        may_be_zero |= {"repo"}
    for field in dataclasses.fields(entry):
        value = getattr(entry, field.name)
        assert value or field.name in may_be_zero, f"{field.name} is {value!r}"
    s = entry.sampling
    assert 0 <= s.temperature <= 1
    assert 0 < s.top_p <= 1
    assert s.top_k >= 0
    assert 0 <= s.min_p < 1


@entries
def test_the_facts_of_an_entry_agree(entry: Entry) -> None:
    recurrent = entry.architecture in ("qwen35", "qwen35moe", "qwen3next")
    assert (entry.state_bytes > 0) is recurrent
    mixture = entry.architecture in ("qwen3moe", "qwen35moe", "qwen3next")
    assert (entry.experts > 0) is mixture
    assert (entry.active < entry.parameters) is mixture
    assert entry.experts < entry.parameters
    assert "A3B" in entry.title or not mixture
    bits = entry.file_bytes * 8 / (entry.parameters * 1e9)
    low, high = (8.0, 9.0) if entry.quantisation == "Q8_0" else (4.4, 6.2)
    assert low < bits < high, f"{bits:.2f} bits a parameter is not {entry.quantisation}"
    assert entry.kv_bytes % (2 * 2 * 64) == 0, "keys and values of f16 heads"
    assert entry.quantisation.lower() in entry.file.lower() or entry.name == "mini"


def test_the_families_are_there() -> None:
    names = [e.name for e in models.catalogue()]
    assert len(set(names)) == len(names)
    assert all(any(n.startswith(f) for n in names) for f in FAMILIES)
    assert {e.architecture for e in models.catalogue()} == ARCHITECTURES


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("qwen3.5-4b", "qwen3.5-4b"),
        ("Qwen3.5-4B-UD-Q4_K_XL", "qwen3.5-4b"),
        ("/home/ada/models/Qwen3.5-4B-MTP-Q4_K_M.gguf", "qwen3.5-4b"),
        ("C:\\models\\Qwen3.6-35B-A3B-Q4_K_M.gguf", "qwen3.6-35b-a3b"),
        ("Qwen3-Coder-30B-A3B-Instruct-Q8_0.gguf", "qwen3-coder-30b-a3b"),
        ("qwen2.5-coder-7b-instruct-q4_k_m", "qwen2.5-coder-7b"),
        ("Qwen_Qwen3.5-9B-Q4_K_M.gguf", "qwen3.5-9b"),
        ("mini", "mini"),
        ("pointsman-mini.gguf", "mini"),
        ("qwen3.5-4", None),
        ("Qwen3.5-40B", None),
        ("gemini-3-flash", None),
        ("gpt-5.6-mini", None),
        ("claude-opus-4-6", None),
        ("", None),
    ],
)
def test_names_are_found_as_publishers_write_them(written: str, name: str | None) -> None:
    found = models.find(written)
    assert (found.name if found else None) == name


def test_the_edit_format_comes_from_the_catalogue() -> None:
    assert models.edit_format("mini") == edit_format_of("mini", 16_384) == "line"
    assert models.edit_format("Qwen3.5-4B-Q4_K_M") == "search_replace"
    for other in ("gemini-3-flash", "gpt-5.6-mini", "MiniMax-M2"):
        assert edit_format_of(other, 200_000) == "search_replace", other
    assert edit_format_of("Qwen3.5-4B-Q4_K_M", 4096) == "search_replace", "window set small"
    assert edit_format_of("my-own-tiny-model", 2048) == "line", "too small a window for any other"
