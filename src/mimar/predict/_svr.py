"""Support vector regression with a Gaussian kernel, its settings found by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimar.predict._learner import Array, Learner, Scaling

if TYPE_CHECKING:  # scikit-learn takes a second to import
    from sklearn.svm import SVR

FOLDS = 5
PENALTIES = (1.0, 10.0, 100.0)
WIDTHS = (0.03, 0.1, 0.3, 1.0)
"""Of the kernel exp(−w · ‖x − x'‖² / d) on d scaled features."""

TUBE = 0.03
"""Errors below this share of y's deviation cost nothing; metrics of architectures carry about as much noise."""


@dataclass(frozen=True)
class _SVR:
    """Deviation: root mean square of the cross-validated residuals, the same everywhere."""

    scaling: Scaling
    model: SVR
    deviation: float

    def predict(self, x: Array) -> tuple[Array, Array]:
        mean = self.model.predict(self.scaling.inputs(x))
        return self.scaling.back(mean, np.full(len(x), self.deviation))


def _fit(x: Array, y: Array, rng: np.random.Generator) -> _SVR:
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.svm import SVR

    scaling = Scaling.of(x, y)
    grid = {"C": PENALTIES, "gamma": [width / max(1, x.shape[1]) for width in WIDTHS]}
    folds = KFold(FOLDS, shuffle=True, random_state=int(rng.integers(2**31)))
    search = GridSearchCV(SVR(epsilon=TUBE), grid, scoring="neg_mean_squared_error", cv=folds)
    search.fit(scaling.inputs(x), scaling.targets(y))
    return _SVR(scaling, search.best_estimator_, float(np.sqrt(-search.best_score_)))


svr = Learner("svr", "Smola and Schölkopf, A tutorial on support vector regression, 2004", _fit)
"""Smooth in the features."""
