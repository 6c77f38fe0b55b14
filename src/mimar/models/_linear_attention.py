"""Causal linear attention: a running state instead of a growing list of keys."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mimar.models._attention import HeadedMixer
from mimar.models._cache import LayerCache
from mimar.models._positions import Positions
from mimar.space import Mixer

CHUNK = 64
"""Tokens that are compared pairwise; earlier ones are read from the state. Speed only, no effect on the result."""

EPSILON = 1e-6
"""Added to the normaliser, as the feature map can round to zero."""


class LinearAttention(HeadedMixer):
    """out_t = φ(q_t) Σ_s φ(k_s)ᵀv_s / (φ(q_t) Σ_s φ(k_s)ᵀ + ε) over s ≤ t, with φ(x) = elu(x) + 1 and ε = 10⁻⁶.

    Katharopoulos et al., Transformers are RNNs, 2020, eq. 9–12. Queries are not scaled; RoPE and ALiBi do not apply.
    Query heads share kv heads as in grouped-query attention. x (batch, tokens, hidden) → the same shape.
    """

    def __init__(self, mixer: Mixer, hidden: int) -> None:
        super().__init__(mixer, hidden)

    def forward(self, x: Tensor, positions: Positions, memory: LayerCache | None) -> Tensor:
        """Mix the tokens of x after those that `memory` sums up; `memory` then sums up the new ones too."""
        query, key, value = self.project(x)
        past = memory.tensors[0] if memory is not None and memory.tensors else None
        groups = self.mixer.num_heads // self.mixer.num_kv_heads
        # A value of constant 1 carries the normaliser through the same sums as the values.
        value = F.pad(value, (0, 1), value=1.0)
        grouped = (F.elu(query) + 1).unflatten(1, (-1, groups))
        mixed, state = causal_sums(grouped, F.elu(key) + 1, value, past)
        if memory is not None:
            memory.keep(state)
        mixed = mixed.flatten(1, 2)
        return self.merge(mixed[..., :-1] / (mixed[..., -1:] + EPSILON))


def causal_sums(query: Tensor, key: Tensor, value: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
    """q_t · (past + Σ_{s ≤ t} k_sᵀ v_s) at every t, and that sum after the last token.

    query (batch, kv heads, queries per kv head, tokens, size), key (batch, kv heads, tokens, size), value (batch,
    kv heads, tokens, width), past and the returned sum (batch, kv heads, size, width).
    """
    tokens = key.shape[2]
    chunk = min(CHUNK, tokens)
    fill = (0, 0, 0, -tokens % chunk)  # Zero keys at the end add nothing to any sum.
    query, key, value = (F.pad(part, fill).unflatten(-2, (-1, chunk)) for part in (query, key, value))
    states = (key.transpose(-2, -1) @ value).cumsum(dim=2)
    if past is not None:
        states = states + past.unsqueeze(2)
    first = torch.zeros_like(states[:, :, :1]) if past is None else past.unsqueeze(2)
    before = torch.cat((first, states[:, :, :-1]), dim=2)
    nearby = (query @ key.transpose(-2, -1).unsqueeze(2)).tril()
    mixed = nearby @ value.unsqueeze(2) + query @ before.unsqueeze(2)
    return mixed.flatten(-3, -2)[..., :tokens, :], states[:, :, -1]
