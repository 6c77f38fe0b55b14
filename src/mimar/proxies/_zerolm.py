"""ZeroLM (Chen et al., 2025): weight statistics of attention and feed-forward matrices, no data, no forward pass.

    C(W) = ‖W‖²_F / min(m, n);   score = α · Σ C(attention) + (1 − α) · Σ C(feed-forward)

Known trap: with N(0, σ²) weights the expectation of C is max(m, n)·σ², hence linear in width; an α beyond 1, which a
fit on few labels can give, then ranks backwards among models of equal depth and width.

Mixers of every kind (the taps of a convolution included) count as attention, routers as feed-forward, experts are
weighted by `mimar.proxies._capacity.expert_weight`; shared layers count once.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from mimar.errors import InputError
from mimar.proxies._capacity import MIXER_ROLES, expert_weight
from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs
from mimar.shapes import LayerShapes, Matrix, NetworkShapes, runs

DEFAULT_ALPHA = 0.5
INITIAL_STD = 0.02
"""Standard deviation of initial weights; Xavier or Kaiming scales would cancel the width out of the score."""

SOURCE = "Chen et al., ZeroLM: Data-Free Transformer Architecture Search for Language Models, 2025"


def zerolm_parts(shapes: NetworkShapes) -> tuple[float, float]:
    """Expected (Σ C(attention), Σ C(feed-forward)) at N(0, 0.02²) weights, from sizes alone."""
    attention = feed_forward = 0.0
    for layer, count in runs(shapes.layers):
        in_mixer, in_feed_forward = _layer_parts(layer)
        attention += count * in_mixer
        feed_forward += count * in_feed_forward
    return attention, feed_forward


@lru_cache(maxsize=65536)
def _layer_parts(layer: LayerShapes) -> tuple[float, float]:
    return _sum_parts((m, max(m.rows, m.cols) * INITIAL_STD**2) for m in layer.matrices)


def _sum_parts(complexities: Iterable[tuple[Matrix, float]]) -> tuple[float, float]:
    attention = feed_forward = 0.0
    for matrix, complexity in complexities:
        if matrix.role in MIXER_ROLES:
            attention += complexity
        else:
            feed_forward += complexity * expert_weight(matrix)
    return attention, feed_forward


def _closed_form(inputs: ProxyInputs, *, alpha: float) -> float:
    attention, feed_forward = zerolm_parts(inputs.shapes)
    return alpha * attention + (1 - alpha) * feed_forward


def _exact(inputs: ProxyInputs, *, alpha: float) -> float:
    weights = dict(inputs.module.named_parameters())
    attention, feed_forward = _sum_parts(
        (m, float(weights[f"blocks.{i}.{m.name}"].detach().double().square().sum()) / min(m.rows, m.cols))
        for i, layer in enumerate(inputs.shapes.layers)
        for m in layer.matrices
    )
    return alpha * attention + (1 - alpha) * feed_forward


def zerolm(alpha: float = DEFAULT_ALPHA) -> Score:
    """ZeroLM in expectation: needs sizes only. `alpha` weighs attention against feed-forward; see `fit_alpha`."""
    return Score("zerolm", frozenset({"shapes"}), "closed form", SOURCE, partial(_closed_form, alpha=alpha))


def zerolm_weights(alpha: float = DEFAULT_ALPHA) -> Score:
    """ZeroLM of the weights themselves; its mean over seeds is the closed form."""
    return Score("zerolm_weights", frozenset({"weights"}), "weights", SOURCE, partial(_exact, alpha=alpha))


def fit_alpha(parts: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """α by benchmark sampling: on the grid −1.5, −1.4 … 1.5 the mean of the two best by |Kendall τ-b| with `labels`.

    parts: (n, 2), rows as `zerolm_parts` returns them. labels: (n,), measured quality, higher is better.
    A tie goes to the smaller α. InputError when shapes do not fit or labels are all equal.
    """
    from scipy.stats import kendalltau

    if parts.shape != (len(labels), 2) or len(np.unique(labels)) < 2:
        raise InputError(
            f"expected parts of shape (n, 2) and n labels that are not all equal, got {parts.shape} and "
            f"{len(labels)} labels with {len(np.unique(labels))} values; label more architectures"
        )
    grid = np.round(np.arange(-15, 16) / 10, 1)
    taus = [kendalltau(alpha * parts[:, 0] + (1 - alpha) * parts[:, 1], labels)[0] for alpha in grid]
    # A constant score has no τ (nan): it says nothing, so it counts as 0.
    strength = np.abs(np.nan_to_num(taus))
    best = np.argsort(-strength, kind="stable")[:2]
    return float(grid[best].mean())
