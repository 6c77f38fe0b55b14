"""GraSP: how much removing weights would change the gradient flow (Wang et al., 2020, eq. 8).

    score = −Σ_W Σ W ∘ (H g),   g = ∂L/∂W,   H the Hessian of L

over the matrices of all layers, L the mean training loss of one batch. The sign is that of Abdelfattah et al.,
Zero-Cost Proxies for Lightweight NAS, 2021, section 3.2: the sum over weights of the paper's pruning score, taken as
higher is better. The sum is −wᵀHg = −½ d‖g‖²/dε when all weights are scaled by 1 + ε.

Cost: one forward pass and two backward passes, of which the second runs through the first and is about twice as
dear; it cannot use the shared pass, which keeps no graph.
"""

from __future__ import annotations

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs
from mimar.proxies._matrices import scored_weights


def _grasp(inputs: ProxyInputs) -> float:
    import torch

    weights = scored_weights(inputs)
    if not weights:
        return 0.0
    loss = inputs.subject.loss(inputs.module, inputs.batch)
    gradients = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True, materialize_grads=True)
    half_square = torch.stack([(g.detach() * g).sum() for g in gradients]).sum()
    curved = torch.autograd.grad(half_square, weights, allow_unused=True, materialize_grads=True)
    return -float(sum((w.detach() * h).sum(dtype=torch.float64) for w, h in zip(weights, curved, strict=True)))


grasp = Score(
    "grasp", frozenset({"weights", "data", "gradients"}), "backward",
    "Wang et al., Picking Winning Tickets Before Training by Preserving Gradient Flow, 2020", _grasp,
)  # fmt: skip
"""Minus half the derivative of the squared gradient norm as the weights grow."""
