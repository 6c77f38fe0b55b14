"""A parent whose layers can be cut at any size: the most important channels and heads come first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from mimar.elastic._forward import Rotary, channels, mixed_values, rotary
from mimar.elastic._importance import Refit, elimination_order
from mimar.elastic._parent import Attention, Facts, GatedMLP, Layer, Parent, both_parts
from mimar.elastic._sensitivity import Sensitivity, add_moments, root, sensitivities
from mimar.elastic._subnetwork import SubNetwork

SEQUENCES: Final = 4
"""Of the calibration text that go through a layer at a time."""

DIFFERENTIATED: Final = 16
"""Sequences of it, at most, that gradients are taken on: these cost more and settle earlier than second moments."""


@dataclass(frozen=True, eq=False, slots=True)
class SuperNetwork:
    """parent: the same function as before, kv heads and channels of each layer the most important first.

    outputs, downs: of each layer, the weights behind heads and channels that make up for those that are gone.
    expected: of each layer, what it should cost, in nats a token, to keep 0, 1, … kv heads and 0, 1, … channels.
    tuned_from: the parent before it was tuned together with its sub-networks, where it was.
    """

    parent: Parent
    outputs: tuple[Refit, ...]
    downs: tuple[Refit, ...]
    expected: tuple[tuple[Tensor, Tensor], ...] = ()
    tuned_from: Parent | None = None

    @property
    def original(self) -> Parent:
        """What sub-networks should stay near to: the parent before it was tuned."""
        return self.tuned_from or self.parent

    @staticmethod
    def of(parent: Parent, ids: Tensor, texts: int = 1) -> SuperNetwork:
        """Order the layers of `parent` by what the text `ids` (sequences, tokens) makes of them: first come those whose
        loss would change the model's answers most. texts: how many take turns in `ids`.
        """
        some = _of_each(ids, texts)
        with torch.no_grad():
            found = list(_ordered(parent, ids, sensitivities(parent, some)))
        layers, outputs, downs, expected = zip(*found, strict=True)
        return SuperNetwork(replace(parent, layers=layers), outputs, downs, expected)

    def layer(self, number: int, kv_heads: int, intermediate: int) -> Layer:
        """Layer `number` with its first heads and channels; what is not re-fitted is a view of the parent."""
        whole, refits = self.parent.layers[number], (self.outputs[number], self.downs[number])
        return cut_layer(whole, (kv_heads, intermediate), self.parent.facts.head_size, refits)

    def layers(self, sub: SubNetwork) -> Iterator[Layer]:
        """Of `sub`, those that are dropped left out."""
        return (self.layer(number, *sub.sizes[number]) for number in sub.kept_layers)


def _of_each(ids: Tensor, texts: int) -> Tensor:
    """About `DIFFERENTIATED` of the sequences, as many of each text, from all over it."""
    share = max(1, DIFFERENTIATED // texts)
    return torch.cat([own[:: -(-len(own) // share)] for own in (ids[text::texts] for text in range(texts))])


class Weights(Protocol):
    """Gives the weights of the first `count` inputs of a projection."""

    def weights(self, count: int) -> Tensor:
        """(outputs, count)."""
        ...


def cut_layer(whole: Layer, sizes: tuple[int, int], head_size: int, refits: tuple[Weights, Weights]) -> Layer:
    """The first kv heads and channels of a layer. refits: of its output and its down projection."""
    attention, mlp, (kv_heads, intermediate) = whole.attention, whole.mlp, sizes
    if attention is not None and kv_heads * head_size < len(attention.key):
        attention = _first_heads(attention, kv_heads, head_size, refits[0]) if kv_heads else None
    if mlp is not None and intermediate < len(mlp.up):
        mlp = _first_channels(mlp, intermediate, refits[1]) if intermediate else None
    return Layer(attention, mlp)


def _first_heads(part: Attention, kv_heads: int, size: int, refit: Weights) -> Attention:
    narrow = kv_heads * size
    wide = narrow * (len(part.query) // len(part.key))
    ends = (wide, narrow, narrow)
    biases = tuple(None if bias is None else bias[:end] for bias, end in zip(part.biases[:3], ends, strict=True))
    return replace(
        part,
        query=part.query[:wide],
        key=part.key[:narrow],
        value=part.value[:narrow],
        output=refit.weights(wide),
        biases=(*biases, part.biases[3]),
    )


def _first_channels(part: GatedMLP, intermediate: int, refit: Weights) -> GatedMLP:
    return GatedMLP(part.norm, part.gate[:intermediate], part.up[:intermediate], refit.weights(intermediate))


Ordered = tuple[Layer, Refit, Refit, tuple[Tensor, Tensor]]


def _ordered(parent: Parent, ids: Tensor, sensitivity: tuple[Sensitivity, ...]) -> Iterator[Ordered]:
    """Layer after layer: what the stream makes of it, its order, and the stream behind it."""
    facts, turn = parent.facts, rotary(parent.facts, parent.config, ids.shape[1])
    streams = [F.embedding(batch, parent.embedding) for batch in ids.split(SEQUENCES)]
    for layer, behind in zip(parent.layers, sensitivity, strict=True):
        whole_attention, whole_mlp = both_parts(layer)
        attention, output = _ordered_heads(whole_attention, streams, behind.attention, (turn, facts))
        mlp, down = _ordered_channels(whole_mlp, streams, behind.mlp, facts)
        features = len(attention.query) // len(attention.key) * facts.head_size
        expected = output.losses(behind.attention)[::features], down.losses(behind.mlp)
        yield Layer(attention, mlp), output, down, expected


def _ordered_heads(
    part: Attention, streams: list[Tensor], sensitivity: Tensor, how: tuple[Rotary, Facts]
) -> tuple[Attention, Refit]:
    """Reorders, and moves `streams` behind the attention."""
    turn, facts = how
    moments = torch.zeros(part.output.shape[1], part.output.shape[1])
    for number, stream in enumerate(streams):
        mixed = mixed_values(part, stream, turn, facts)
        add_moments(moments, mixed)
        streams[number] = stream + F.linear(mixed, part.output, part.biases[3])
    moments /= sum(stream.shape[:2].numel() for stream in streams)
    group = len(part.query) // len(part.key)
    order = elimination_order(moments, root(sensitivity) @ part.output.double(), group * facts.head_size)
    narrow, wide = (_spread(order, count * facts.head_size) for count in (1, group))
    reordered = replace(
        part,
        query=part.query[wide],
        key=part.key[narrow],
        value=part.value[narrow],
        output=part.output[:, wide],
        biases=(
            *(_taken(b, at) for b, at in zip(part.biases[:3], (wide, narrow, narrow), strict=True)),
            part.biases[3],
        ),
    )
    return reordered, Refit.of(moments[wide][:, wide], reordered.output)


def _ordered_channels(
    part: GatedMLP, streams: list[Tensor], sensitivity: Tensor, facts: Facts
) -> tuple[GatedMLP, Refit]:
    """Reorders, and moves `streams` behind the feed-forward part."""
    moments = torch.zeros(len(part.up), len(part.up))
    for number, stream in enumerate(streams):
        inner = channels(part, stream, facts)
        add_moments(moments, inner)
        streams[number] = stream + F.linear(inner, part.down)
    moments /= sum(stream.shape[:2].numel() for stream in streams)
    order = elimination_order(moments, root(sensitivity) @ part.down.double())
    reordered = GatedMLP(part.norm, part.gate[order], part.up[order], part.down[:, order])
    return reordered, Refit.of(moments[order][:, order], reordered.down)


def _spread(order: Tensor, size: int) -> Tensor:
    """Numbers of groups → numbers of their features."""
    return (order[:, None] * size + torch.arange(size)).flatten()


def _taken(bias: Tensor | None, at: Tensor) -> Tensor | None:
    return None if bias is None else bias[at]
