"""Jacobian covariance: how differently the network responds to different samples (Mellor et al., 2020, section 3).

    score = −Σ_i ln(λ_i + k) + 1 / (λ_i + k),   k = 1e-5

with λ the eigenvalues of the correlation matrix of the rows ∂L/∂x_n, x_n the sample as it enters the first layer and L
the batch's training loss. Rows that are all different have λ = 1, the best; alike rows have λ near 0 and a score near
−1/k. The shared backward pass already holds the rows. Token ids have no derivative, hence the embeddings in place of
the paper's pixels.
"""

from __future__ import annotations

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs

K = 1e-5
"""Keeps the logarithm and the inverse finite, as in the paper's code."""


def _jacobian_covariance(inputs: ProxyInputs) -> float:
    import torch

    rows = inputs.observation.entry.gradient.flatten(1).double()
    centred = rows - rows.mean(dim=1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True).clamp_min(torch.finfo(centred.dtype).tiny)
    eigenvalues = torch.linalg.eigvalsh(unit @ unit.T).clamp_min(0)
    return -float(((eigenvalues + K).log() + 1 / (eigenvalues + K)).sum())


jacobian_covariance = Score(
    "jacobian_covariance", frozenset({"weights", "data", "gradients"}), "backward",
    "Mellor et al., Neural Architecture Search without Training, first version, 2020", _jacobian_covariance,
)  # fmt: skip
"""Minus the samples where all respond differently, far below where they respond alike."""
