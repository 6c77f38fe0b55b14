"""The one small contract of everything that learns a metric from measured rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mimar.errors import InputError, MissingDependencyError

Array = NDArray[np.float64]

SMALLEST_SAMPLE = 5
SMALLEST_DEVIATION = 1e-6
"""In deviations of y: no predictor is surer than this."""


class Predictor(Protocol):
    """A fitted model that says how sure it is."""

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of a fresh measurement at each row of x (n, d): two arrays (n,), units of y.

        Deviations are positive.
        """
        ...


@dataclass(frozen=True, slots=True)
class Learner:
    """A way to make a `Predictor`.

    function: x (n, d), y (n,), rng → predictor. Equal data and an equal `rng` give an equal predictor.
    """

    name: str
    source: str
    function: Callable[[Array, Array, np.random.Generator], Predictor]

    def fit(self, x: Array, y: Array, rng: np.random.Generator) -> Predictor:
        """A predictor of y (n,) from x (n, d), n ≥ 5, d ≥ 1; `MissingDependencyError` where a package is missing."""
        if x.ndim != 2 or x.shape[:1] != y.shape or len(y) < SMALLEST_SAMPLE or not x.shape[1]:
            raise InputError(
                f"expected rows (n, d) and values (n,) with n at least {SMALLEST_SAMPLE} and d at least 1, got shapes "
                f"{x.shape} and {y.shape}; measure more first"
            )
        try:
            return self.function(x, y, rng)
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] != "sklearn":
                raise
            raise MissingDependencyError(
                f"the predictor {self.name} needs scikit-learn: pip install 'mimar[predictors]'"
            ) from missing


@dataclass(frozen=True)
class Scaling:
    """y brought to mean 0 and deviation 1; x to mean 0 and, over all columns together, mean square 1.

    One factor for all columns: a choice that is rare among few rows must not weigh more than a common one.
    """

    center: Array
    size: float
    mean: float
    spread: float

    @staticmethod
    def of(x: Array, y: Array) -> Scaling:
        """The scaling of x (n, d) and y (n,); what is constant becomes 0."""
        center = x.mean(axis=0)
        size = float(np.sqrt(np.mean((x - center) ** 2))) if x.size else 1.0
        return Scaling(center, size or 1.0, float(y.mean()), float(y.std()) or 1.0)

    def inputs(self, x: Array) -> Array:
        """Scaled rows (n, d)."""
        return (x - self.center) / self.size

    def targets(self, y: Array) -> Array:
        """Scaled values (n,)."""
        return (y - self.mean) / self.spread

    def back(self, mean: Array, deviation: Array) -> tuple[Array, Array]:
        """Means and deviations in units of y."""
        return self.mean + self.spread * mean, self.spread * np.maximum(deviation, SMALLEST_DEVIATION)
