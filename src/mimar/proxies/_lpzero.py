"""LPZero: the expression that genetic programming found on FlexiBERT (Dong et al., 2024, section 4 and released code).

    score = Σ_W mean(W²) + Σ softmax(∂L/∂W)²

over the matrices of all layers; the softmax runs over the rows (outputs) of a matrix, as in the released code.

How to read it: gradients at initialisation are so small that the softmax is all but uniform, hence the second term is
columns / rows of each matrix, and mean(W²) is the variance of the initial weights. What remains is a count of shapes:
it grows with depth and with the width of feed-forward parts (whose second matrix is wide), hardly with the hidden size.
"""

from __future__ import annotations

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs
from mimar.proxies._matrices import named_matrices


def _lpzero(inputs: ProxyInputs) -> float:
    weights, gradients = dict(inputs.module.named_parameters()), inputs.gradients
    terms = (
        float(weights[name].detach().square().mean() + gradients[name].softmax(dim=0).square().sum())
        for name, _ in named_matrices(inputs.shapes)
    )
    return sum(terms, 0.0)


lpzero = Score(
    "lpzero", frozenset({"weights", "data", "gradients"}), "backward",
    "Dong et al., LPZero: Language Model Zero-cost Proxy Search from Zero, 2024", _lpzero,
)  # fmt: skip
"""Variance of the weights plus squared softmax of the gradients, summed over matrices."""
