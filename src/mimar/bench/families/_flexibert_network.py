"""FlexiBERT encoders as modules. Imports torch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimar.bench.families._embedding import TokenEmbedding
from mimar.bench.families._flexibert import EMBEDDING_SIZE, TRANSFORMS, FlexiBert, FlexiBertLayer


class Attention(nn.Module):
    """Softmax attention over all tokens; ``WMA`` puts queries through one more matrix (Luong et al., 2015)."""

    def __init__(self, layer: FlexiBertLayer, hidden: int) -> None:
        super().__init__()
        self.heads = layer.num_heads
        self.query, self.key, self.value, self.output = (nn.Linear(hidden, hidden, bias=False) for _ in range(4))
        self.weighting = nn.Linear(hidden, hidden, bias=False) if layer.operation == "WMA" else nn.Identity()
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, tokens, hidden) → the same shape."""
        query, key, value = self.weighting(self.query(x)), self.key(x), self.value(x)
        return self.output(attend(query, key, value, self.heads, self.softmax).flatten(2))


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, softmax: nn.Module) -> Tensor:
    """softmax(QKᵀ / √size) V; queries, keys, values (batch, tokens, heads · size) → (batch, tokens, heads, size)."""
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    return (softmax(scores) @ value).transpose(1, 2)


class DynamicSpanConvolution(nn.Module):
    """Mixed attention of ConvBERT (Jiang et al., 2020, section 3): half of the heads attend, the other half convolve.

    Each head and token has its own kernel: softmax over taps of a linear map of query · separable convolution of x.
    """

    def __init__(self, layer: FlexiBertLayer, hidden: int) -> None:
        super().__init__()
        self.heads = layer.attention_heads
        self.taps = nn.Parameter(torch.empty(hidden, layer.kernel_size))
        wide = self.heads * (hidden // layer.num_heads)
        self.query, self.key, self.value, self.pointwise, self.span = (
            nn.Linear(hidden, wide, bias=False) for _ in range(5)
        )
        self.kernel = nn.Linear(wide, self.heads * layer.kernel_size, bias=False)
        self.output = nn.Linear(2 * wide, hidden, bias=False)
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, tokens, hidden) → the same shape."""
        query = self.query(x)
        attended = attend(query, self.key(x), self.value(x), self.heads, self.softmax)
        return self.output(torch.cat([attended, self._convolved(x, query)], dim=2).flatten(2))

    def _convolved(self, x: Tensor, query: Tensor) -> Tensor:
        """(batch, tokens, heads, size)."""
        hidden, size = self.taps.shape
        local = F.conv1d(x.transpose(1, 2), self.taps[:, None], padding=size // 2, groups=hidden).transpose(1, 2)
        kernels = self.kernel(self.pointwise(local) * query).unflatten(-1, (self.heads, size)).softmax(dim=-1)
        padded = F.pad(self.span(x), (0, 0, size // 2, size // 2))
        windows = padded.unfold(1, size, 1).unflatten(2, (self.heads, -1))
        return (windows @ kernels[..., None]).squeeze(-1)


class LinearTransform(nn.Module):
    """A linear layer, then for each head a two-dimensional transform over tokens and features, without scaling.

    ``DFT`` keeps the real part, as FNet (Lee-Thorp et al., 2021) does; ``DCT`` is of type II.
    """

    def __init__(self, layer: FlexiBertLayer, hidden: int) -> None:
        super().__init__()
        self.heads = layer.num_heads
        self.fourier = layer.operation == "DFT"
        self.input = nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, tokens, hidden) → the same shape."""
        parts = self.input(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        if self.fourier:
            mixed = torch.fft.fft2(parts).real
        else:
            mixed = cosines(parts.shape[-2], x) @ parts @ cosines(parts.shape[-1], x).T
        return mixed.transpose(1, 2).flatten(2)


def cosines(size: int, like: Tensor) -> Tensor:
    """Matrix (size, size) of the cosine transform of type II: 2 cos(π k (2n + 1) / 2 size), k rows, n columns."""
    steps = torch.arange(size, device=like.device, dtype=like.dtype)
    return 2 * torch.cos(torch.pi / (2 * size) * steps[:, None] * (2 * steps + 1))


class StackedFeedForward(nn.Module):
    """Linear layers with GELU between them, one token at a time."""

    def __init__(self, layer: FlexiBertLayer, hidden: int) -> None:
        super().__init__()
        widths = (hidden, *layer.feed_forward)
        self.inner = nn.ModuleList(nn.Linear(before, after, bias=False) for before, after in pairwise(widths))
        self.activation = nn.GELU()
        self.output = nn.Linear(widths[-1], hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (…, hidden) → the same shape."""
        for linear in self.inner:
            x = self.activation(linear(x))
        return self.output(x)


class EncoderLayer(nn.Module):
    """n(y + ffn(y)) with y = n(x + mixer(x)); y = mixer(x) for a linear transform."""

    def __init__(self, layer: FlexiBertLayer, hidden: int) -> None:
        super().__init__()
        self.transform = layer.operation in TRANSFORMS
        make = LinearTransform if self.transform else DynamicSpanConvolution if layer.operation == "DSC" else Attention
        self.mixer = make(layer, hidden)
        self.mixer_norm = nn.Identity() if self.transform else nn.LayerNorm(hidden)
        self.feed_forward = StackedFeedForward(layer, hidden)
        self.feed_forward_norm = nn.LayerNorm(hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, tokens, hidden) → the same shape."""
        mixed = self.mixer(x) if self.transform else self.mixer_norm(x + self.mixer(x))
        return self.feed_forward_norm(mixed + self.feed_forward(mixed))


class Encoder(nn.Module):
    """Token ids (batch, tokens) → a logit for each token that it was replaced, (batch, tokens)."""

    def __init__(self, shape: FlexiBert, vocabulary: int, positions: int) -> None:
        super().__init__()
        hidden = shape.hidden_size
        wider = nn.Identity() if hidden == EMBEDDING_SIZE else nn.Linear(EMBEDDING_SIZE, hidden, bias=False)
        table = TokenEmbedding(vocabulary, EMBEDDING_SIZE, EMBEDDING_SIZE, positions)
        self.embedding = nn.Sequential(table, nn.LayerNorm(EMBEDDING_SIZE), wider)
        self.blocks = nn.ModuleList(EncoderLayer(layer, hidden) for layer in shape.encoder_layers)
        self.head = nn.Sequential(nn.Linear(hidden, hidden, bias=False), nn.GELU(), nn.Linear(hidden, 1, bias=False))

    def hidden_states(self, x: Tensor) -> Tensor:
        """Embeddings (batch, tokens, hidden) → final states, same shape."""
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, token_ids: Tensor) -> Tensor:
        """Logits of the discriminator."""
        return self.head(self.hidden_states(self.embedding(token_ids))).squeeze(-1)
