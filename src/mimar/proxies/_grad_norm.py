"""Gradient norm at initialisation (Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, 2021, section 3.2).

    score = Σ_W ‖∂L/∂W‖₂

over the weights of all blocks, L the mean next-token cross-entropy of one batch; from the backward pass that all
gradient proxies share.
"""

from __future__ import annotations

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs


def _grad_norm(inputs: ProxyInputs) -> float:
    return sum(float(g.norm()) for name, g in inputs.gradients.items() if name.startswith("blocks."))


grad_norm = Score(
    "grad_norm", frozenset({"weights", "data", "gradients"}), "backward",
    "Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, 2021", _grad_norm,
)  # fmt: skip
"""Sum of the Euclidean norms of the weights' gradients."""
