"""NSC-MP: expected log-volume of Xavier-scaled weight matrices under the Marchenko–Pastur law; closed form, no data.

    ψ(m, n) = N · ∫ ln(1 + M s² x) f_MP(x; γ) dx,   M = max(m, n), N = min(m, n), γ = N / M, s² = 2 / (m + n)

which is the large-matrix limit of E ln det(I + W Wᵀ) for entries N(0, s²). The integral is the Shannon transform of
the Marchenko–Pastur law and has a closed form (Tulino and Verdú, Random Matrix Theory and Wireless Communications,
2004, section 1.2). The score is the sum over the layers' matrices; experts are weighted by
`mimar.proxies._capacity.expert_weight`, shared layers count once.
"""

from __future__ import annotations

from functools import lru_cache
from math import log, log1p, sqrt

from mimar.proxies._capacity import expert_weight
from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs
from mimar.shapes import LayerShapes, runs


@lru_cache(maxsize=65536)
def log_volume(rows: int, cols: int) -> float:
    """ψ(rows, cols), in nats."""
    large, small = max(rows, cols), min(rows, cols)
    ratio = small / large
    snr = large * 2 / (rows + cols)
    low, high = sqrt(snr * (1 - sqrt(ratio)) ** 2 + 1), sqrt(snr * (1 + sqrt(ratio)) ** 2 + 1)
    shift = (high - low) ** 2 / 4
    mean = log1p(snr - shift) + log(1 + snr * ratio - shift) / ratio - shift / (ratio * snr)
    return small * mean


@lru_cache(maxsize=65536)
def _layer_volume(layer: LayerShapes) -> float:
    return sum(expert_weight(m) * log_volume(m.rows, m.cols) for m in layer.matrices)


def _nsc_mp(inputs: ProxyInputs) -> float:
    return sum(count * _layer_volume(layer) for layer, count in runs(inputs.shapes.layers))


nsc_mp = Score(
    "nsc_mp", frozenset({"shapes"}), "closed form", "NSC with the Marchenko–Pastur law", _nsc_mp
)  # fmt: skip
"""Sum of ψ over all matrices of the layers, in nats."""
