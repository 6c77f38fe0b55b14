"""Block scores, measured: what each change of a single part does to the parent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from mimar.elastic._block_scores import BlockScores, Curve
from mimar.elastic._forward import Rotary, rotary, run_layer, streams_of
from mimar.elastic._judged import DIVERGENCE, Answers
from mimar.elastic._space import ElasticSpace
from mimar.elastic._subnetwork import SubNetwork
from mimar.elastic._supernetwork import SEQUENCES, SuperNetwork

MEASURED: Final = 2
"""Sizes of each part that are measured, none at all among them."""

TINY: Final = 1e-12


def block_scores(network: SuperNetwork, space: ElasticSpace, ids: Tensor) -> BlockScores:
    """Of every size of each part that `space` allows, on `ids`.

    ids: (sequences, tokens). `MEASURED` sizes of each part are run, beginning at their own layer, where the stream of
    the parent is kept. The others follow the curve that the network expects, times what was measured of it there.
    """
    subs = list(_options(space))
    turn = rotary(network.parent.facts, network.parent.config, ids.shape[1])
    sums, run = np.zeros(len(subs)), 0
    with torch.no_grad():
        for batch in ids.split(SEQUENCES):
            streams = streams_of(network.parent, batch, turn)
            answers = Answers.of(network.parent, streams[-1])
            run += len(batch) * (len(streams) - 1)
            for at, (number, sizes) in enumerate(subs):
                stream = _from(network, streams[number], turn, (number, sizes))
                sums[at] += float(answers.judged(network.parent, stream, batch)[:, :, DIVERGENCE].mean(1).sum())
                run += len(batch) * (len(streams) - 1 - number)
    measured = dict(zip(subs, (sums / len(ids)).tolist(), strict=True))
    return _curves(network, space, measured, run / len(ids))


Cut = tuple[int, tuple[int, int]]
"""A layer and its sizes, where one of its parts is cut."""


def _options(space: ElasticSpace) -> Iterator[Cut]:
    """Those that are measured."""
    whole = SubNetwork.whole(space.parent)
    for number, (kv_heads, intermediate) in enumerate(whole.sizes):
        heads, widths = space.sizes_of(number)
        yield from ((number, (less, intermediate)) for less in _spread(heads))
        yield from ((number, (kv_heads, less)) for less in _spread(widths))


def _spread(sizes: Sequence[int]) -> list[int]:
    """The least size, and others up to the largest, which is left out."""
    below = sorted(sizes)[:-1]
    return sorted({below[k * len(below) // MEASURED] for k in range(MEASURED)}) if below else []


def _from(network: SuperNetwork, stream: Tensor, turn: Rotary, cut: Cut) -> Tensor:
    """The stream behind the last layer, where one layer is cut."""
    number, sizes = cut
    layers = [network.layer(number, *sizes), *network.parent.layers[number + 1 :]]
    for layer in layers:
        stream = run_layer(layer, stream, turn, network.parent.facts)
    return stream


def _curves(network: SuperNetwork, space: ElasticSpace, measured: Mapping[Cut, float], spent: float) -> BlockScores:
    attention, mlp = list[Curve](), list[Curve]()
    for number, (kv_heads, intermediate) in enumerate(SubNetwork.whole(space.parent).sizes):
        by_heads, by_channels = (curve.tolist() for curve in network.expected[number])
        heads, widths = space.sizes_of(number)
        found = {size: measured[number, (size, intermediate)] for size in _spread(heads)}
        attention.append(_curve(heads, by_heads, found))
        found = {size: measured[number, (kv_heads, size)] for size in _spread(widths)}
        mlp.append(_curve(widths, by_channels, found))
    return BlockScores(tuple(attention), tuple(mlp), spent, float(len(measured) * space.parent.num_layers))


def _curve(sizes: Sequence[int], expected: Sequence[float], measured: Mapping[int, float]) -> Curve:
    """Through what was measured; elsewhere what is expected, times the ratio of both, linear between the measured."""
    if not measured:
        return dict.fromkeys(sizes, 0.0)
    known = sorted(measured)
    ratios = [max(measured[size], 0.0) / max(expected[size], TINY) for size in known]
    return {size: expected[size] * float(np.interp(size, known, ratios)) for size in sizes}
