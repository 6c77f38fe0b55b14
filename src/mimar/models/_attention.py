"""Softmax attention: multi-head, grouped-query, multi-query; full, sliding window or block-sparse."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimar.models._cache import LayerCache
from mimar.models._positions import Positions, alibi_slopes, first_visible, rotate
from mimar.space import Architecture, Mixer


class HeadedMixer(nn.Module):
    """The four projections every mixer with heads has: query, key, value, output; none has a bias."""

    def __init__(self, mixer: Mixer, hidden: int) -> None:
        super().__init__()
        self.mixer = mixer
        self.query = nn.Linear(hidden, mixer.num_heads * mixer.head_size, bias=False)
        self.key = nn.Linear(hidden, mixer.num_kv_heads * mixer.head_size, bias=False)
        self.value = nn.Linear(hidden, mixer.num_kv_heads * mixer.head_size, bias=False)
        self.output = nn.Linear(mixer.num_heads * mixer.head_size, hidden, bias=False)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of x (batch, tokens, hidden), each (batch, its heads, tokens, head_size)."""
        query, key, value = (
            projection(x).unflatten(-1, (-1, self.mixer.head_size)).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        return query, key, value

    def merge(self, heads: Tensor) -> Tensor:
        """Output projection of (batch, heads, tokens, head_size) to (batch, tokens, hidden)."""
        return self.output(heads.transpose(1, 2).flatten(2))


class Attention(HeadedMixer):
    """softmax(QKᵀ · head_size^−½ + bias) V over the positions a token may see; x (batch, tokens, hidden) → the same.

    Query head h reads kv head h // (heads / kv heads) (Ainslie et al., GQA, 2023). ``sliding_window``: a token sees
    the last `window` tokens, itself included. ``block_sparse``: it sees its own block of `window` tokens, up to
    itself, and the block before. The bias is ALiBi's −slope · distance, or nothing. Kernel ``math`` writes the
    softmax out and can be differentiated twice; ``flash`` leaves it to torch.
    """

    def __init__(self, mixer: Mixer, arch: Architecture) -> None:
        super().__init__(mixer, arch.hidden_size)
        self.kernel = arch.attention_kernel
        self.rope = arch.position == "rope"
        self.slopes = alibi_slopes(mixer.num_heads) if arch.position == "alibi" else []
        self.softmax = nn.Softmax(dim=-1)  # a module, so that its probabilities can be watched; kernel math only

    def forward(self, x: Tensor, positions: Positions, memory: LayerCache | None) -> Tensor:
        """Mix the tokens of x, and with them those that `memory` holds; `memory` then holds the new ones too."""
        query, key, value = self.project(x)
        if self.rope:
            query, key = (rotate(part, positions.rotary[self.mixer.head_size]) for part in (query, key))
        if memory is not None:
            key, value = self._remember(key, value, positions, memory)
        groups = self.mixer.num_heads // self.mixer.num_kv_heads
        if groups > 1:
            key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
        return self.merge(self._attend(query, key, value, positions))

    def _remember(self, key: Tensor, value: Tensor, positions: Positions, memory: LayerCache) -> tuple[Tensor, Tensor]:
        """Keys and values with the remembered ones before them; keeps those that the next token can see."""
        if memory.tensors:
            key, value = (torch.cat(pair, dim=2) for pair in zip(memory.tensors, (key, value), strict=True))
        following = positions.start + positions.count
        unseen = key.shape[2] - (following - max(0, first_visible(self.mixer, following)))
        memory.keep(key[:, :, unseen:], value[:, :, unseen:])
        return key, value

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, positions: Positions) -> Tensor:
        if self.kernel == "math":
            scores = query @ key.transpose(-2, -1) * self.mixer.head_size**-0.5
            return self.softmax(scores + self._bias(query, key, positions)) @ value
        if self.slopes:
            bias = self._bias(query, key, positions)
            return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        if query.shape[2] == 1:  # The memory was trimmed to what this one token sees.
            return F.scaled_dot_product_attention(query, key, value)
        last = positions.start + positions.count - 1
        if positions.start == 0 and first_visible(self.mixer, last) <= 0:
            return F.scaled_dot_product_attention(query, key, value, is_causal=True)
        visible = self._visible(key, positions)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=visible)

    def _visible(self, key: Tensor, positions: Positions) -> Tensor:
        """Which of the keys each new token sees: booleans (tokens, keys)."""
        at, keys = self._places(key, positions)
        return (keys <= at) & (keys >= first_visible(self.mixer, at))

    def _bias(self, query: Tensor, key: Tensor, positions: Positions) -> Tensor:
        """What is added to the scores: −∞ where nothing is seen, ALiBi elsewhere; (heads or 1, tokens, keys)."""
        at, keys = self._places(key, positions)
        slopes = torch.tensor(self.slopes or [0.0], device=key.device, dtype=query.dtype)
        bias = slopes[:, None, None] * (keys - at)
        return bias.masked_fill(~self._visible(key, positions), float("-inf"))

    def _places(self, key: Tensor, positions: Positions) -> tuple[Tensor, Tensor]:
        """Positions of the new tokens (tokens, 1) and of all keys (keys,), of which the new ones are the last."""
        end = positions.start + positions.count
        at = torch.arange(positions.start, end, device=key.device)[:, None]
        return at, torch.arange(end - key.shape[2], end, device=key.device)
