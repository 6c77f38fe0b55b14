"""DSS and its two parts: synaptic diversity of token mixers, synaptic saliency of feed-forward parts.

    diversity = Σ_W ‖W‖_* · ‖∂L/∂W‖_*   over the token mixers' matrices
    saliency  = Σ_W Σ |W ∘ ∂L/∂W|       over the feed-forward parts' matrices
    DSS       = diversity + saliency

(Zhou et al., Training-free Transformer Architecture Search, 2022, section 3; ‖·‖_* the nuclear norm). Query, key and
value count as matrices of their own, as in Serianni and Kalita, Training-free Neural Architecture Search for RNNs and
Transformers, 2023, and L is the mean training loss of one batch, as there; the released code of the first paper takes
the synaptic flow instead, which `mimar.proxies.synflow` stands for. Mixers of every kind count, the taps of a
convolution included; experts that saw no token add nothing.

The nuclear norms are the one dear step: as much as half of the shared pass in narrow models.
"""

from __future__ import annotations

from mimar.proxies._contract import Need, Score
from mimar.proxies._inputs import ProxyInputs
from mimar.proxies._matrices import feed_forward_names, saliency

_NEEDS: frozenset[Need] = frozenset({"weights", "data", "gradients"})
_SOURCE = "Zhou et al., Training-free Transformer Architecture Search, 2022"


def _diversity(inputs: ProxyInputs) -> float:
    return sum((weight * gradient for weight, gradient in inputs.nuclear_norms.values()), 0.0)


def _saliency(inputs: ProxyInputs) -> float:
    return saliency(inputs, feed_forward_names(inputs.shapes))


def _dss(inputs: ProxyInputs) -> float:
    return _diversity(inputs) + _saliency(inputs)


synaptic_diversity = Score("synaptic_diversity", _NEEDS, "backward", _SOURCE, _diversity)
"""Products of the nuclear norms of the mixers' weights and of their gradients, summed; 0 without mixers."""

synaptic_saliency = Score("synaptic_saliency", _NEEDS, "backward", _SOURCE, _saliency)
"""Connection sensitivity of the feed-forward weights, in units of the loss; 0 without feed-forward parts."""

dss = Score("dss", _NEEDS, "backward", _SOURCE, _dss)
"""Diversity of the mixers plus saliency of the feed-forward parts."""
