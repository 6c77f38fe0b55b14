"""How much weight the parts of a layer carry: what the closed-form capacity scores agree on."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

from mimar.shapes import LayerShapes, Matrix

MIXER_ROLES = frozenset({"attention", "convolution"})


def expert_weight(matrix: Matrix) -> float:
    """√(share of tokens that pass through `matrix`): 1 for all but experts.

    An expert layer then counts as the geometric mean of its active and its total weights. Compute alone would call
    experts free, total weights would call them as good as dense ones; the truth measured for routed language models
    lies between (Clark et al., "Unified Scaling Laws for Routed Language Models", 2022); the middle is our choice.
    """
    return sqrt(matrix.active)


@lru_cache(maxsize=65536)
def part_weights(layer: LayerShapes) -> tuple[float, float]:
    """Weights of the token mixer, whatever its kind, and of the feed-forward part with `expert_weight`; no norms."""
    mixer = feed_forward = 0.0
    for matrix in layer.matrices:
        if matrix.role in MIXER_ROLES:
            mixer += matrix.size
        else:
            feed_forward += matrix.size * expert_weight(matrix)
    return mixer, feed_forward
