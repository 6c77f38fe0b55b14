"""Spectrum of the weights: effective rank and spread of singular values, in expectation and of the weights themselves.

    effective rank of W = exp(−Σ p_i ln p_i),  p_i = σ_i / Σ σ      (Roy and Vetterli, The effective rank, 2007)
    spread of W = ln(σ_max / mean σ)

Scores: the sum of effective ranks over the layers' matrices, experts weighted by
`mimar.proxies._capacity.expert_weight`; and minus the mean spread, 0 where all directions are alike. Shared layers
count once.

Closed form: for independent entries of one variance, σ² / M follows the Marchenko–Pastur law with ratio γ = N / M
(N the smaller side) and largest value (1 + √γ)², whatever the variance. With x = 1 + γ + 2 √γ cos θ its density is
2 sin² θ / (π x) dθ on (0, π), a smooth integrand, so that few points of the midpoint rule suffice; m = E √x gives

    effective rank = N · m · exp(−E[√x ln √x] / m),   spread = ln((1 + √γ) / m)

These are limits of large matrices: measured spreads lie a little below, by 4% where the smaller side is 64.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import exp, log, sqrt
from weakref import WeakKeyDictionary

import numpy as np

from mimar.proxies._capacity import expert_weight
from mimar.proxies._contract import Need, Score
from mimar.proxies._inputs import ProxyInputs
from mimar.shapes import LayerShapes, Matrix, runs

POINTS = 512
"""Of the midpoint rule: relative errors are 10⁻⁵ at γ = 1, where √x has a kink, and far smaller elsewhere."""


@lru_cache(maxsize=65536)
def expected_spectrum(rows: int, cols: int) -> tuple[float, float]:
    """(effective rank, spread) of a rows × cols matrix of independent entries, in the limit of large sides."""
    large, small = max(rows, cols), min(rows, cols)
    ratio = small / large
    angle = (np.arange(POINTS) + 0.5) * np.pi / POINTS
    x = 1 + ratio + 2 * sqrt(ratio) * np.cos(angle)
    share = 2 * np.sin(angle) ** 2 / (x * POINTS)
    mean = float(share @ np.sqrt(x))
    entropy = log(small * mean) - float(share @ (np.sqrt(x) * np.log(x) / 2)) / mean
    return max(1.0, exp(entropy)), log((1 + sqrt(ratio)) / mean)


@lru_cache(maxsize=65536)
def _expected_sums(layer: LayerShapes) -> tuple[float, float]:
    """Expected effective ranks, weighted, and spreads, each summed over the matrices of `layer`."""
    found = [(matrix, *expected_spectrum(matrix.rows, matrix.cols)) for matrix in layer.matrices]
    return sum(expert_weight(m) * rank for m, rank, _ in found), sum(spread for _, _, spread in found)


def _effective_rank(inputs: ProxyInputs) -> float:
    return sum((count * _expected_sums(layer)[0] for layer, count in runs(inputs.shapes.layers)), start=0.0)


def _spectral_spread(inputs: ProxyInputs) -> float:
    layers = list(runs(inputs.shapes.layers))
    matrices = sum(count * len(layer.matrices) for layer, count in layers)
    return -sum(count * _expected_sums(layer)[1] for layer, count in layers) / max(1, matrices)


def _effective_rank_weights(inputs: ProxyInputs) -> float:
    return sum((expert_weight(matrix) * rank for matrix, rank, _ in _measured(inputs)), start=0.0)


def _spectral_spread_weights(inputs: ProxyInputs) -> float:
    spreads = [spread for _, _, spread in _measured(inputs)]
    return -sum(spreads) / max(1, len(spreads))


_MEASURED: WeakKeyDictionary[ProxyInputs, tuple[tuple[Matrix, float, float], ...]] = WeakKeyDictionary()


def _measured(inputs: ProxyInputs) -> tuple[tuple[Matrix, float, float], ...]:
    """Each matrix of the layers with its effective rank and spread, found at most once and kept as long as `inputs`."""
    if inputs not in _MEASURED:
        _MEASURED[inputs] = tuple(_spectra(inputs))
    return _MEASURED[inputs]


def _spectra(inputs: ProxyInputs) -> Iterator[tuple[Matrix, float, float]]:
    import torch

    from mimar.proxies._nuclear import singular_values

    for index, layer in enumerate(inputs.shapes.layers):
        for matrix in layer.matrices:
            weight = inputs.module.get_parameter(f"blocks.{index}.{matrix.name}").detach().double()
            singular = singular_values(weight.reshape(matrix.rows, matrix.cols))
            rank = torch.special.entr(singular / singular.sum()).sum().exp()
            yield matrix, float(rank), float((singular[-1] / singular.mean()).log())


SOURCE = "Roy and Vetterli, The effective rank: a measure of effective dimensionality, 2007"
SHAPES, WEIGHTS = frozenset[Need]({"shapes"}), frozenset[Need]({"weights"})

effective_rank = Score(
    "effective_rank", SHAPES, "closed form", f"{SOURCE}, under the Marchenko–Pastur law", _effective_rank
)
"""Sum of the effective ranks that the layers' initial matrices have in expectation."""

effective_rank_weights = Score("effective_rank_weights", WEIGHTS, "weights", SOURCE, _effective_rank_weights)
"""Sum of the effective ranks of the layers' matrices."""

spectral_spread = Score(
    "spectral_spread", SHAPES, "closed form", "this project, under the Marchenko–Pastur law", _spectral_spread
)
"""Minus the mean logarithm of largest over mean singular value that initial matrices have in expectation."""

spectral_spread_weights = Score("spectral_spread_weights", WEIGHTS, "weights", "this project", _spectral_spread_weights)
"""Minus the mean logarithm of largest over mean singular value of the layers' matrices."""
