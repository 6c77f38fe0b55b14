"""Softmax confidence: how much of their attention heads give to one token (Serianni and Kalita, 2023, section 4).

    score = Σ over uses of softmax attention of the mean over samples, heads and queries of max over keys of P

with P the attention probabilities. This is the confidence by which Voita et al. (Analyzing Multi-Head Self-Attention,
2019, section 4) tell heads that matter. The paper's released code takes the maximum over heads instead, which mostly
counts heads; we follow the formula. The first tokens of a causal sequence see few others and are sure of them; that
share is the same for all networks of one batch shape. Linear attention and convolutions have no P and add nothing.
"""

from __future__ import annotations

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs


def _softmax_confidence(inputs: ProxyInputs) -> float:
    from mimar.proxies._forward import forward

    return sum((float(use.output.amax(dim=-1).mean()) for use in forward(inputs).attention), start=0.0)


softmax_confidence = Score(
    "softmax_confidence", frozenset({"weights", "data"}), "forward",
    "Serianni and Kalita, Training-free Neural Architecture Search for RNNs and Transformers, 2023",
    _softmax_confidence,
)  # fmt: skip
"""Sum over layers of the mean largest attention probability."""
