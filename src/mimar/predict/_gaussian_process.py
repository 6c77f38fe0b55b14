"""Gaussian process: a linear trend and a smooth deviation from it, with noise (Rasmussen and Williams, 2006, ch. 2, 5).

    k(x, x') = a · x·x' / d + b · exp(−‖x − x'‖² / 2ℓ²) + c · 1[x = x']

on d scaled features; a, b, ℓ and c are those of the largest marginal likelihood. Metrics of architectures are close to
additive in the choices, which is what the first term says; it keeps its deviation honest far from the data.

With few rows the largest marginal likelihood can be that of a process without noise, which is sure of itself and wrong.
So deviations are multiplied by the root mean square of z_i = (y_i − mean) / deviation, each from the other rows, where
that is above 1: z_i = [K⁻¹ y]_i / √[K⁻¹]_ii (section 5.4.2).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimar.predict._learner import Array, Learner, Scaling

if TYPE_CHECKING:  # scikit-learn takes a second to import
    from sklearn.gaussian_process import GaussianProcessRegressor

JITTER = 1e-8
"""Added to the diagonal, so that equal rows can be factorised."""


@dataclass(frozen=True)
class _Process:
    """Deviation: that of the posterior, noise included, times `doubt`."""

    scaling: Scaling
    model: GaussianProcessRegressor
    doubt: float

    def predict(self, x: Array) -> tuple[Array, Array]:
        mean, deviation = self.model.predict(self._rows(x), return_std=True)
        return self.scaling.back(np.asarray(mean, np.float64), self.doubt * np.asarray(deviation, np.float64))

    def _rows(self, x: Array) -> Array:
        return _unit(self.scaling.inputs(x))


def _fit(x: Array, y: Array, _rng: np.random.Generator) -> _Process:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

    wide = (1e-5, 1e5)
    trend = ConstantKernel(1.0, wide) * DotProduct(0.0, "fixed")
    kernel = trend + ConstantKernel(1.0, wide) * RBF(1.0, (0.03, 100.0)) + WhiteKernel(0.1, (1e-6, 10.0))
    scaling = Scaling.of(x, y)
    model = GaussianProcessRegressor(kernel, alpha=JITTER)
    with warnings.catch_warnings():
        # A term that the data do not need ends at its bound, which is as good as leaving it out.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(_unit(scaling.inputs(x)), scaling.targets(y))
    return _Process(scaling, model, _doubt(model))


def _doubt(model: GaussianProcessRegressor) -> float:
    """Root mean square of what each row is off, in its deviations, by the model without it; at least 1."""
    inverse = np.linalg.inv(np.asarray(model.L_, np.float64))
    return max(1.0, float(np.sqrt(np.mean(np.asarray(model.alpha_) ** 2 / (inverse**2).sum(axis=0)))))


def _unit(x: Array) -> Array:
    """Rows of mean square length 1, so that one set of bounds serves any number of features."""
    return x / np.sqrt(max(1, x.shape[1]))


gaussian_process = Learner(
    "gaussian_process", "Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006", _fit
)
"""Linear trend, smooth rest, noise."""
