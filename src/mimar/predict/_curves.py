"""Where a learning curve that was cut short would have ended, from curves that were followed to their end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimar.errors import InputError
from mimar.predict._learner import Array

FEWEST_CURVES = 3
"""Whole curves without which nothing can be said about how far they differ."""

PRIOR = 1.0
"""Standard deviation of a coefficient before anything is seen, in deviations of its feature and of what is left."""


@dataclass(frozen=True)
class LearningCurves:
    """Bayesian linear regression of what a loss still falls on where the curve stands and how fast it fell.

    Features are the loss at the last reading and its drop since each earlier one (Domhan et al., 2015, extrapolate one
    curve by itself; here the other curves, which share schedule and text, say how such curves end).
    """

    mean: Array
    scale: Array
    weights: Array
    covariance: Array
    noise: float
    offset: float
    count: int

    @staticmethod
    def fit(curves: Array, ends: Array) -> LearningCurves:
        """curves (n, k): losses at the same k places, the latest last. ends (n,): the losses in the end. n at least 3.

        The level of the noise is what is left over, estimated with one degree of freedom fewer for each feature used.
        """
        curves, ends = np.asarray(curves, dtype=float), np.asarray(ends, dtype=float)
        if curves.ndim != 2 or curves.shape[:1] != ends.shape or len(ends) < FEWEST_CURVES or not curves.shape[1]:
            raise InputError(
                f"expected curves (n, k) and ends (n,) with n at least {FEWEST_CURVES} and k at least 1, got shapes "
                f"{curves.shape} and {ends.shape}"
            )
        features = _features(curves)
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale == 0.0] = 1.0
        x, y = (features - mean) / scale, ends - curves[:, -1]
        offset = float(y.mean())
        spread = float(y.std()) or 1e-9
        precision = np.eye(x.shape[1]) / PRIOR**2 + x.T @ x
        weights = np.linalg.solve(precision, x.T @ (y - offset))
        used = float(np.trace(x @ np.linalg.solve(precision, x.T)))
        left = y - offset - x @ weights
        noise = float(np.sum(left**2) / max(1.0, len(y) - 1.0 - used))
        floor = (1e-3 * spread) ** 2
        return LearningCurves(mean, scale, weights, np.linalg.inv(precision), max(noise, floor), offset, len(y))

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Losses in the end of the curves x (m, k) and their standard deviations, each (m,)."""
        curves = np.asarray(x, dtype=float)
        features = (_features(curves) - self.mean) / self.scale
        variance = self.noise * (1.0 + 1.0 / self.count + np.einsum("ij,jk,ik->i", features, self.covariance, features))
        return curves[:, -1] + self.offset + features @ self.weights, np.sqrt(variance)


def _features(curves: Array) -> Array:
    """The last loss and the drops to it, (n, k)."""
    return np.concatenate([curves[:, -1:], curves[:, :-1] - curves[:, -1:]], axis=1)
