"""Ridge regression in closed form, the penalty chosen by leave-one-out error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Ridge:
    """A fitted model: ``mean + (x − center) @ weights``.

    held_out: for each training row (n,) the prediction of a model fitted without it.
    error: root mean square of the leave-one-out residuals, in units of y; a measure of uncertainty.
    """

    weights: Array
    center: Array
    mean: float
    held_out: Array
    error: float

    @staticmethod
    def fit(x: Array, y: Array) -> Ridge:
        """Fit y (n,) on x (n, d), n ≥ 2; the penalty with the least leave-one-out error wins.

        Leave-one-out residuals come from one singular value decomposition: r_i / (1 − h_ii) with h the hat matrix
        (Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, section 7.10).
        """
        center, mean = x.mean(axis=0), float(y.mean())
        left, singular, right = np.linalg.svd(x - center, full_matrices=False)
        projected = left.T @ (y - mean)
        best: Ridge | None = None
        for penalty in PENALTIES:
            shrink = singular**2 / (singular**2 + penalty)
            hat = np.sum(left**2 * shrink, axis=1) + 1.0 / len(y)
            residual = (y - mean - left @ (shrink * projected)) / np.maximum(1e-9, 1.0 - hat)
            error = float(np.sqrt(np.mean(residual**2)))
            if best is None or error < best.error:
                weights = right.T @ (singular / (singular**2 + penalty) * projected)
                best = Ridge(weights, center, mean, y - residual, error)
        assert best is not None
        return best

    def predict(self, x: Array) -> Array:
        """Predictions (n,) for x (n, d)."""
        return self.mean + (x - self.center) @ self.weights


@dataclass(frozen=True)
class MetricModel:
    """Ridge on a metric, or on its logarithm where that predicts held-out values better (sizes act as factors)."""

    ridge: Ridge
    logarithmic: bool

    @staticmethod
    def fit(x: Array, y: Array) -> MetricModel:
        """Fit y (n,) on x (n, d), n ≥ 2; the form with the least leave-one-out error in units of y wins."""
        plain = Ridge.fit(x, y)
        if np.all(y > 0):
            logged = Ridge.fit(x, np.log(y))
            if np.sqrt(np.mean((_exp(logged.held_out, y) - y) ** 2)) < plain.error:
                return MetricModel(logged, True)
        return MetricModel(plain, False)

    def predict(self, x: Array) -> Array:
        """Predictions (n,) for x (n, d), in units of y."""
        found = self.ridge.predict(x)
        return np.exp(np.minimum(found, 700.0)) if self.logarithmic else found


def _exp(logs: Array, y: Array) -> Array:
    """exp(logs), no farther out than a thousand times the largest y: a wild extrapolation must not overflow."""
    return np.exp(np.minimum(logs, np.log(y.max()) + np.log(1000.0)))
