"""Activation distance: in how many units the activation patterns of two samples differ, on average.

    score = mean over pairs of different samples of the Hamming distance between their patterns

Patterns are those of `mimar.proxies._naswot`; Mellor et al. (2021, section 3) show their distances, Serianni and Kalita
(2023) score language models by them. The latter's code sums agreements over the tokens of one sequence instead, which
is near the number of units. One sample has no distance and scores 0.
"""

from __future__ import annotations

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs
from mimar.proxies._naswot import agreements


def _activation_distance(inputs: ProxyInputs) -> float:
    both, length = agreements(inputs)
    samples = len(both)
    if samples < 2:
        return 0.0
    # A sample differs from itself nowhere, so that the diagonal adds nothing to the sum.
    return float((length - both).sum()) / (samples * (samples - 1))


activation_distance = Score(
    "activation_distance", frozenset({"weights", "data"}), "forward",
    "Serianni and Kalita, Training-free Neural Architecture Search for RNNs and Transformers, 2023, "
    "after Mellor et al., 2021", _activation_distance,
)  # fmt: skip
"""Mean Hamming distance between activation patterns, in units."""
