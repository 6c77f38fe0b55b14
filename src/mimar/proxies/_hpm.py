"""HPM: half-power mean of the layers' attention and feed-forward weights.

    HPM = (Σ_l √a_l + √f_l)² / L

with a_l, f_l the mixer and feed-forward weights of layer l. For layers that are all alike it ranks as the number of
non-embedding weights does; for others the square roots favour weights that are spread evenly over layers and over
the two parts of a layer. The form was chosen on nine published sets of trained models.

How it reads what those sets do not contain, all of it our choice:

- a part of kind ``none`` adds nothing, and its layer still counts in L;
- experts count as in `mimar.proxies._capacity.expert_weight`;
- shared layers count once, and the score is multiplied by layer_sharing^0.2: an estimate, in the light of the 0.7 to
  0.8 points that executing every layer twice gave MobileLLM (2024, abstract); not fitted and not yet measured here;
- all kinds of token mixer count by their weights alone: the score cannot tell attention from its cheaper substitutes.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

from mimar.proxies._capacity import part_weights
from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs
from mimar.shapes import LayerShapes, runs

SHARING_EXPONENT = 0.2
HEADS_EXPONENT = 0.1


@lru_cache(maxsize=65536)
def _roots(layer: LayerShapes) -> float:
    mixer, feed_forward = part_weights(layer)
    return sqrt(mixer) + sqrt(feed_forward)


@lru_cache(maxsize=65536)
def _roots_plus(layer: LayerShapes) -> float:
    mixer, feed_forward = part_weights(layer)
    return sqrt(mixer * max(1, layer.num_heads) ** HEADS_EXPONENT) + sqrt(feed_forward)


def _hpm(inputs: ProxyInputs) -> float:
    layers = inputs.shapes.layers
    total = sum(count * _roots(layer) for layer, count in runs(layers))
    return total**2 / len(layers) * inputs.shapes.layer_sharing**SHARING_EXPONENT


def _hpm_plus(inputs: ProxyInputs) -> float:
    shapes = inputs.shapes
    total = sum(count * _roots_plus(layer) for layer, count in runs(shapes.layers))
    rank = sqrt(min(shapes.output_rank, shapes.hidden_size) / shapes.hidden_size)
    return total**2 / len(shapes.layers) * rank * shapes.layer_sharing**SHARING_EXPONENT


hpm = Score("hpm", frozenset({"shapes"}), "closed form", "this project", _hpm)
"""Half-power mean; its unit is weights."""

hpm_plus = Score("hpm_plus", frozenset({"shapes"}), "closed form", "this project", _hpm_plus)
"""HPM with a_l · heads_l^0.1, and √(output rank / hidden size) where embeddings are narrower than the hidden size."""
