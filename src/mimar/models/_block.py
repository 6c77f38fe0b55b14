"""One layer: token mixer and feed-forward part around the residual stream."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce

import torch
from torch import Tensor, nn

from mimar.models._attention import Attention
from mimar.models._cache import LayerCache
from mimar.models._convolution import Convolution
from mimar.models._feed_forward import make_feed_forward
from mimar.models._linear_attention import LinearAttention
from mimar.models._positions import Positions
from mimar.space import Architecture, Block, Mixer

NORM_EPS = 1e-5


class DecoderBlock(nn.Module):
    """Adds its parts to the residual stream x (batch, tokens, hidden).

    With a part f and its norm n: pre x + f(n(x)); post n(x + f(x)); sandwich x + n_out(f(n_in(x))). Sequential: first
    the mixer, then the feed-forward part, each with its own norm `mixer_norm`, `feed_forward_norm` (sandwich: two,
    `…_norm_in` and `…_norm_out`). Parallel: f is the sum of both under one `block_norm`. A part that is ``none`` is
    left out, in a sequential block with its norm. Dropout acts on what is added to the stream.
    """

    def __init__(self, block: Block, arch: Architecture) -> None:
        super().__init__()
        self.placement = arch.norm_placement
        self.parallel = arch.topology == "parallel"
        self.mixer = make_mixer(block.mixer, arch)
        self.feed_forward = make_feed_forward(block.feed_forward, arch.hidden_size)
        self.dropout = nn.Dropout(arch.dropout)
        for name in _norm_names(block, arch):
            self.add_module(name, make_norm(arch))

    def forward(self, x: Tensor, positions: Positions, memory: LayerCache | None) -> Tensor:
        """The stream after this layer."""
        parts: list[tuple[str, Callable[[Tensor], Tensor]]] = []
        if self.mixer is not None:
            parts.append(("mixer_norm", partial(self.mixer, positions=positions, memory=memory)))
        if self.feed_forward is not None:
            parts.append(("feed_forward_norm", self.feed_forward))
        if self.parallel:
            return self._add(x, "block_norm", lambda normed: reduce(torch.add, (part(normed) for _, part in parts)))
        for norm, part in parts:
            x = self._add(x, norm, part)
        return x

    def _add(self, x: Tensor, norm: str, part: Callable[[Tensor], Tensor]) -> Tensor:
        """x plus the part of it, with the norm of that name where the placement puts it."""
        if self.placement == "post":
            return self.get_submodule(norm)(x + self.dropout(part(x)))
        if self.placement == "pre":
            return x + self.dropout(part(self.get_submodule(norm)(x)))
        inside = part(self.get_submodule(f"{norm}_in")(x))
        return x + self.dropout(self.get_submodule(f"{norm}_out")(inside))


def make_mixer(mixer: Mixer, arch: Architecture) -> nn.Module | None:
    """The module of `mixer`; None when there is none."""
    if mixer.kind == "none":
        return None
    if mixer.kind == "linear":
        return LinearAttention(mixer, arch.hidden_size)
    if mixer.kind == "convolution":
        return Convolution(mixer, arch.hidden_size)
    return Attention(mixer, arch)


def make_norm(arch: Architecture) -> nn.Module:
    """RMSNorm (weight) or LayerNorm (weight and bias) over the hidden features, eps 1e-5."""
    return (nn.RMSNorm if arch.norm == "rmsnorm" else nn.LayerNorm)(arch.hidden_size, eps=NORM_EPS)


def _norm_names(block: Block, arch: Architecture) -> list[str]:
    names = ["block_norm"] if arch.topology == "parallel" else []
    if not names and block.mixer.kind != "none":
        names.append("mixer_norm")
    if arch.topology == "sequential" and block.feed_forward.kind != "none":
        names.append("feed_forward_norm")
    ends = ("_in", "_out") if arch.norm_placement == "sandwich" else ("",)
    return [name + end for name in names for end in ends]
