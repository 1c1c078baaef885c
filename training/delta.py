"""The gated delta rule in plain torch: chunked for training and prefill, by token for decoding.

Per head, with state S (keys × values), decay exp(g_t) and write strength beta_t:

    S <- exp(g_t) S;  S <- S + k_t (beta_t (v_t - S^T k_t))^T;  o_t = S^T q_t / sqrt(width)

The chunked form solves one unit-triangular system per chunk (the WY representation), so the
sequential part is one step per chunk. Same arithmetic as llama.cpp's `ggml_gated_delta_net`.
"""

import torch
from torch import Tensor

__all__ = ["CHUNK", "chunked", "single"]

CHUNK = 64


def chunked(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Outputs and final state for q, k, v [B, H, T, S], g and beta [B, H, T], all float32.

    `state` is [B, H, S, S] (keys × values), zeros when None. T may be any length: the padding
    added here has k = 0, beta = 0 and g = 0, which leaves the state as it is.
    """
    with torch.autocast(q.device.type, enabled=False):  # the state adds up over the whole row
        return _chunked(q, k, v, g, beta, state)


def _chunked(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    batch, heads, length, width = q.shape
    pad = -length % CHUNK
    if pad:
        q, k, v = (torch.nn.functional.pad(t, (0, 0, 0, pad)) for t in (q, k, v))
        g, beta = (torch.nn.functional.pad(t, (0, pad)) for t in (g, beta))
    q = q * width**-0.5
    q, k, v = (t.reshape(batch, heads, -1, CHUNK, width) for t in (q, k, v))
    g = g.reshape(batch, heads, -1, CHUNK).cumsum(-1)
    beta = beta.reshape(batch, heads, -1, CHUNK, 1)

    upper = torch.ones(CHUNK, CHUNK, dtype=torch.bool, device=q.device).triu(1)
    # Masked before exp: above the diagonal the difference is positive and may overflow.
    decay = (g.unsqueeze(-1) - g.unsqueeze(-2)).masked_fill(upper, float("-inf")).exp()
    k_beta = k * beta
    lower = (k_beta @ k.transpose(-1, -2) * decay).tril(-1)
    grown = g.exp().unsqueeze(-1)
    # Unit-triangular: the solver takes the diagonal as 1 whatever is stored there.
    solved = torch.linalg.solve_triangular(
        lower, torch.cat((v * beta, k_beta * grown), -1), upper=False, unitriangular=True
    )
    fresh, carried = solved.split(width, -1)
    scores = q @ k.transpose(-1, -2) * decay
    q = q * grown
    last = g[..., -1:]
    k = k * (last - g).exp().unsqueeze(-1)
    last = last.exp().unsqueeze(-1)

    if state is None:
        state = q.new_zeros(batch, heads, width, width)
    out = []
    for i in range(q.shape[2]):
        value = fresh[:, :, i] - carried[:, :, i] @ state
        out.append(q[:, :, i] @ state + scores[:, :, i] @ value)
        state = state * last[:, :, i] + k[:, :, i].transpose(-1, -2) @ value
    flat = torch.stack(out, 2).reshape(batch, heads, -1, width)
    return flat[:, :, :length], state


def single(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """The same for one token: q, k, v [B, H, S], g and beta [B, H], state [B, H, S, S]."""
    state = state * g.exp()[..., None, None]
    read = (state * k.unsqueeze(-1)).sum(-2)
    state = state + k.unsqueeze(-1) * ((v - read) * beta.unsqueeze(-1)).unsqueeze(-2)
    return (state * q.unsqueeze(-1)).sum(-2) * q.shape[-1] ** -0.5, state
