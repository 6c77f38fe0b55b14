"""SNIP: how much the loss would feel each weight's removal (Lee et al., 2019, eq. 4 and 5).

    score = Σ_W Σ |W ∘ ∂L/∂W|

over the matrices of all layers, L the mean training loss of one batch; the sum over weights in place of the paper's
ranking of them is that of Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, 2021, section 3.2.
"""

from __future__ import annotations

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs
from mimar.proxies._matrices import named_matrices, saliency


def _snip(inputs: ProxyInputs) -> float:
    return saliency(inputs, [name for name, _ in named_matrices(inputs.shapes)])


snip = Score(
    "snip", frozenset({"weights", "data", "gradients"}), "backward",
    "Lee et al., SNIP: Single-shot Network Pruning based on Connection Sensitivity, 2019", _snip,
)  # fmt: skip
"""Sum of the connection sensitivities of all weights, in units of the loss."""
