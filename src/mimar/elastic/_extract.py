"""A sub-network as a model of its own, its output weights fitted to what the parent makes of a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mimar.elastic._forward import Rotary, channels, mixed_values, rotary, run_layer
from mimar.elastic._importance import REFIT_DAMPING, damping_level
from mimar.elastic._parent import Facts, Layer, Parent
from mimar.elastic._subnetwork import SubNetwork
from mimar.elastic._supernetwork import SEQUENCES, SuperNetwork


def extract(network: SuperNetwork, sub: SubNetwork) -> Parent:
    """`sub` as a model of its own: the logits are those of its parent with the rest masked."""
    arch = sub.architecture(network.parent.arch)
    return replace(network.parent, arch=arch, layers=tuple(network.layers(sub)))


def extract_fitted(network: SuperNetwork, sub: SubNetwork, ids: Tensor) -> Parent:
    """The same, every output and down projection fitted to the parent's stream, in closed form and layer after layer.

    ids: (sequences, tokens). Each projection sees what the layers before it really deliver, so that it makes up for
    their losses, too: the weights are those of ridge regression on the difference to the parent's stream, drawn to
    those that `extract` gives.
    """
    parent, found = network.parent, list[Layer]()
    with torch.no_grad():
        begin = [F.embedding(batch, parent.embedding) for batch in ids.split(SEQUENCES)]
        own, theirs = list(begin), begin
        turn = rotary(parent.facts, parent.config, ids.shape[1])
        for number, (whole, sizes) in enumerate(zip(parent.layers, sub.sizes, strict=True)):
            middle = [_after_attention(whole, stream, turn, parent.facts) for stream in theirs]
            theirs = [run_layer(replace(whole, attention=None), stream, turn, parent.facts) for stream in middle]
            if any(sizes):
                layer = _fitted_attention(network.layer(number, *sizes), own, middle, (turn, parent.facts))
                found.append(_fitted_mlp(layer, own, theirs, parent.facts))
    return replace(parent, arch=sub.architecture(parent.arch), layers=tuple(found))


def _after_attention(layer: Layer, stream: Tensor, turn: Rotary, facts: Facts) -> Tensor:
    return run_layer(replace(layer, mlp=None), stream, turn, facts)


def _fitted_attention(layer: Layer, own: list[Tensor], theirs: list[Tensor], how: tuple[Rotary, Facts]) -> Layer:
    """With fitted output weights; `own` moves behind the attention."""
    part = layer.attention
    if part is None:
        return layer
    turn, facts = how
    bias = part.biases[3]
    base = own if bias is None else [stream + bias for stream in own]
    weight = _fitted(lambda stream: mixed_values(part, stream, turn, facts), (own, base, theirs), part.output)
    fitted = replace(layer, attention=replace(part, output=weight))
    own[:] = [_after_attention(fitted, stream, turn, facts) for stream in own]
    return fitted


def _fitted_mlp(layer: Layer, own: list[Tensor], theirs: list[Tensor], facts: Facts) -> Layer:
    """With fitted down weights; `own` moves behind the feed-forward part."""
    part = layer.mlp
    if part is None:
        return layer
    weight = _fitted(lambda stream: channels(part, stream, facts), (own, own, theirs), part.down)
    own[:] = [stream + F.linear(channels(part, stream, facts), weight) for stream in own]
    return replace(layer, mlp=replace(part, down=weight))


def _fitted(inner: Callable[[Tensor], Tensor], streams: tuple[list[Tensor], ...], weight: Tensor) -> Tensor:
    """The weight W with which inner(own) Wᵀ comes nearest to theirs − base, drawn to `weight`.

    streams: own, base, theirs.
    """
    moments = torch.zeros(weight.shape[1], weight.shape[1], dtype=torch.float64)
    crossed = torch.zeros(weight.shape[1], weight.shape[0], dtype=torch.float64)
    for own, base, theirs in zip(*streams, strict=True):
        inputs = inner(own).flatten(0, 1)
        moments += (inputs.T @ inputs).double()
        crossed += (inputs.T @ (theirs - base).flatten(0, 1)).double()
    level = damping_level(moments, REFIT_DAMPING)
    system = moments + level * torch.eye(len(moments), dtype=moments.dtype)
    return torch.linalg.solve(system, crossed + level * weight.T.double()).T.to(weight).contiguous()
