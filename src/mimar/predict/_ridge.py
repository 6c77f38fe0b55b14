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

    error: root mean square of the leave-one-out residuals, in units of y; a measure of uncertainty.
    """

    weights: Array
    center: Array
    mean: float
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
                best = Ridge(weights, center, mean, error)
        assert best is not None
        return best

    def predict(self, x: Array) -> Array:
        """Predictions (n,) for x (n, d)."""
        return self.mean + (x - self.center) @ self.weights
