"""Spectrum of the features: how many directions the tokens of a batch spread over at initialisation.

    score = −Σ p_i ln p_i,   p_i = σ_i / Σ σ

with σ the singular values of the centred final hidden states, (batch · tokens, hidden). This is the logarithm of the
effective rank (Roy and Vetterli, The effective rank: a measure of effective dimensionality, 2007). Low values mean
that deep attention makes tokens alike (Dong et al., Attention is not all you need, 2021). The RZ-NAS ensemble names a
spectrum score and leaves it open; we take features, as the spectrum of initial weights follows from their shapes.

It cannot exceed the logarithm of the smaller side: the default batch shows at most 512 directions.
"""

from __future__ import annotations

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs, final_states

ROUNDING = 1e-6
"""Spread of the states, relative to their norm, that single precision makes of nothing."""


def _spectrum(inputs: ProxyInputs) -> float:
    import torch

    from mimar.proxies._nuclear import singular_values

    with torch.no_grad():
        states = final_states(inputs.module, inputs.batch).flatten(0, 1).double()
        centred = states - states.mean(dim=0)
        singular = singular_values(centred)
        if singular[-1] <= ROUNDING * states.norm():  # All states are alike: one point has no direction.
            return 0.0
        return float(torch.special.entr(singular / singular.sum()).sum())


spectrum = Score(
    "spectrum", frozenset({"weights", "data"}), "forward",
    "Roy and Vetterli, The effective rank, 2007; place in the RZ-NAS ensemble, 2025", _spectrum,
)  # fmt: skip
"""Entropy of the features' singular values, in nats: the logarithm of their effective rank."""
