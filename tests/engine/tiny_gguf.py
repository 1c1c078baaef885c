"""Writes a tiny hybrid qwen35 GGUF with an MTP head, so that the real engine can be tested.

The weights are random, but the output head is a permuted copy of the embedding: token x mostly
predicts `perm[x]`, and so does the MTP head. `noise` scales what the layers add to that, hence how
often trunk and head disagree: acceptance is neither 0 nor 1, and a wrong recurrent state after a
rollback changes the tokens.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

MERGES = ["t h", "th e", "i n", "r e", "e r"]
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>")
CHATML = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
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
    context: int = 4096
    mtp: bool = True
    noise: float = 0.35
    seed: int = 7
    quantised: bool = False
    template: str = CHATML


def byte_tokens() -> list[str]:
    """The GPT-2 byte alphabet in byte order."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(b) if b in keep else chr(next(extra)) for b in range(256)]


class _Writer:
    def __init__(self, path: Path, shape: Shape) -> None:
        self.file = gguf.GGUFWriter(path, "qwen35")
        self.shape = shape
        self.random = np.random.default_rng(shape.seed)

    def add(self, name: str, data: Any, *, exact: bool = False) -> None:
        data = np.ascontiguousarray(data, dtype=np.float32)
        if self.shape.quantised and data.ndim == 2 and not exact:
            kind = gguf.GGMLQuantizationType.Q8_0
            self.file.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
        else:
            self.file.add_tensor(name, data)

    def matrix(self, name: str, rows: int, columns: int, scale: float | None = None) -> None:
        scale = self.shape.noise if scale is None else scale
        data = self.random.standard_normal((rows, columns)) * scale / np.sqrt(columns)
        self.add(f"{name}.weight", data)

    def ones(self, name: str, size: int) -> None:
        self.add(f"{name}.weight", 1 + 0.1 * self.random.standard_normal(size))


def _metadata(w: _Writer, vocabulary: list[str]) -> None:
    s, file = w.shape, w.file
    file.add_block_count(s.layers + s.mtp)
    file.add_context_length(s.context)
    file.add_embedding_length(s.width)
    file.add_feed_forward_length(s.ff)
    file.add_head_count(s.heads)
    file.add_head_count_kv(s.kv_heads)
    file.add_key_length(s.head)
    file.add_value_length(s.head)
    file.add_layer_norm_rms_eps(1e-6)
    file.add_rope_dimension_count(16)
    file.add_rope_dimension_sections([4, 2, 2, 0])
    file.add_rope_freq_base(10000.0)
    file.add_ssm_conv_kernel(s.conv)
    file.add_ssm_state_size(s.state)
    file.add_ssm_group_count(s.groups)
    file.add_ssm_time_step_rank(s.groups)
    file.add_ssm_inner_size(s.state * s.groups)
    file.add_full_attention_interval(s.interval)
    if s.mtp:
        file.add_nextn_predict_layers(1)
    add_vocabulary(file, vocabulary, pre="qwen35", merges=MERGES, template=s.template)


def vocabulary_of(size: int) -> list[str]:
    """Bytes and specials, filled up to a multiple of `size`."""
    tokens = [*byte_tokens(), *SPECIALS]
    while len(tokens) % size:
        tokens.append(f"[unused{len(tokens)}]")
    return tokens


def add_vocabulary(
    file: Any, tokens: list[str], *, pre: str, merges: list[str], template: str = CHATML
) -> None:
    """Tokenizer and chat template of a file."""
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre(pre)
    file.add_token_list(tokens)
    file.add_token_types([control if t in SPECIALS else normal for t in tokens])
    file.add_token_merges(merges)
    file.add_eos_token_id(tokens.index("<|im_end|>"))
    file.add_pad_token_id(tokens.index("<|pad|>"))
    file.add_add_bos_token(False)
    file.add_chat_template(template)


def _feed_forward(w: _Writer, block: str) -> None:
    s = w.shape
    w.ones(f"{block}.attn_norm", s.width)
    w.ones(f"{block}.post_attention_norm", s.width)
    w.matrix(f"{block}.ffn_gate", s.ff, s.width, 1.0)
    w.matrix(f"{block}.ffn_up", s.ff, s.width, 1.0)
    w.matrix(f"{block}.ffn_down", s.width, s.ff)


def _attention(w: _Writer, block: str) -> None:
    s = w.shape
    w.matrix(f"{block}.attn_q", 2 * s.heads * s.head, s.width, 2.0)
    w.matrix(f"{block}.attn_k", s.kv_heads * s.head, s.width, 2.0)
    w.matrix(f"{block}.attn_v", s.kv_heads * s.head, s.width, 2.0)
    w.matrix(f"{block}.attn_output", s.width, s.heads * s.head, 4 * s.noise)
    w.ones(f"{block}.attn_q_norm", s.head)
    w.ones(f"{block}.attn_k_norm", s.head)


def _recurrent(w: _Writer, block: str) -> None:
    s = w.shape
    inner = s.state * s.groups
    w.matrix(f"{block}.attn_qkv", 3 * inner, s.width, 1.0)
    w.matrix(f"{block}.attn_gate", inner, s.width, 1.0)
    kernel = w.random.standard_normal((3 * inner, s.conv)) * 0.5
    w.add(f"{block}.ssm_conv1d.weight", kernel, exact=True)
    w.add(f"{block}.ssm_dt.bias", w.random.standard_normal(s.groups))
    w.add(f"{block}.ssm_a", -np.exp(w.random.standard_normal(s.groups) - 2))
    w.matrix(f"{block}.ssm_beta", s.groups, s.width, 1.0)
    w.matrix(f"{block}.ssm_alpha", s.groups, s.width, 1.0)
    w.ones(f"{block}.ssm_norm", s.state)
    w.matrix(f"{block}.ssm_out", s.width, inner, 4 * s.noise)


def _mtp(w: _Writer, block: str) -> None:
    s = w.shape
    _attention(w, block)
    _feed_forward(w, block)
    project = w.random.standard_normal((s.width, 2 * s.width)) * 0.05
    project[:, : s.width] += np.eye(s.width)
    w.add(f"{block}.nextn.eh_proj.weight", project)
    for name in ("enorm", "hnorm", "shared_head_norm"):
        w.ones(f"{block}.nextn.{name}", s.width)


def write(path: Path, shape: Shape | None = None) -> Path:
    """Write the model; the file is a few hundred KB."""
    s = shape or Shape()
    w = _Writer(path, s)
    vocabulary = [*byte_tokens(), "th", "the", "in", "re", "er", *SPECIALS]
    while len(vocabulary) % 32:
        vocabulary.append(f"[unused{len(vocabulary)}]")
    _metadata(w, vocabulary)
    size = len(vocabulary)
    embedding = w.random.standard_normal((size, s.width))
    ordinary = 261
    perm = np.arange(size)
    perm[:ordinary] = w.random.permutation(ordinary)
    head = np.zeros_like(embedding)
    head[perm] = embedding
    head[ordinary:] *= 0.3  # specials and unused tokens stay rare
    w.add("token_embd.weight", embedding)
    w.add("output.weight", head)
    w.ones("output_norm", s.width)
    for layer in range(s.layers):
        block = f"blk.{layer}"
        _feed_forward(w, block)
        full = (layer + 1) % s.interval == 0
        (_attention if full else _recurrent)(w, block)
    if s.mtp:
        _mtp(w, f"blk.{s.layers}")
    w.file.write_header_to_file()
    w.file.write_kv_data_to_file()
    w.file.write_tensors_to_file()
    w.file.close()
    return path
