"""Members that each leave out some rows: their spread, and what the rows left out say of the noise.

    deviation² at x = variance of the members' predictions at x + noise²
    noise² = mean over training rows of residual², each from the member that left the row out, − 2 · mean variance

A cross-validation ensemble (Krogh and Vedelsby, 1995), with held-out residuals as in CV+ (Barber et al., Predictive
inference with the jackknife+, 2021, section 3). Such a residual is that of one member, so that its square exceeds the
ensemble's by the members' variance; subtracted once more because the deviation adds it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mimar.predict._learner import Array, Scaling

MEMBERS = 10


class Member(Protocol):
    """One model of an ensemble, on scaled data."""

    def predict(self, X: Array, /) -> Array:  # noqa: N803  (scikit-learn's name)
        """Predictions (n,) for rows (n, d)."""
        ...


@dataclass(frozen=True)
class Ensemble:
    """A `Predictor` made of members."""

    scaling: Scaling
    members: Sequence[Member]
    noise: float

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean of the members; their spread and the noise together."""
        found = np.stack([member.predict(self.scaling.inputs(x)) for member in self.members])
        return self.scaling.back(found.mean(axis=0), np.hypot(found.std(axis=0), self.noise))


def fit_ensemble(x: Array, y: Array, rng: np.random.Generator, fit: Callable[[Array, Array, int], Member]) -> Ensemble:
    """`MEMBERS` members by `fit(x, y, seed)`, each without a share 1 / `MEMBERS` of the rows."""
    scaling = Scaling.of(x, y)
    x, y = scaling.inputs(x), scaling.targets(y)
    folds = rng.permutation(np.arange(len(y)) % MEMBERS)
    members = [fit(x[folds != fold], y[folds != fold], int(rng.integers(2**31))) for fold in range(MEMBERS)]
    found = np.stack([member.predict(x) for member in members])
    residuals = found[folds, np.arange(len(y))] - y
    noise = np.mean(residuals**2) - 2 * np.mean(found.var(axis=0))
    return Ensemble(scaling, members, float(np.sqrt(max(0.0, noise))))
