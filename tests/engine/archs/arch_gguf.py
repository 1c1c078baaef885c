"""Tiny random GGUFs of the architectures beside qwen35.

As in tiny_gguf, the output head is a permuted copy of the embedding, so that a context settles into
text that is neither constant nor noise, and a wrong state after a rollback changes the tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tests.engine.tiny_gguf import add_vocabulary, vocabulary_of

_SEED = {"qwen2": 0, "qwen3": 2, "qwen3moe": 7, "qwen35moe": 3, "qwen3next": 4}
"""Those of eight whose greedy texts have the fewest near-ties."""
ARCHITECTURES = tuple(_SEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Shared by all; `experts` of `expert_ff` each, `used` per token."""

    width: int = 64
    layers: int = 4
    interval: int = 2
    heads: int = 2
    kv_heads: int = 1
    head: int = 32
    ff: int = 128
    state: int = 32
    groups: int = 2
    conv: int = 4
    experts: int = 8
    used: int = 2
    expert_ff: int = 32
    context: int = 4096
    noise: float = 0.6


class Writer:
    """One file: metadata, vocabulary, and tensors of seeded noise."""

    def __init__(self, path: Path, architecture: str, sizes: Sizes) -> None:
        self.file = gguf.GGUFWriter(path, architecture)
        self.architecture, self.sizes = architecture, sizes
        self.random = np.random.default_rng(sum(architecture.encode()) + _SEED[architecture])

    def add(self, name: str, data: Any) -> None:
        self.file.add_tensor(name, np.ascontiguousarray(data, dtype=np.float32))

    def noise(self, name: str, *shape: int, scale: float | None = None) -> None:
        scale = self.sizes.noise if scale is None else scale
        self.add(name, self.random.standard_normal(shape) * scale / np.sqrt(shape[-1]))

    def norm(self, name: str, size: int, mean: float = 1.0) -> None:
        self.add(f"{name}.weight", mean + 0.1 * self.random.standard_normal(size))


# --------------------------------------------------------------------------- metadata


def _vocabulary(w: Writer) -> int:
    tokens = vocabulary_of(32)
    add_vocabulary(w.file, tokens, pre="qwen2", merges=["t h"])
    return len(tokens)


def _metadata(w: Writer, mtp: bool) -> None:
    s, file = w.sizes, w.file
    file.add_block_count(s.layers + mtp)
    file.add_context_length(s.context)
    file.add_embedding_length(s.width)
    file.add_feed_forward_length(s.ff)
    file.add_head_count(s.heads)
    file.add_head_count_kv(s.kv_heads)
    file.add_layer_norm_rms_eps(1e-6)
    file.add_rope_freq_base(10000.0)
    if w.architecture != "qwen2":
        file.add_key_length(s.head)
        file.add_value_length(s.head)
    if w.architecture not in ("qwen2", "qwen3"):
        file.add_expert_count(s.experts)
        file.add_expert_used_count(s.used)
        file.add_expert_feed_forward_length(s.expert_ff)
    if w.architecture in ("qwen35moe", "qwen3next"):
        file.add_expert_shared_feed_forward_length(s.expert_ff)
        file.add_rope_dimension_count(16)
        file.add_ssm_conv_kernel(s.conv)
        file.add_ssm_state_size(s.state)
        file.add_ssm_group_count(s.groups)
        file.add_ssm_time_step_rank(s.groups)
        file.add_ssm_inner_size(s.state * s.groups)
        file.add_full_attention_interval(s.interval)
    if w.architecture == "qwen35moe":
        file.add_rope_dimension_sections([4, 2, 2, 0])
    if mtp:
        file.add_nextn_predict_layers(1)


# --------------------------------------------------------------------------- layers


def _attention(w: Writer, block: str, *, gated: bool, bias: bool, normed: bool) -> None:
    s = w.sizes
    queries = s.heads * s.head
    w.noise(f"{block}.attn_q.weight", (2 if gated else 1) * queries, s.width, scale=2.0)
    w.noise(f"{block}.attn_k.weight", s.kv_heads * s.head, s.width, scale=2.0)
    w.noise(f"{block}.attn_v.weight", s.kv_heads * s.head, s.width, scale=2.0)
    w.noise(f"{block}.attn_output.weight", s.width, queries, scale=(4 if gated else 8) * s.noise)
    if bias:
        for name, size in (("q", queries), ("k", s.kv_heads * s.head), ("v", s.kv_heads * s.head)):
            w.noise(f"{block}.attn_{name}.bias", size)
    if normed:
        w.norm(f"{block}.attn_q_norm", s.head, mean=2.0)  # sharp: attention must matter
        w.norm(f"{block}.attn_k_norm", s.head, mean=2.0)


def _recurrent(w: Writer, block: str) -> None:
    s = w.sizes
    inner = s.state * s.groups
    w.noise(f"{block}.attn_qkv.weight", 3 * inner, s.width, scale=1.0)
    w.noise(f"{block}.attn_gate.weight", inner, s.width, scale=1.0)
    w.add(f"{block}.ssm_conv1d.weight", w.random.standard_normal((3 * inner, s.conv)) * 0.5)
    w.add(f"{block}.ssm_dt.bias", w.random.standard_normal(s.groups))
    w.add(f"{block}.ssm_a", -np.exp(w.random.standard_normal(s.groups) - 2))
    if w.architecture == "qwen3next":
        w.noise(f"{block}.ssm_ba.weight", 2 * s.groups, s.width, scale=1.0)
    else:
        w.noise(f"{block}.ssm_beta.weight", s.groups, s.width, scale=1.0)
        w.noise(f"{block}.ssm_alpha.weight", s.groups, s.width, scale=1.0)
    w.norm(f"{block}.ssm_norm", s.state)
    w.noise(f"{block}.ssm_out.weight", s.width, inner, scale=4 * s.noise)


def _dense(w: Writer, block: str) -> None:
    s = w.sizes
    w.noise(f"{block}.ffn_gate.weight", s.ff, s.width, scale=1.0)
    w.noise(f"{block}.ffn_up.weight", s.ff, s.width, scale=1.0)
    w.noise(f"{block}.ffn_down.weight", s.width, s.ff)


def _experts(w: Writer, block: str, *, shared: bool) -> None:
    s = w.sizes
    w.noise(f"{block}.ffn_gate_inp.weight", s.experts, s.width, scale=2.0)
    w.noise(f"{block}.ffn_gate_exps.weight", s.experts, s.expert_ff, s.width, scale=1.0)
    w.noise(f"{block}.ffn_up_exps.weight", s.experts, s.expert_ff, s.width, scale=1.0)
    w.noise(f"{block}.ffn_down_exps.weight", s.experts, s.width, s.expert_ff)
    if shared:
        w.noise(f"{block}.ffn_gate_inp_shexp.weight", s.width, scale=1.0)
        w.noise(f"{block}.ffn_gate_shexp.weight", s.expert_ff, s.width, scale=1.0)
        w.noise(f"{block}.ffn_up_shexp.weight", s.expert_ff, s.width, scale=1.0)
        w.noise(f"{block}.ffn_down_shexp.weight", s.width, s.expert_ff)


def _qwen2(w: Writer, block: str, layer: int) -> None:
    w.norm(f"{block}.ffn_norm", w.sizes.width)
    _attention(w, block, gated=False, bias=True, normed=False)
    _dense(w, block)


def _qwen3(w: Writer, block: str, layer: int) -> None:
    w.norm(f"{block}.ffn_norm", w.sizes.width)
    _attention(w, block, gated=False, bias=False, normed=True)
    _dense(w, block)


def _qwen3moe(w: Writer, block: str, layer: int) -> None:
    w.norm(f"{block}.ffn_norm", w.sizes.width)
    _attention(w, block, gated=False, bias=False, normed=True)
    _experts(w, block, shared=False)


def _hybrid(w: Writer, block: str, layer: int) -> None:
    w.norm(f"{block}.post_attention_norm", w.sizes.width)
    if (layer + 1) % w.sizes.interval == 0 or layer == w.sizes.layers:
        _attention(w, block, gated=True, bias=False, normed=True)
    else:
        _recurrent(w, block)
    _experts(w, block, shared=True)


_LAYER: dict[str, Callable[[Writer, str, int], None]] = {
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "qwen3moe": _qwen3moe,
    "qwen35moe": _hybrid,
    "qwen3next": _hybrid,
}


def _mtp(w: Writer, block: str) -> None:
    width = w.sizes.width
    project = w.random.standard_normal((width, 2 * width)) * 0.05
    project[:, :width] += np.eye(width)
    w.add(f"{block}.nextn.eh_proj.weight", project)
    for name in ("enorm", "hnorm", "shared_head_norm"):
        w.norm(f"{block}.nextn.{name}", width)


def write(path: Path, architecture: str, sizes: Sizes | None = None) -> Path:
    """Write a model of the architecture; qwen35moe has an MTP head, as the published files do."""
    s = sizes or Sizes()
    w = Writer(path, architecture, s)
    mtp = architecture == "qwen35moe"
    _metadata(w, mtp)
    size = _vocabulary(w)
    embedding = w.random.standard_normal((size, s.width))
    perm = np.arange(size)
    perm[:256] = w.random.permutation(256)
    head = np.zeros_like(embedding)
    head[perm] = embedding
    head[256:] *= 0.3  # control and unused tokens stay rare
    w.add("token_embd.weight", embedding)
    w.add("output.weight", head)
    w.norm("output_norm", s.width)
    for layer in range(s.layers + mtp):
        w.norm(f"blk.{layer}.attn_norm", s.width)
        _LAYER[architecture](w, f"blk.{layer}", layer)
    if mtp:
        _mtp(w, f"blk.{s.layers}")
    w.file.write_header_to_file()
    w.file.write_kv_data_to_file()
    w.file.write_tensors_to_file()
    w.file.close()
    return path
