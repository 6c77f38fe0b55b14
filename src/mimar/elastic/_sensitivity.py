"""How much the model's answers depend on each direction of its stream."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mimar.elastic._forward import Rotary, logits, rotary, run_layer, streams_of
from mimar.elastic._parent import Facts, Layer, Parent


@dataclass(frozen=True, eq=False, slots=True)
class Sensitivity:
    """Behind the attention and behind the feed-forward part of a layer, each (hidden, hidden).

    A change δ of the stream at one token takes the model's answers δᵀ S δ / 2 nats away from what they were (KL), as
    far as changes of different tokens add up: S is the Fisher information, the mean of g gᵀ over tokens, where g is the
    gradient of the log-probability of tokens that the model itself draws.
    """

    attention: Tensor
    mlp: Tensor


def sensitivities(parent: Parent, ids: Tensor) -> tuple[Sensitivity, ...]:
    """Of each layer of `parent` on the text `ids` (sequences, tokens); tokens are drawn alike in every run.

    The layers are run again one by one on the way back, so that memory holds the graph of a single one.
    """
    hidden = parent.arch.hidden_size
    found = [Sensitivity(torch.zeros(hidden, hidden), torch.zeros(hidden, hidden)) for _ in parent.layers]
    turn, generator = rotary(parent.facts, parent.config, ids.shape[1]), torch.Generator().manual_seed(0)
    for row in ids.split(1):
        streams = streams_of(parent, row, turn)
        gradient = _drawn_gradient(parent, streams.pop(), generator)
        for layer, sums in zip(reversed(parent.layers), reversed(found), strict=True):
            add_moments(sums.mlp, gradient)
            middle, gradient = _before(layer, streams.pop(), gradient, (turn, parent.facts))
            add_moments(sums.attention, middle)
    return tuple(Sensitivity(each.attention / ids.numel(), each.mlp / ids.numel()) for each in found)


def root(matrix: Tensor) -> Tensor:
    """The symmetric square root, in double precision."""
    values, vectors = torch.linalg.eigh(matrix.double())
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def _drawn_gradient(parent: Parent, stream: Tensor, generator: torch.Generator) -> Tensor:
    """Of the log-probabilities of one drawn token after each token, behind the last layer."""
    with torch.enable_grad():
        stream = stream.requires_grad_()
        answers = logits(parent, stream).flatten(0, 1)
        drawn = torch.multinomial(answers.detach().softmax(-1), 1, generator=generator)[:, 0]
        (gradient,) = torch.autograd.grad(F.cross_entropy(answers, drawn, reduction="sum"), stream)
    return gradient


def _before(layer: Layer, stream: Tensor, gradient: Tensor, how: tuple[Rotary, Facts]) -> tuple[Tensor, Tensor]:
    """The gradient behind the attention and before the layer, from that behind the layer."""
    with torch.enable_grad():
        stream = stream.requires_grad_()
        middle = run_layer(replace(layer, mlp=None), stream, *how)
        end = run_layer(replace(layer, attention=None), middle, *how)
        behind_attention, before = torch.autograd.grad(end, (middle, stream), gradient)
    return behind_attention, before


def add_moments(sums: Tensor, rows: Tensor) -> None:
    """Adds the outer products of `rows` (sequences, tokens, size) to `sums` (size, size)."""
    flat = rows.flatten(0, 1)
    sums.addmm_(flat.T, flat)
