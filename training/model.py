"""The `qwen35` hybrid in torch: the same graph llama.cpp runs, weight for weight.

    Mini                 embed -> blocks -> final norm = h -> tied output
      Block              x + mixer(norm x); x + ffn(norm x)
        DeltaNet         conv + silu, l2 norm, gated delta rule, gated norm, out
        Attention        grouped queries, q/k norm, rotary, sigmoid gate per head
      Mtp                eh_proj(enorm(emb x_t) | hnorm(h_{t-1})) -> Block -> norm -> tied output

Norm weights are the plain factor (a GGUF holds them like that), not an offset from one.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config import ModelConfig
from training.delta import chunked, single

__all__ = ["Cache", "Mini"]

# Blocks start small against the embedding, or the token itself is lost in the residual stream
# and attention has nothing clean to copy.
_RESIDUAL = 0.1
_EMBEDDING = 0.05


@dataclass(slots=True)
class Cache:
    """Decoding state: per layer a dict of tensors, and how many tokens they hold."""

    length: int = 0
    layers: list[dict[str, Tensor]] = field(default_factory=list)

    def repeat(self, count: int) -> None:
        """Copy the first sequence's state to `count` sequences."""
        self.pick(torch.zeros(count, dtype=torch.long))

    def pick(self, rows: Tensor) -> None:
        """Keep the sequences `rows` (with repeats), in that order."""
        for layer in self.layers:
            for name, value in layer.items():
                layer[name] = value.index_select(0, rows.to(value.device))


class RmsNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


def _linear(source: int, target: int, gain: float = 0.6) -> nn.Linear:
    layer = nn.Linear(source, target, bias=False)
    nn.init.normal_(layer.weight, std=source**-0.5 * gain)
    return layer


def _rotate(x: Tensor, start: int, config: ModelConfig) -> Tensor:
    """Rotary embedding on the first `rope_dim` channels of x [B, H, T, D]."""
    half = config.rope_dim // 2
    freq = config.rope_base ** (-torch.arange(half, device=x.device) / half)
    angle = torch.arange(start, start + x.shape[-2], device=x.device)[:, None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second, rest = x.split((half, half, x.shape[-1] - 2 * half), -1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos, rest), -1)


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.attn_q = _linear(c.width, 2 * c.heads * c.head_dim)
        self.attn_k = _linear(c.width, c.kv_heads * c.head_dim)
        self.attn_v = _linear(c.width, c.kv_heads * c.head_dim)
        self.attn_output = _linear(c.heads * c.head_dim, c.width, _RESIDUAL)
        self.attn_q_norm = RmsNorm(c.head_dim, c.eps)
        self.attn_k_norm = RmsNorm(c.head_dim, c.eps)

    def project(self, x: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q, k, v [B, heads, T, D] (k and v repeated to all heads) and the gate [B, T, H*D]."""
        c = self.config
        batch, length, _ = x.shape
        q, gate = self.attn_q(x).view(batch, length, c.heads, 2 * c.head_dim).chunk(2, -1)
        k = self.attn_k(x).view(batch, length, c.kv_heads, c.head_dim)
        v = self.attn_v(x).view(batch, length, c.kv_heads, c.head_dim)
        q = _rotate(self.attn_q_norm(q).transpose(1, 2), start, c)
        k = _rotate(self.attn_k_norm(k).transpose(1, 2), start, c)
        groups = c.heads // c.kv_heads
        k = k.repeat_interleave(groups, 1)
        v = v.transpose(1, 2).repeat_interleave(groups, 1)
        return q, k, v, gate.reshape(batch, length, -1)

    def finish(self, mixed: Tensor, gate: Tensor) -> Tensor:
        """Gate and project attention output [B, H, T, D]."""
        return self.attn_output(mixed.transpose(1, 2).flatten(2) * gate.sigmoid())

    def forward(self, x: Tensor, start: int, state: dict[str, Tensor] | None) -> Tensor:
        q, k, v, gate = self.project(x, start)
        if state is not None:
            if start:
                k, v = torch.cat((state["k"], k), 2), torch.cat((state["v"], v), 2)
            state["k"], state["v"] = k, v
        causal = x.shape[1] > 1
        return self.finish(functional.scaled_dot_product_attention(q, k, v, is_causal=causal), gate)


class DeltaNet(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        inner = config.ssm_heads * config.ssm_state
        self.attn_qkv = _linear(config.width, 3 * inner)
        self.attn_gate = _linear(config.width, inner)
        self.ssm_alpha = _linear(config.width, config.ssm_heads)
        self.ssm_beta = _linear(config.width, config.ssm_heads)
        self.ssm_out = _linear(inner, config.width, _RESIDUAL)
        self.ssm_conv1d = nn.Parameter(torch.randn(3 * inner, config.conv) * 0.1)
        self.ssm_norm = RmsNorm(config.ssm_state, config.eps)
        # Decay per token between 0.999 and 0.9 at the start, as Mamba-2 spreads it.
        step = torch.exp(torch.linspace(math.log(1e-3), math.log(0.1), config.ssm_heads))
        self.ssm_dt = nn.Parameter(step + torch.log(-torch.expm1(-step)))
        self.a_log = nn.Parameter(torch.zeros(config.ssm_heads))
        self._recall(inner)

    @torch.no_grad()
    def _recall(self, inner: int) -> None:
        """Start as a memory of what followed each token: an edit is mostly copying.

        Query t is projected like key t + 1, so reading with token x finds what was written one
        after the last x.
        """
        self.attn_qkv.weight[inner : 2 * inner] = self.attn_qkv.weight[:inner]
        self.ssm_conv1d[:inner, -1] += 1
        self.ssm_conv1d[inner : 2 * inner, -2] += 1
        self.ssm_conv1d[2 * inner :, -1] += 1

    def forward(self, x: Tensor, start: int, state: dict[str, Tensor] | None) -> Tensor:
        c = self.config
        batch, length, _ = x.shape
        q, k, v = self._conv(self.attn_qkv(x), start, state)
        g = functional.softplus(self.ssm_alpha(x).float() + self.ssm_dt) * -self.a_log.exp()
        beta = self.ssm_beta(x).float().sigmoid()
        if state is not None and start and length == 1:
            args = [t[:, :, 0] for t in (q, k, v)] + [t[:, 0] for t in (g, beta)]
            mixed, state["s"] = single(*args, state["s"])
            mixed = mixed.unsqueeze(2)
        else:
            before = state["s"] if state is not None and start else None
            mixed, after = chunked(q, k, v, g.transpose(1, 2), beta.transpose(1, 2), before)
            if state is not None:
                state["s"] = after
        gate = self.attn_gate(x).view(batch, length, c.ssm_heads, c.ssm_state)
        mixed = self.ssm_norm(mixed.transpose(1, 2).to(x.dtype)) * functional.silu(gate)
        return self.ssm_out(mixed.flatten(2))

    def _conv(
        self, x: Tensor, start: int, state: dict[str, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Causal depthwise convolution, then q, k (l2-normed), v as float32 [B, H, T, S]."""
        c = self.config
        before = c.conv - 1
        if state is not None and start:
            x = torch.cat((state["c"], x), 1)
        else:
            x = functional.pad(x, (0, 0, before, 0))
        if state is not None:
            state["c"] = x[:, -before:]
        kernel = self.ssm_conv1d.unsqueeze(1).to(x.dtype)
        mixed = functional.conv1d(x.transpose(1, 2), kernel, groups=x.shape[2]).transpose(1, 2)
        heads = functional.silu(mixed).float().unflatten(2, (3, c.ssm_heads, c.ssm_state))
        q, k, v = heads.permute(2, 0, 3, 1, 4).unbind(0)
        q, k = (t * torch.rsqrt(t.square().sum(-1, keepdim=True) + c.eps) for t in (q, k))
        return q, k, v


class Block(nn.Module):
    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attn_norm = RmsNorm(config.width, config.eps)
        self.mixer = DeltaNet(config) if config.recurrent(layer) else Attention(config)
        self.post_attention_norm = RmsNorm(config.width, config.eps)
        self.ffn_gate = _linear(config.width, config.ff)
        self.ffn_up = _linear(config.width, config.ff)
        self.ffn_down = _linear(config.ff, config.width, _RESIDUAL)

    def feed(self, x: Tensor) -> Tensor:
        """x plus its feed-forward part."""
        y = self.post_attention_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(y)) * self.ffn_up(y))

    def forward(self, x: Tensor, start: int, state: dict[str, Tensor] | None) -> Tensor:
        return self.feed(x + self.mixer(self.attn_norm(x), start, state))


class Mtp(nn.Module):
    """The draft head: one attention block fed with the next token and the trunk's last h."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.enorm = RmsNorm(config.width, config.eps)
        self.hnorm = RmsNorm(config.width, config.eps)
        self.eh_proj = _linear(2 * config.width, config.width)
        self.block = Block(config, config.layers)
        self.shared_head_norm = RmsNorm(config.width, config.eps)

    def forward(self, embedded: Tensor, h: Tensor, depth: int) -> list[Tensor]:
        """Head states of drafts 1..depth for every position, each [B, T, width].

        Row t of draft 1 sees token t and h of t-1 (zeros before the first) and predicts t+1.
        Row t of draft j sees the head state of draft j-1 at t-1, as in recursive drafting: its
        attention covers the draft-1 rows up to t-j+1 and its own chain after them, exactly what
        the draft context's cache holds. The first j-1 rows of draft j mean nothing.
        """
        attention = self.block.mixer
        out: list[Tensor] = []
        chain: list[tuple[Tensor, Tensor]] = []
        h = functional.pad(h[:, :-1], (0, 0, 1, 0))
        for step in range(depth):
            x = self.eh_proj(torch.cat((self.enorm(embedded), self.hnorm(h)), -1))
            q, k, v, gate = attention.project(self.block.attn_norm(x), 0)
            chain.append((k, v))
            x = self.block.feed(x + attention.finish(_chain_attention(q, chain), gate))
            out.append(self.shared_head_norm(x))
            if step + 1 < depth:
                h = functional.pad(out[-1][:, :-1], (0, 0, 1, 0))
        return out


def _chain_attention(q: Tensor, chain: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Attention of draft-j rows: draft-1 rows j-1 or more positions back, then own chain."""
    back = len(chain) - 1
    if not back:
        return functional.scaled_dot_product_attention(q, *chain[0], is_causal=True)
    length = q.shape[2]
    scale = q.shape[-1] ** -0.5
    keys, values = chain[0]
    later = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1 - back)
    scores = [(q @ keys.transpose(-1, -2) * scale).masked_fill(later, float("-inf"))]
    own = []
    for j in range(1, back + 1):
        shift = back - j  # row t of this draft continues row t - shift of draft j
        k, v = (functional.pad(c[:, :, : length - shift], (0, 0, shift, 0)) for c in chain[j])
        scores.append((q * k).sum(-1, keepdim=True) * scale)
        own.append(v)
    weights = torch.cat(scores, -1).float().softmax(-1).to(q.dtype)
    mixed = weights[..., :length] @ values
    for j, v in enumerate(own):
        mixed = mixed + weights[..., length + j, None] * v
    return mixed


class Mini(nn.Module):
    """Trunk, tied output and draft head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.vocab, config.width)
        nn.init.normal_(self.token_embd.weight, std=_EMBEDDING)
        self.blocks = nn.ModuleList(Block(config, i) for i in range(config.layers))
        self.output_norm = RmsNorm(config.width, config.eps)
        self.mtp = Mtp(config)

    def forward(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """h [B, T, width], the state after the final norm. With a cache, continue from it."""
        start = cache.length if cache else 0
        if cache is not None and not cache.layers:
            cache.layers = [{} for _ in self.blocks]
        x = self.token_embd(tokens)
        for i, block in enumerate(self.blocks):
            x = block(x, start, cache.layers[i] if cache is not None else None)
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.output_norm(x)

    def drafts(self, tokens: Tensor, h: Tensor, depth: int) -> list[Tensor]:
        """Draft-head states 1..depth (see Mtp.forward)."""
        return self.mtp(self.token_embd(tokens), h, depth)

    def logits(self, h: Tensor) -> Tensor:
        """Scores over the vocabulary, [..., vocab]."""
        return functional.linear(h, self.token_embd.weight.to(h.dtype))
