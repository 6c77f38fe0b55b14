"""A small ensemble of small neural networks."""

from __future__ import annotations

import warnings
from typing import cast

import numpy as np

from mimar.predict._ensemble import Ensemble, Member, fit_ensemble
from mimar.predict._learner import Array, Learner

LAYERS = (32, 32)
DECAY = 1.0
STEPS = 200


def _member(x: Array, y: Array, seed: int) -> Member:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(hidden_layer_sizes=LAYERS, solver="lbfgs", alpha=DECAY, max_iter=STEPS, random_state=seed)
    with warnings.catch_warnings():
        # The number of steps is part of the method: stopping early regularises.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return cast("Member", model.fit(x, y))  # its predict is untyped


def _fit(x: Array, y: Array, rng: np.random.Generator) -> Ensemble:
    return fit_ensemble(x, y, rng, _member)


network_ensemble = Learner(
    "network_ensemble", "Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty, 2017", _fit
)
"""Two hidden layers each, with weight decay; the best with a few hundred rows."""
