"""What a search has to beat: the usual ways to make a model smaller, each within a number of block parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mimar.elastic._forward import rotary, run_layer
from mimar.elastic._importance import Refit
from mimar.elastic._parent import GatedMLP, Layer, Parent, both_parts
from mimar.elastic._space import WIDTH_STEP, ElasticSpace
from mimar.elastic._subnetwork import SubNetwork
from mimar.elastic._supernetwork import SEQUENCES, SuperNetwork
from mimar.errors import BudgetError

ATTEMPTS: Final = 200


def uniform_width(parent: Parent, most: int, protected: Sequence[int] = (), *, filled: bool = True) -> SubNetwork:
    """Every feed-forward part but for `protected` layers at the same width, the largest within `most` block parameters.
    filled: what is left of these makes some layers, spread evenly, one step wider.

    BudgetError: even the least width is too much.
    """
    whole = SubNetwork.whole(parent.arch)
    widest = max(whole.intermediate)
    for width in range(widest - widest % WIDTH_STEP, 0, -WIDTH_STEP):
        sizes = tuple(
            size if number in protected else min(size, width) for number, size in enumerate(whole.intermediate)
        )
        sub = replace(whole, intermediate=sizes)
        if sub.block_params(parent.arch) <= most:
            return _filled(parent, sub, most) if filled else sub
    raise BudgetError(f"no uniform width leaves at most {most:,} block parameters")


def _filled(parent: Parent, sub: SubNetwork, most: int) -> SubNetwork:
    """With layers one step wider, as many as `most` allows."""
    whole = SubNetwork.whole(parent.arch).intermediate
    narrow = [n for n, size in enumerate(sub.intermediate) if size + WIDTH_STEP <= whole[n]]
    for count in range(len(narrow), 0, -1):
        wider = {narrow[k * len(narrow) // count] for k in range(count)}
        sizes = tuple(size + WIDTH_STEP * (number in wider) for number, size in enumerate(sub.intermediate))
        found = replace(sub, intermediate=sizes)
        if found.block_params(parent.arch) <= most:
            return found
    return sub


def short_gpt(parent: Parent, influences: Sequence[float], most: int) -> SubNetwork:
    """Whole layers go, those of the least influence first (Men et al., "ShortGPT", 2024), until `most` is met.

    BudgetError: even one layer is too much.
    """
    sub = SubNetwork.whole(parent.arch)
    for number in np.argsort(influences, kind="stable"):
        if sub.block_params(parent.arch) <= most:
            break
        kv_heads, intermediate = ([*sizes] for sizes in (sub.kv_heads, sub.intermediate))
        kv_heads[number] = intermediate[number] = 0
        sub = SubNetwork(tuple(kv_heads), tuple(intermediate))
    if not sub.kept_layers:
        raise BudgetError(f"one whole layer has more than {most:,} block parameters")
    return sub


def block_influences(parent: Parent, ids: Tensor) -> list[float]:
    """Of each layer, one minus the cosine of the stream before and behind it, mean over the tokens of `ids`
    (ShortGPT).
    """
    turn = rotary(parent.facts, parent.config, ids.shape[1])
    sums = torch.zeros(len(parent.layers), dtype=torch.float64)
    with torch.no_grad():
        for batch in ids.split(SEQUENCES):
            stream = F.embedding(batch, parent.embedding)
            for number, layer in enumerate(parent.layers):
                behind = run_layer(layer, stream, turn, parent.facts)
                sums[number] += (1 - F.cosine_similarity(stream, behind, dim=-1)).sum()
                stream = behind
    return (sums / ids.numel()).tolist()


def by_magnitude(parent: Parent) -> SuperNetwork:
    """Channels in the order of the norms of their weights, and nothing makes up for those that are gone; heads stay."""
    layers, outputs, downs = list[Layer](), list[Refit](), list[Refit]()
    for layer in parent.layers:
        attention, mlp = both_parts(layer)
        order = (mlp.gate.norm(dim=1) * mlp.up.norm(dim=1) * mlp.down.norm(dim=0)).argsort(descending=True)
        mlp = GatedMLP(mlp.norm, mlp.gate[order], mlp.up[order], mlp.down[:, order])
        layers.append(Layer(attention, mlp))
        outputs.append(Refit.none(attention.output))
        downs.append(Refit.none(mlp.down))
    return SuperNetwork(replace(parent, layers=tuple(layers)), tuple(outputs), tuple(downs))


def random_within(space: ElasticSpace, most: int, rng: np.random.Generator) -> SubNetwork:
    """Of many random sub-networks the largest that has at most `most` block parameters; BudgetError where none has."""
    fitting = (sub for _ in range(ATTEMPTS) if (sub := space.sample(rng)).block_params(space.parent) <= most)
    found = max(fitting, key=lambda sub: sub.block_params(space.parent), default=None)
    if found is None:
        raise BudgetError(f"none of {ATTEMPTS} random sub-networks has at most {most:,} block parameters")
    return found
