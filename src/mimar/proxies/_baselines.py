"""The simple counts that must stand beside every proxy, because many proxies only restate them."""

from __future__ import annotations

from mimar.proxies._contract import Need, Score
from mimar.proxies._inputs import ProxyInputs

_SHAPES: frozenset[Need] = frozenset({"shapes"})


def _params(inputs: ProxyInputs) -> float:
    return float(inputs.shapes.params)


def _nonembedding_params(inputs: ProxyInputs) -> float:
    return float(inputs.shapes.nonembedding_params)


def _flops(inputs: ProxyInputs) -> float:
    return inputs.shapes.flops


def _depth_width(inputs: ProxyInputs) -> float:
    shapes = inputs.shapes
    return float(len(shapes.layers) * shapes.layer_sharing * shapes.hidden_size)


params = Score("params", _SHAPES, "closed form", "baseline", _params)
"""All weights, tied and shared ones once."""

nonembedding_params = Score(
    "nonembedding_params", _SHAPES, "closed form",
    "baseline; Kaplan et al., Scaling Laws for Neural Language Models, 2020, section 2.1", _nonembedding_params,
)  # fmt: skip
"""All weights but token embedding and output head."""

flops = Score("flops", _SHAPES, "closed form", "baseline", _flops)
"""Floating-point operations of one forward pass over the whole context, logits at every position."""

depth_width = Score("depth_width", _SHAPES, "closed form", "baseline", _depth_width)
"""Executed layers × hidden size."""
