"""Head importance: how much the loss would feel each attention head's removal (Michel et al., 2019, eq. 2).

    score = Σ_heads  mean over samples of |⟨A, ∂ℓ/∂A⟩|,   A = P V

with A what a head passes on, ℓ the sample's own loss, summed over positions before the absolute value; the sum over
heads as in Serianni and Kalita, Training-free Neural Architecture Search for RNNs and Transformers, 2023. As
⟨PV, ∂ℓ/∂A⟩ = ⟨P, ∂ℓ/∂A Vᵀ⟩ = ⟨P, ∂ℓ/∂P⟩, the attention probabilities that the shared backward pass has kept are
enough. The sample's loss is its share of the batch's mean loss times the samples.

Each run of a shared layer counts; mixers without a softmax (linear attention, convolution) have no heads to switch
off in this sense and add nothing.
"""

from __future__ import annotations

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs


def _head_importance(inputs: ProxyInputs) -> float:
    # The mean over samples of samples × (share of the mean loss) is the sum over samples.
    return sum(
        (float((use.output * use.gradient).sum(dim=(-2, -1)).abs().sum()) for use in inputs.observation.attention), 0.0
    )


head_importance = Score(
    "head_importance", frozenset({"weights", "data", "gradients"}), "backward",
    "Michel et al., Are Sixteen Heads Really Better than One?, 2019", _head_importance,
)  # fmt: skip
"""Sum over heads of the expected change of the loss, to first order, were the head switched off."""
