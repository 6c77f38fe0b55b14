"""What a decoder of the design space is made of, as options and as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from mimar.shapes import nonembedding_parameters
from mimar.space import Architecture, FeedForwardKind, MixerKind, Norm, NormPlacement, Position, Topology

Option: TypeAlias = tuple[str, str]
"""A choice, and what was chosen."""

WHOLE_MODEL: Final = ("position", "norm", "norm_placement", "topology", "tied_embeddings", "layer_sharing")

LEARNT: Final[tuple[Option, ...]] = (
    *(("position", option) for option in get_args(Position)),
    *(("norm", option) for option in get_args(Norm)),
    *(("norm_placement", option) for option in get_args(NormPlacement)),
    *(("topology", option) for option in get_args(Topology)),
    ("tied_embeddings", "True"),
    *(("mixer", option) for option in get_args(MixerKind)),
    *(("feed_forward", option) for option in get_args(FeedForwardKind)),
)
"""The options whose shares are features."""


def option_shares(arch: Architecture) -> dict[Option, float]:
    """Option → share of the layers that have it, 1 for what holds for the whole model; sizes are no options."""
    found = {(name, str(getattr(arch, name))): 1.0 for name in WHOLE_MODEL}
    for block in arch.blocks:
        mixer, part = block.mixer, block.feed_forward
        options = [("mixer", mixer.kind), ("feed_forward", part.kind)]
        if mixer.num_heads:
            groups = "all" if mixer.num_kv_heads == mixer.num_heads else "one" if mixer.num_kv_heads == 1 else "some"
            options.append(("kv_heads", groups))
        if part.kind in ("ffn", "moe"):
            options.append(("activation", part.activation))
        for option in options:
            found[option] = found.get(option, 0.0) + 1.0 / arch.num_layers
    return found


def decoder_features(archs: Sequence[Architecture]) -> NDArray[np.float64]:
    """Features (n, d) by which decoders of this space are learnt: what holds for all layers, shares of kinds, sizes.

    Places of layers, activations and shared heads are left out: they matter less, and tables are short.
    """
    shares = [option_shares(arch) for arch in archs]
    kinds = [[each.get(option, 0.0) for option in LEARNT] for each in shares]
    return np.hstack([np.asarray(kinds), np.asarray([_sizes(arch) for arch in archs])])


def _sizes(arch: Architecture) -> list[float]:
    """Logarithms, since a step in size is a ratio; layers by what they do."""
    mixing = sum(block.mixer.kind != "none" for block in arch.blocks)
    feeding = sum(block.feed_forward.kind != "none" for block in arch.blocks)
    sizes = (arch.hidden_size, nonembedding_parameters(arch), arch.layer_sharing, arch.num_layers)
    return [*(math.log(size) for size in sizes), math.log1p(mixing), math.log1p(feeding)]
