"""Gradient-boosted regression trees, an ensemble of them."""

from __future__ import annotations

import numpy as np

from mimar.predict._ensemble import Ensemble, Member, fit_ensemble
from mimar.predict._learner import Array, Learner

TREES = 100
DEPTH = 3
RATE = 0.15
SHARE_OF_ROWS = 0.7
"""Seen by each tree (Friedman, Stochastic gradient boosting, 2002)."""


def _member(x: Array, y: Array, seed: int) -> Member:
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(
        n_estimators=TREES, max_depth=DEPTH, learning_rate=RATE, subsample=SHARE_OF_ROWS, random_state=seed
    )
    return model.fit(x, y)


def _fit(x: Array, y: Array, rng: np.random.Generator) -> Ensemble:
    return fit_ensemble(x, y, rng, _member)


boosted_trees = Learner(
    "boosted_trees", "Friedman, Greedy function approximation: a gradient boosting machine, 2001", _fit
)
"""Steps and interactions of few features; the best with few rows where one choice decides most."""
