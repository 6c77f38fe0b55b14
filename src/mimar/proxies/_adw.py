"""ADW: additive depth and width; the default accuracy score.

    ADW = −(D^−0.9 + (600 / W)^0.4) + 0.002 · H

    D = layers,   W = √min(d, r) · Σ_l (0.9 · a_l^¼ + ω_l · f_l^¼) / (D − 0.1),   H = mean of ln min(h_l, d / 64)

with d the hidden size, r the rank of the output embeddings, a_l and f_l the mixer and feed-forward weights and h_l the
query heads of layer l (logarithms below 0, and those of layers without heads, count 0); ω is 0.8 in the last layer, 1
in all others, and D − 0.1 keeps this from punishing few layers.
Two shortages add up, too few layers and too little width, and neither can be bought off with the other: that is what
decides among networks of equal size, where the number of weights says nothing. √d · a^¼ is the geometric mean of the
stream's width and of the width that the layer's weights amount to (a layer of 4d² attention weights has √d · a^¼ =
1.41 d), so that weight put into wide layers on a narrow stream counts less than it costs; a^¼ + f^¼ favours an even
split between the two parts of a layer and between layers.
ω says that feed-forward weights after the last mixer are worth less (docs/last_layer.py): in FlexiBERT they are worth
nothing or less than that (t −0.8 to −4.0 in its four cells of depth and width) while those before are worth much (t up
to 13.5); in HW-GPT-Bench's models of 12 layers they are worth less than those of the layers before, in models of 10
layers more; on LiteTransformerSearch the factor makes no difference.
H settles what is otherwise equal: more heads are better, until each is 64 wide; twice as many add a thousandth to a
score of about −1.

Where the constants come from: the form was found, and nine constants (0.9, 600, 0.4, the factor 0.9, both roots, ω, the
weight of H and its width 64) were rounded, on three published sets together, each with one value for all sets:
GPT-2-like models with layers of their own shapes on WikiText-103 (200), HW-GPT-Bench S (10,000 sub-networks of one
supernet), FlexiBERT encoders (500). On other data they are untested; docs/proxies.md has the figures and where the
score fails.

How it reads what those sets do not contain, all of it our choice:

- a part of kind ``none`` adds nothing, and its layer still counts in D;
- experts count as in `mimar.proxies._capacity.expert_weight`;
- layers that are shared count layer_sharing^0.2 times each in D: an estimate, in the light of the 0.7 to 0.8 points
  that executing every layer twice gave MobileLLM (2024, abstract);
- all kinds of token mixer count by their weights alone: the score cannot tell attention from its cheaper substitutes.
"""

from __future__ import annotations

from functools import lru_cache
from math import log, sqrt

from mimar.proxies._capacity import part_weights
from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs
from mimar.shapes import LayerShapes, runs

SHARING_EXPONENT = 0.2
DEPTH_EXPONENT = 0.9
WIDTH_SCALE = 600.0
WIDTH_EXPONENT = 0.4
MIXER_FACTOR = 0.9
LAST_FACTOR = 0.8
LEAST_WIDTH = 1.0
"""For a network without any weight in its layers: its score must still be a number."""
HEADS_FACTOR = 0.002
HEAD_WIDTH = 64


@lru_cache(maxsize=65536)
def _fourth_roots(layer: LayerShapes) -> tuple[float, float]:
    """Of the mixer, with its factor, and of the feed-forward part."""
    mixer, feed_forward = part_weights(layer)
    return MIXER_FACTOR * mixer**0.25, feed_forward**0.25


@lru_cache(maxsize=65536)
def _log_heads(heads: int, hidden_size: int) -> float:
    return log(max(1.0, min(heads, hidden_size / HEAD_WIDTH)))


def _adw(inputs: ProxyInputs) -> float:
    shapes = inputs.shapes
    layers = shapes.layers
    alike = list(runs(layers))
    depth = len(layers) * shapes.layer_sharing**SHARING_EXPONENT
    heads = sum(count * _log_heads(layer.num_heads, shapes.hidden_size) for layer, count in alike) / len(layers)
    roots = sum(count * sum(_fourth_roots(layer)) for layer, count in alike)
    last = (1 - LAST_FACTOR) * _fourth_roots(layers[-1])[1]
    mean = (roots - last) / (len(layers) - (1 - LAST_FACTOR) / 2)
    width = max(LEAST_WIDTH, sqrt(min(shapes.hidden_size, shapes.output_rank)) * mean)
    return HEADS_FACTOR * heads - (depth**-DEPTH_EXPONENT + (WIDTH_SCALE / width) ** WIDTH_EXPONENT)


adw = Score("adw", frozenset({"shapes"}), "closed form", "this project", _adw)
"""The default accuracy score: minus the sum of a shortage of depth and one of width; nearer 0 is better."""
