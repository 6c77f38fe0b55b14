"""Block scores: what each change of a single part does to the parent, and what they foretell of many together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mimar.elastic._forward import Rotary, logits, rotary, run_layer
from mimar.elastic._judged import SEQUENCES, divergence
from mimar.elastic._space import ElasticSpace
from mimar.elastic._subnetwork import SubNetwork
from mimar.elastic._supernetwork import SuperNetwork

MEASURED: Final = 4
"""Widths of a layer that are measured, evenly spread and none at all among them; those between are interpolated."""

_PARTS: Final = ("attention", "mlp")

Curve = Mapping[int, float]
"""Size of a part → KL(parent ‖ parent with that part cut), nats a token; 0 at its whole size."""


@dataclass(frozen=True)
class BlockScores:
    """attention, mlp: a curve for each layer. spent, naive: layers that were run over the whole text, and that running
    the whole model for each option would have taken.
    """

    attention: tuple[Curve, ...]
    mlp: tuple[Curve, ...]
    spent: float
    naive: float

    def foretold(self, sub: SubNetwork) -> float:
        """KL of `sub` from its parent, nats a token: the sum over its parts (Bercovich et al., "Puzzle", 2024)."""
        return sum(self.of_layer(number, *sizes) for number, sizes in enumerate(sub.sizes))

    def of_layer(self, number: int, kv_heads: int, intermediate: int) -> float:
        """What layer `number` adds at these sizes."""
        return float(self._attention[number](kv_heads) + self._mlp[number](intermediate))

    def to_json(self) -> dict[str, Any]:
        """Plain data: curves as pairs of size and score."""
        curves = {part: [list(map(list, curve.items())) for curve in getattr(self, part)] for part in _PARTS}
        return {**curves, "spent": self.spent, "naive": self.naive}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> BlockScores:
        """Inverse of `to_json`."""
        attention, mlp = (tuple(dict(map(tuple, curve)) for curve in data[part]) for part in _PARTS)
        return BlockScores(attention, mlp, data["spent"], data["naive"])

    @cached_property
    def _attention(self) -> list[_Interpolated]:
        return [_Interpolated.of(curve) for curve in self.attention]

    @cached_property
    def _mlp(self) -> list[_Interpolated]:
        return [_Interpolated.of(curve) for curve in self.mlp]


@dataclass(frozen=True, slots=True)
class _Interpolated:
    """A monotone curve through the roots, which grow with the change itself and not with its square."""

    sizes: tuple[int, ...]
    roots: tuple[float, ...]

    @staticmethod
    def of(curve: Curve) -> _Interpolated:
        sizes = tuple(sorted(curve))
        return _Interpolated(sizes, tuple(max(curve[size], 0.0) ** 0.5 for size in sizes))

    def __call__(self, size: int) -> float:
        from scipy.interpolate import pchip_interpolate

        if size in self.sizes:
            return self.roots[self.sizes.index(size)] ** 2
        return float(np.asarray(pchip_interpolate(self.sizes, self.roots, size)).item()) ** 2


def block_scores(network: SuperNetwork, space: ElasticSpace, ids: Tensor) -> BlockScores:
    """Of every number of kv heads and of `MEASURED` widths of each layer that `space` allows, on `ids`.

    ids: (sequences, tokens). A score begins at its own layer, where the stream of the parent is kept.
    """
    subs = list(_options(space))
    turn = rotary(network.parent.facts, network.parent.config, ids.shape[1])
    sums, run = np.zeros(len(subs)), 0
    with torch.no_grad():
        for batch in ids.split(SEQUENCES):
            streams = _streams(network, batch, turn)
            expected = logits(network.parent, streams[-1]).log_softmax(-1)
            run += len(batch) * (len(streams) - 1)
            for at, (number, sizes) in enumerate(subs):
                stream = _from(network, streams[number], turn, (number, sizes))
                sums[at] += float(divergence(network.parent, expected, stream).sum())
                run += len(batch) * (len(streams) - 1 - number)
    return _collected(space, subs, (sums / len(ids)).tolist(), run / len(ids))


def _options(space: ElasticSpace) -> Iterator[tuple[int, tuple[int, int]]]:
    """Layer and its sizes, where one part of one layer is cut."""
    whole = SubNetwork.whole(space.parent)
    for number, (kv_heads, intermediate) in enumerate(whole.sizes):
        yield from ((number, (less, intermediate)) for less in space.kv_heads[number] if less < kv_heads)
        yield from ((number, (kv_heads, less)) for less in _spread(space.intermediate[number]) if less < intermediate)


def _spread(widths: Sequence[int]) -> list[int]:
    """At most `MEASURED` of the widths below the whole one, evenly spread."""
    below = sorted(widths)[:-1]
    if len(below) <= MEASURED:
        return below
    return [below[round(k * (len(below) - 1) / (MEASURED - 1))] for k in range(MEASURED)]


def _streams(network: SuperNetwork, batch: Tensor, turn: Rotary) -> list[Tensor]:
    """Of the parent, before each layer and behind the last one."""
    found = [F.embedding(batch, network.parent.embedding)]
    for layer in network.parent.layers:
        found.append(run_layer(layer, found[-1], turn, network.parent.facts))
    return found


def _from(network: SuperNetwork, stream: Tensor, turn: Rotary, cut: tuple[int, tuple[int, int]]) -> Tensor:
    """The stream behind the last layer, where one layer is cut."""
    number, sizes = cut
    layers = [network.layer(number, *sizes), *network.parent.layers[number + 1 :]]
    for layer in layers:
        stream = run_layer(layer, stream, turn, network.parent.facts)
    return stream


def _collected(
    space: ElasticSpace, subs: Sequence[tuple[int, tuple[int, int]]], scores: Sequence[float], spent: float
) -> BlockScores:
    whole = SubNetwork.whole(space.parent)
    attention = [{kv_heads: 0.0} for kv_heads in whole.kv_heads]
    mlp = [{intermediate: 0.0} for intermediate in whole.intermediate]
    for (number, (kv_heads, intermediate)), score in zip(subs, scores, strict=True):
        if intermediate == whole.intermediate[number]:
            attention[number][kv_heads] = score
        else:
            mlp[number][intermediate] = score
    return BlockScores(tuple(attention), tuple(mlp), spent, float(len(subs) * space.parent.num_layers))


def without_fragile(space: ElasticSpace, scores: BlockScores, most: float) -> ElasticSpace:
    """`space` without the sizes that alone take the parent further away than `most`, nats a token."""
    layers = range(space.parent.num_layers)
    whole = SubNetwork.whole(space.parent)
    kv_heads = tuple(
        tuple(k for k in space.kv_heads[n] if scores.of_layer(n, k, whole.intermediate[n]) <= most) for n in layers
    )
    widths = tuple(
        tuple(w for w in space.intermediate[n] if scores.of_layer(n, whole.kv_heads[n], w) <= most) for n in layers
    )
    return replace(space, kv_heads=kv_heads, intermediate=widths)
